"""The training loop: against SGD written out, in pieces, killed, and when something goes wrong."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.training.history import EpochMetrics
from dualtail.training.state import StateFile
from dualtail.tuning.backbone import cls_feature
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.loop import tune
from dualtail.tuning.losses import make_loss
from dualtail.tuning.settings import Augmentation, TuningSettings
from dualtail.tuning.teacher_logits import TeacherLogits
from dualtail.tuning.training_batches import TrainingSet
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PLAIN = Augmentation(crop_scale=None, flip=False)
Make = Callable[[], Any]


class Killed(BaseException):
    pass


class Squares:
    """Images of one size; remembers what was asked for, and ends the process after so many batches."""

    def __init__(self, pixels: torch.Tensor, lives: int = 10**9) -> None:
        self.pixels, self.lives = pixels, lives
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        if len(self.asked) == self.lives:
            raise Killed
        self.asked.append(index.tolist())
        return self.pixels[index]


class Wholes:
    """Images of several sizes: those of `toy`, some with a dark frame."""

    def __init__(self, pixels: torch.Tensor, lives: int = 10**9) -> None:
        self._images = [
            nn.functional.pad(image, (k % 3, 0, k % 2, k % 4)).permute(1, 2, 0)
            for k, image in enumerate(pixels)
        ]
        self.sizes = np.array([image.shape[:2] for image in self._images])
        self._left = 8 * lives

    def __len__(self) -> int:
        return len(self._images)

    def image(self, row: int) -> torch.Tensor:
        self._left -= 1
        if self._left < 0:
            raise Killed
        return self._images[row]


def toy(n: int = 60, n_classes: int = 3) -> tuple[torch.Tensor, np.ndarray]:
    """Images whose class is the brightest channel."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, n_classes, n)
    pixels = rng.integers(0, 120, (n, 3, 8, 8))
    pixels[np.arange(n), labels] += 100
    return torch.from_numpy(pixels.astype(np.uint8)), labels


def build(visual: Any, peft: str = "adaptformer", precision: Any = "float32") -> TunedModel:
    weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(4))
    return build_tuned_model(
        visual,
        CosineHead(text_weight(weight, visual.proj), 25.0),
        peft=peft,
        peft_options={"bottleneck": 4} if peft == "adaptformer" else {},
        precision=precision,
        seed=0,
    )


def run(
    model: TunedModel,
    images: Any,
    labels: np.ndarray,
    loss: str | nn.Module = "ce",
    seed: int = 0,
    state: StateFile | None = None,
    **changes: Any,
) -> list[EpochMetrics]:
    """Four epochs on images, or on pixels."""
    options = {"epochs": 4, "batch_size": 16, "lr": 0.05, "augmentation": PLAIN, **changes}
    images = Squares(images) if isinstance(images, torch.Tensor) else images
    built = make_loss(loss, np.bincount(labels, minlength=3)) if isinstance(loss, str) else loss
    data = TrainingSet(images, labels, MEAN, STD)
    return tune(model, data, built, TuningSettings(**options), seed=seed, state=state)


class AtStep(nn.Module):
    """Cross entropy; at one step, counted from 1, changed."""

    def __init__(self, step: int, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]):
        super().__init__()
        self.calls, self.step, self.change = 0, step, change

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        value = nn.functional.cross_entropy(logits, labels)
        return self.change(value, logits) if self.calls == self.step else value


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_and_leaves_the_backbone_alone(make_visual: Make, precision: str) -> None:
    pixels, labels = toy()
    model = build(make_visual(), "vpt-deep", precision)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    history = run(model, pixels, labels, epochs=12, lr=0.02)
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].train_accuracy > 0.9
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("backbone."), name
    assert not model.training


