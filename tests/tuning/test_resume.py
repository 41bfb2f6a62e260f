"""A killed tuning goes on to the bits of one that was left alone."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from dualtail.errors import UserError
from dualtail.training.checkpoints import Checkpoints
from dualtail.training.state import HEADER_KEY
from dualtail.tuning.crop_batches import CropBatches
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.loop import EpochMetrics, tune
from dualtail.tuning.losses import make_loss
from dualtail.tuning.settings import Augmentation, TuningSettings
from dualtail.tuning.tuned_model import TunedModel, build_tuned_model

N, CLASSES, STEPS = 21, 3, 3
"""Images and classes; steps an epoch, the last one smaller."""
KEY = {"setting": "this one"}


class Killed(BaseException):
    pass


class Dying(Checkpoints):
    """Saves after every step; after `lives` of them the process ends."""

    largest_share = 1e9

    def __init__(self, path: Path, lives: int = 10**9, seconds: float = 1e-9) -> None:
        super().__init__(path, lambda: KEY, seconds)
        self.lives = lives
        self.steps = 0

    def after_step(self, where: Any, capture: Any) -> None:
        super().after_step(where, capture)
        self.steps += 1
        if self.steps == self.lives:
            raise Killed


class Squares:
    """Images of one size."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: torch.Tensor) -> torch.Tensor:
        return self.pixels[index]


class Wholes:
    """Images of several sizes."""

    def __init__(self, pixels: torch.Tensor) -> None:
        self._images = [
            torch.nn.functional.pad(image, (k % 3, 0, k % 2, k % 4)).permute(1, 2, 0)
            for k, image in enumerate(pixels)
        ]
        self.sizes = np.array([image.shape[:2] for image in self._images])

    def __len__(self) -> int:
        return len(self._images)

    def image(self, row: int) -> torch.Tensor:
        return self._images[row]


def data(whole: bool) -> tuple[Squares | Wholes, np.ndarray]:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (N, 3, 10, 10)).astype(np.uint8))
    return (Wholes if whole else Squares)(pixels), np.arange(N) % CLASSES


WAYS: dict[str, dict[str, Any]] = {
    "plain": {"augmentation": Augmentation(crop_scale=None, flip=False)},
    "flips, micro-batches": {
        "augmentation": Augmentation(crop_scale=None, flip=True),
        "micro_batch": 3,
        "loss": "cb",
    },
    "crops, bfloat16": {"precision": "bfloat16", "peft": "vpt-deep"},
    "crops of whole images": {"whole": True, "peft": "full"},
    "float16 with its scaler": {"precision": "float16", "loss": "la"},
}


def run(
    visual: Any,
    checkpoints: Checkpoints | None,
    loss: str | torch.nn.Module = "ce",
    peft: str = "adaptformer",
    precision: Any = "float32",
    whole: bool = False,
    **changes: Any,
) -> tuple[TunedModel, list[EpochMetrics]]:
    """One attempt, with a fresh model as a fresh process has it."""
    weight = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(4))
    model = build_tuned_model(
        visual,
        CosineHead(text_weight(weight, visual.proj), 25.0),
        peft=peft,
        peft_options={},
        precision=precision,
        seed=0,
    )
    images, labels = data(whole)
    built = make_loss(loss, np.bincount(labels)) if isinstance(loss, str) else loss
    options = {"epochs": 2, "batch_size": 8, "lr": 0.05, **changes}
    history = tune(
        model,
        images,
        labels,
        built,
        TuningSettings(**options),
        seed=1,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.25, 0.3),
        checkpoints=checkpoints,
    )
    return model, history


def facts(found: tuple[TunedModel, list[EpochMetrics]]) -> tuple[dict[str, bytes], list[dict]]:
    """All bits of a tuning but measured times."""
    model, history = found
    bits = {
        name: tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, tensor in model.state_dict().items()
    }
    measured = ("seconds", "images_per_second")
    return bits, [{k: v for k, v in asdict(row).items() if k not in measured} for row in history]