@pytest.mark.parametrize("images", [Squares, Wholes])
def test_the_seed_fixes_all_bits(make_visual: Make, images: Any) -> None:
    pixels, labels = toy(n=30)

    def head(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        model = build(make_visual())
        run(model, images(pixels), labels, seed=seed, augmentation=Augmentation(), epochs=2)
        return model.head.weight

    first, again, other = head(1, noise=5), head(1, noise=6), head(2, noise=5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("loss", ["ce", "la"])
def test_two_epochs_of_sgd_written_out(make_visual: Make, loss: str) -> None:
    """Momentum, decay and schedule by hand in float64, one batch an epoch: order cannot matter."""
    pixels, labels = toy(n=20)
    model, reference = build(make_visual()), build(make_visual())
    lr, momentum, decay = 0.02, 0.9, 0.01
    options: dict[str, Any] = {"lr": lr, "momentum": momentum, "weight_decay": decay}
    history = run(model, pixels, labels, loss=loss, epochs=2, batch_size=32, **options)
    reference.double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (MEAN, STD))
    images = (pixels.double() / 255 - mean) / std
    prior = torch.from_numpy(np.bincount(labels) / 20).log() if loss == "la" else 0.0
    y = torch.from_numpy(labels)
    trained = [p for p in reference.parameters() if p.requires_grad]
    velocity = [torch.zeros_like(p) for p in trained]
    for epoch, rate in enumerate([lr, lr / 2]):
        logits = reference.head(cls_feature(reference.backbone, images))
        scores = logits + prior
        value = (scores.logsumexp(1) - scores[torch.arange(20), y]).mean()
        assert history[epoch].loss == pytest.approx(value.item(), rel=1e-4)
        accuracy = (logits.argmax(1) == y).double().mean().item()
        assert history[epoch].train_accuracy == pytest.approx(accuracy)
        assert history[epoch].lr == pytest.approx(rate)
        gradients = torch.autograd.grad(value, trained)
        with torch.no_grad():
            for p, v, g in zip(trained, velocity, gradients, strict=True):
                v.mul_(momentum).add_(g + decay * p)
                p.sub_(rate * v)
    for (name, p), q in zip(model.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(p.double(), q, rtol=2e-3, atol=2e-5, msg=name)


def test_each_image_meets_its_own_teacher_row(make_visual: Make) -> None:
    """In any order of images and in pieces: the same as one batch whose rows stand in order."""
    pixels, labels = toy(n=20)
    generator = np.random.default_rng(3)
    dumps = [generator.normal(size=(20, 3)).astype(np.float16) for _ in range(2)]
    counts = np.bincount(labels)
    expected = make_loss("distill", counts)
    model = build(make_visual())
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    logits, _ = model((pixels.float() / 255 - mean) / std)
    teacher = torch.from_numpy((dumps[0].astype(np.float64) + dumps[1]) / 2).float()
    whole = expected(logits, torch.from_numpy(labels), teacher).item()
    data = TrainingSet(Squares(pixels), labels, MEAN, STD, TeacherLogits(dumps))
    for micro_batch in (None, 7):
        settings = TuningSettings(
            epochs=1, batch_size=32, lr=1e-9, augmentation=PLAIN, micro_batch=micro_batch
        )
        history = tune(build(make_visual()), data, expected, settings, seed=0)
        assert history[0].loss == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("micro_batch", [1, 5, 16])
@pytest.mark.parametrize("loss", ["ce", "ldam", "cb", "lade"])
def test_micro_batches_change_nothing_but_rounding(
    make_visual: Make, loss: str, micro_batch: int
) -> None:
    pixels, labels = toy(n=36)
    whole, pieces = build(make_visual()), build(make_visual())
    seen: list[int] = []
    pieces.register_forward_pre_hook(lambda model, args: seen.append(len(args[0])))
    options = {"loss": loss, "epochs": 2, "batch_size": 16, "lr": 0.02}
    expected = run(whole, pixels, labels, **options)
    found = run(pieces, pixels, labels, micro_batch=micro_batch, **options)
    for a, b in zip(found, expected, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4)
        assert a.train_accuracy == b.train_accuracy
    for (name, p), q in zip(pieces.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=2e-3, atol=2e-5, msg=name)
    assert max(seen) == micro_batch
    twice = loss in ("cb", "lade")
    passes = [size * (1 + (twice and micro_batch < size)) for size in (16, 16, 4)]
    assert sum(seen) == 2 * sum(passes)


def test_every_image_once_an_epoch_in_new_orders(make_visual: Make) -> None:
    pixels, labels = toy(n=37)
    images = Squares(pixels)
    history = run(build(make_visual()), images, labels, epochs=2)
    assert [len(index) for index in images.asked] == [16, 16, 5] * 2, "the last batch is kept"
    first, second = (np.concatenate(part).tolist() for part in (images.asked[:3], images.asked[3:]))
    assert sorted(first) == sorted(second) == list(range(37))
    assert first != second
    assert first != list(range(37))
    assert [row.epoch for row in history] == [1, 2]
    assert all(row.images_per_second == pytest.approx(37 / row.seconds) for row in history)


def test_loss_of_an_epoch_is_the_mean_over_images(make_visual: Make) -> None:
    """With a learning rate of almost 0 the last, smaller batch must not weigh more."""
    pixels, labels = toy(n=33)
    model = build(make_visual())
    (row,) = run(model, pixels, labels, epochs=1, batch_size=32, lr=1e-12)
    (whole,) = run(model, pixels, labels, epochs=1, batch_size=33, lr=1e-12)
    assert row.loss == pytest.approx(whole.loss, rel=1e-5)


def test_larger_images_are_cropped_and_smaller_ones_refused(make_visual: Make) -> None:
    pixels, labels = toy(n=20)
    padded = torch.randint(0, 256, (20, 3, 12, 14), dtype=torch.uint8)
    padded[:, :, 2:10, 3:11] = pixels
    first, second = build(make_visual()), build(make_visual())
    run(first, pixels, labels)
    run(second, padded, labels)
    assert torch.equal(first.head.weight, second.head.weight)
    with pytest.raises(UserError, match="6 x 6"):
        run(first, torch.zeros(20, 3, 6, 6, dtype=torch.uint8), labels)


def test_overflow_in_float16_skips_the_step(make_visual: Make) -> None:
    """Gradients of the first step are infinite: parameters stay, later steps train normally."""
    pixels, labels = toy()
    model = build(make_visual(), precision="float16")
    found: list[torch.Tensor] = []

    class Watching(Squares):
        def batch(self, index: torch.Tensor) -> torch.Tensor:
            found.append(model.head.weight.detach().clone())
            return super().batch(index)

    overflowing = AtStep(1, lambda value, _: value * 1e36)
    history = run(model, Watching(pixels), labels, overflowing, epochs=12, lr=0.02)
    assert torch.equal(found[1], found[0])
    assert not torch.equal(found[-1], found[0])
    assert history[-1].train_accuracy > 0.9


WAYS: dict[str, dict[str, Any]] = {
    "flips, micro-batches": {
        "augmentation": Augmentation(crop_scale=None, flip=True),
        "micro_batch": 3,
        "loss": "cb",
    },
    "crops, bfloat16": {
        "augmentation": Augmentation(),
        "precision": "bfloat16",
        "peft": "vpt-deep",
    },
    "crops of whole images": {"images": Wholes, "augmentation": Augmentation(), "peft": "full"},
    "float16 with its scaler": {"precision": "float16", "loss": "la"},
}
N, STEPS = 21, 3
"""Images, and steps of an epoch, of which the last is smaller."""


def attempt(
    visual: Any,
    state: StateFile | None = None,
    lives: int = 10**9,
    images: Any = Squares,
    peft: str = "adaptformer",
    precision: str = "float32",
    **changes: Any,
) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Three epochs with a fresh model, as a fresh process has it: all bits but measured times."""
    pixels, labels = toy(N)
    model = build(visual, peft, precision)
    options = {"epochs": 3, "batch_size": 8, **changes}
    history = run(model, images(pixels, lives), labels, state=state, **options)
    bits = [t.contiguous().view(-1).view(torch.uint8).numpy() for t in model.state_dict().values()]
    measured = {"seconds": 0, "images_per_second": 0}
    return [b.tobytes() for b in bits], [asdict(row) | measured for row in history]


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("kills", [[1], [STEPS], [STEPS + 2, 1]])
def test_killed_and_left_alone_give_the_same_bits(
    make_visual: Make, tmp_path: Path, way: str, kills: list[int]
) -> None:
    """Within an epoch, between two, and several times in a row."""
    state = StateFile(tmp_path / "state.safetensors", {"setting": "this one"})
    for lives in kills:
        with pytest.raises(Killed):
            attempt(make_visual(), state, lives, **WAYS[way])
        assert state.path.exists() == (kills[0] >= STEPS)
    assert attempt(make_visual(), state, **WAYS[way]) == attempt(make_visual(), **WAYS[way])


def test_a_loss_that_draws_from_torchs_generator(make_visual: Make, tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return nn.functional.cross_entropy(nn.functional.dropout(logits, 0.3), labels)

    state = StateFile(tmp_path / "state.safetensors", {})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = attempt(make_visual(), loss=Noisy())
        torch.manual_seed(3)
        with pytest.raises(Killed):
            attempt(make_visual(), state, STEPS + 1, loss=Noisy())
        assert attempt(make_visual(), state, loss=Noisy()) == expected


def test_a_state_that_cannot_be_written_ends_no_training(
    make_visual: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    state = StateFile(tmp_path / "file/state.safetensors", {})
    assert attempt(make_visual(), state) == attempt(make_visual())
    assert "its state could not be saved, training goes on: " in capsys.readouterr().err


@pytest.mark.parametrize("step", [1, 3, 27])
def test_a_loss_that_is_not_finite_names_the_batch(make_visual: Make, step: int) -> None:
    pixels, labels = toy(n=60)
    images = Squares(pixels)
    broken = AtStep(30 + step, lambda value, _: value * float("nan"))
    with pytest.raises(UserError) as caught:
        run(build(make_visual()), images, labels, broken, epochs=2, batch_size=2, lr=0.01)
    message = str(caught.value)
    assert f"the loss is nan at epoch 2, step {step}, images " in message
    assert ", ".join(map(str, images.asked[29 + step])) in message
    assert "lower tuning.lr (now 0.01) or set tuning.precision to float32" in message


@pytest.mark.parametrize("step", [STEPS, 2 * STEPS])
def test_parameters_that_are_not_finite_are_never_saved(
    make_visual: Make, tmp_path: Path, step: int
) -> None:
    """The loss of the epoch's last step was finite; its gradient was not."""
    steep = AtStep(step, lambda value, logits: value + (logits.sum() * 0).abs().sqrt())
    state = StateFile(tmp_path / "state.safetensors", {})
    with pytest.raises(UserError, match=r"epoch \d, step 3, images .* left parameters"):
        attempt(make_visual(), state, loss=steep)
    assert state.path.exists() == (step > STEPS)
    if state.path.exists():
        assert all(t.isfinite().all() for t in state.read()[0].values())


def refusing(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Let the model run out of memory with more than `most` images; the sizes that it was given."""
    seen: list[int] = []
    forward = TunedModel.forward

    def limited(self: TunedModel, images: torch.Tensor) -> Any:
        seen.append(len(images))
        if len(images) > most:
            raise error
        return forward(self, images)

    monkeypatch.setattr(TunedModel, "forward", limited)
    return seen


def cpu_error() -> Exception:
    """What torch itself raises on the CPU."""
    try:
        torch.empty(1 << 50)
    except RuntimeError as error:
        return error
    raise AssertionError


ERRORS = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    cpu_error,
    MemoryError,
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu", "python"])
def test_too_little_memory_halves_the_micro_batch(
    make_visual: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[], Exception],
) -> None:
    given = attempt(make_visual(), micro_batch=2)
    seen = refusing(monkeypatch, 3, error())
    found = attempt(make_visual())
    assert seen[:3] == [8, 4, 2]
    assert max(seen[3:]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(said) == 2
    assert "epoch 1, step 1 with 8 images at a time: going on with 4" in said[0]
    # The same step again, from clean gradients: exactly what the setting gives from the start.
    assert found == given


def test_too_little_memory_for_one_image(make_visual: Make, monkeypatch: Any) -> None:
    seen = refusing(monkeypatch, 0, MemoryError())
    with pytest.raises(UserError, match=r"epoch 1, step 1 with a single image: set tuning\.prec"):
        attempt(make_visual())
    assert seen == [8, 4, 2, 1]


def test_other_errors_come_out_as_they_are(make_visual: Make, monkeypatch: Any) -> None:
    seen = refusing(monkeypatch, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        attempt(make_visual())
    assert seen == [8]