def with_kills(attempt: Callable[[Checkpoints], Any], path: Path, kills: list[int]) -> Any:
    """Kill the first attempts after so many steps; the last one runs to the end."""
    for lives in kills:
        try:
            return attempt(Dying(path, lives))
        except Killed:
            continue
    return attempt(Dying(path))


@pytest.mark.parametrize("way", list(WAYS))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kills=st.lists(st.integers(1, 2 * STEPS), min_size=1, max_size=4))
def test_killed_and_left_alone_give_the_same_bits(
    make_visual: Callable[[], Any],
    tmp_path_factory: pytest.TempPathFactory,
    way: str,
    kills: list[int],
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    expected = facts(run(make_visual(), None, **WAYS[way]))
    found = with_kills(lambda c: run(make_visual(), c, **WAYS[way]), path, kills)
    assert facts(found) == expected


@pytest.mark.parametrize("step", range(1, 2 * STEPS + 1))
def test_every_step_counts_once(make_visual: Callable[[], Any], tmp_path: Path, step: int) -> None:
    path = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        run(make_visual(), Dying(path, step))
    again = Dying(path)
    run(make_visual(), again)
    assert again.steps == 2 * STEPS - step
    done = Dying(path)
    run(make_visual(), done)
    assert done.steps == 0, "a finished training is read, not repeated"


def test_the_interval_changes_nothing(make_visual: Callable[[], Any], tmp_path: Path) -> None:
    found = [
        facts(run(make_visual(), Dying(tmp_path / f"{k}.safetensors", seconds=seconds)))
        for k, seconds in enumerate((1e-9, 0.02, 1e9, 0))
    ]
    assert all(f == found[0] for f in found)
    assert not (tmp_path / "3.safetensors").exists()


def test_a_method_that_draws_from_the_global_generator(
    make_visual: Callable[[], Any], tmp_path: Path
) -> None:
    class Noisy(torch.nn.Module):
        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(
                torch.nn.functional.dropout(logits, 0.3), labels
            )

    def attempt(checkpoints: Checkpoints | None) -> Any:
        torch.manual_seed(3)
        return run(make_visual(), checkpoints, loss=Noisy())

    with torch.random.fork_rng():
        expected = facts(attempt(None))
        found = facts(with_kills(attempt, tmp_path / "state.safetensors", [2, 2]))
    assert found == expected


def test_seconds_of_an_epoch_are_added_up(make_visual: Callable[[], Any], tmp_path: Path) -> None:
    """As if a minute had been measured before the kill."""
    from dualtail.training.state import read_state, write_state

    path = tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        run(make_visual(), Dying(path, 2))
    state = read_state(path, KEY)
    state.values["seconds"] += 60
    write_state(path, KEY, state)
    _, history = run(make_visual(), Dying(path))
    assert 60 < history[0].seconds < 70
    assert history[1].seconds < 10


def test_a_loss_that_is_not_finite_names_the_batch_and_keeps_the_last_good_state(
    make_visual: Callable[[], Any], tmp_path: Path
) -> None:
    asked = []

    class Recording(Squares):
        def batch(self, index: torch.Tensor) -> torch.Tensor:
            asked.append(index.tolist())
            return super().batch(index)

    class Breaking(torch.nn.Module):
        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            value = torch.nn.functional.cross_entropy(logits, labels)
            return value * float("nan") if len(asked) == 5 else value

    path = tmp_path / "state.safetensors"
    images, labels = data(whole=False)
    assert isinstance(images, Squares)
    visual = make_visual()
    weight = torch.randn(CLASSES, 6, generator=torch.Generator().manual_seed(4))
    model = build_tuned_model(
        visual,
        CosineHead(text_weight(weight, visual.proj), 25.0),
        peft="adaptformer",
        peft_options={},
        precision="float32",
        seed=0,
    )
    with pytest.raises(UserError) as caught:
        tune(
            model,
            Recording(images.pixels),
            labels,
            Breaking(),
            TuningSettings(epochs=2, batch_size=8),
            seed=1,
            mean=(0.5, 0.4, 0.3),
            std=(0.2, 0.25, 0.3),
            checkpoints=Dying(path),
        )
    message = str(caught.value)
    assert "the loss is nan at epoch 2, step 2" in message
    assert f"images {', '.join(map(str, asked[4]))} (rows of the training list" in message
    assert "lower tuning.lr (now 0.005) or set tuning.precision to float32" in message
    assert f"the last good state is kept in {path}" in message
    with safe_open(path, "pt") as file:
        values = json.loads(file.metadata()[HEADER_KEY].partition(" ")[2])["values"]
        assert (values["epoch"], values["step"]) == (1, 1)
        assert all(torch.isfinite(t.double()).all() for t in load_file(path).values())


def test_parameters_that_are_not_finite_are_never_saved(
    make_visual: Callable[[], Any], tmp_path: Path
) -> None:
    """The loss of the step was finite; its gradient was not."""
    path = tmp_path / "state.safetensors"

    class Steep(torch.nn.Module):
        calls = 0

        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            value = torch.nn.functional.cross_entropy(logits, labels)
            return value + (logits.sum() * 0).abs().sqrt() if self.calls == 3 else value

    with pytest.raises(UserError, match=r"epoch 1, step 3, images .* left parameters .*kept in"):
        run(make_visual(), Dying(path), loss=Steep())
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()[HEADER_KEY].partition(" ")[2])["values"]["step"] == 2


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
    make_visual: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[], Exception],
) -> None:
    whole, rows = run(make_visual(), None)
    given, given_rows = run(make_visual(), None, micro_batch=2)
    seen = refusing(monkeypatch, 3, error())
    found, found_rows = run(make_visual(), None)
    assert seen[:3] == [8, 4, 2]
    assert max(seen[3:]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert len(said) == 2
    assert "epoch 1, step 1 with 8 images at a time: going on with 4" in said[0]
    # The same step again, from clean gradients: exactly what the setting gives from the start.
    assert facts((found, found_rows)) == facts((given, given_rows))
    for a, b in zip(found.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=2e-3, atol=2e-5)
    assert found_rows[-1].train_accuracy == rows[-1].train_accuracy


def test_a_smaller_micro_batch_is_part_of_the_state(
    make_visual: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    seen = refusing(monkeypatch, 4, MemoryError())
    with pytest.raises(Killed):
        run(make_visual(), Dying(path, 2))
    del seen[:]
    run(make_visual(), Dying(path))
    assert max(seen) == 4, "it is not tried again"


def test_too_little_memory_for_one_image(
    make_visual: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = refusing(monkeypatch, 0, MemoryError())
    with pytest.raises(UserError, match=r"epoch 1, step 1 with a single image: set tuning\.prec"):
        run(make_visual(), None)
    assert seen == [8, 4, 2, 1]


def test_other_errors_come_out_as_they_are(
    make_visual: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = refusing(monkeypatch, 0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        run(make_visual(), None)
    assert seen == [8]


@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_batches_drawn_ahead_do_not_count(ahead: int) -> None:
    """The state after a batch gives the next one, however many are prepared already."""
    images, _ = data(whole=True)
    assert isinstance(images, Wholes)

    def batches(generator: torch.Generator) -> CropBatches:
        found = CropBatches(images, (0.3, 1.0), True, (8, 8), generator, torch.device("cpu"))
        found._ahead = ahead
        return found

    index = list(torch.arange(N).split(4))
    making = batches(torch.Generator().manual_seed(5))
    pixels, states = [], [making.generator_state]
    for batch in making(index):
        pixels.append(batch.clone())
        states.append(making.generator_state.clone())
    for start, state in enumerate(states):
        generator = torch.Generator()
        generator.set_state(state)
        rest = list(batches(generator)(index[start:]))
        assert len(rest) == len(index) - start
        assert all(torch.equal(a, b) for a, b in zip(rest, pixels[start:], strict=True))
