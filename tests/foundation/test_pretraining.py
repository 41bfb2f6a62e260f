"""The pre-training loss against brute force, its optimum in closed form, and the training loop."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from dualtail.errors import UserError
from dualtail.foundation import pretraining as p
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.training.state import StateFile
from dualtail.tuning.settings import Augmentation

ARCHITECTURE = json.loads(
    (Path(p.__file__).parent / "architectures" / "world-vit-8.json").read_text()
)
NAMES = ["lumrel", "bolvun", "darmor"]
TEMPLATE = "a photo of a {}."
SHORT = PretrainingSettings(epochs=3, batch_size=16)


def brute_force(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Both halves by the definition, one softmax at a time, in float64."""
    logits = logits.astype(np.float64)
    batch = range(len(labels))
    to_text = [math.exp(logits[i, labels[i]]) / np.exp(logits[i]).sum() for i in batch]
    to_image = [math.exp(logits[i, labels[i]]) / np.exp(logits[:, labels[i]]).sum() for i in batch]
    return -np.log(to_text).mean(), -np.log(to_image).mean()


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**32 - 1), st.floats(0.1, 30))
def test_loss_is_its_definition(batch: int, classes: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((batch, classes))
    labels = rng.integers(0, classes, batch)
    got = p.contrastive_loss(torch.from_numpy(logits), torch.from_numpy(labels))
    np.testing.assert_allclose(
        [float(half) for half in got], brute_force(logits, labels), atol=1e-12
    )


# A population: how often each of five kinds of image comes with each of three captions.
JOINT = np.array([[40, 2, 1], [20, 10, 0.5], [5, 6, 2], [2, 1, 4], [13, 1, 2.5]])
JOINT = np.rint(JOINT * 2).astype(int)
KINDS, LABELS = (np.repeat(a, JOINT.ravel()) for a in np.indices(JOINT.shape).reshape(2, -1))


def info_nce(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """CLIP's loss on the batch's pairs: captions stand as often as they occur."""
    pairs, diagonal = logits[:, labels], torch.arange(len(labels))
    return F.cross_entropy(pairs, diagonal) + F.cross_entropy(pairs.T, diagonal)


def gradient_at(table: np.ndarray, loss: object) -> float:
    """Largest gradient, with respect to a free logit of every kind and caption."""
    free = torch.tensor(table, requires_grad=True)
    value = loss(free[torch.from_numpy(KINDS)], torch.from_numpy(LABELS))  # type: ignore[operator]
    (gradient,) = torch.autograd.grad(value, free)
    return float(gradient.abs().max())


def test_the_optimum_carries_the_prior_and_that_of_infonce_does_not() -> None:
    posterior = np.log(JOINT / JOINT.sum(axis=1, keepdims=True))
    prior = np.log(JOINT.sum(axis=0) / JOINT.sum())

    def ours(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return sum(p.contrastive_loss(logits, labels))  # type: ignore[return-value]

    # Both losses are convex in free logits: a zero gradient is the optimum.
    assert gradient_at(posterior, ours) < 1e-9
    assert gradient_at(posterior - prior, info_nce) < 1e-9
    # And neither is at the other's optimum, by far.
    assert gradient_at(posterior - prior, ours) > 0.05
    assert gradient_at(posterior, info_nce) > 0.05


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    options = PretrainingSettings(lr=1.0, warmup=0.1)
    rates = [p.learning_rate(step, 100, options) for step in range(100)]
    np.testing.assert_allclose(rates[:10], np.arange(1, 11) / 10)
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 1e-3
    assert (np.diff(rates[10:]) < 0).all()
    assert p.learning_rate(0, 1, PretrainingSettings(lr=1.0, warmup=0.0)) == 1.0


def colored(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a color for each class: easy to learn."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 100, (n, 32, 32, 3))
    images[np.arange(n), :, :, labels] += 100
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def trained() -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    images, labels = colored(150)
    return p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, SHORT, seed=3)


def test_it_learns_and_tells_so(trained) -> None:
    _, history = trained
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["image_to_text"] < 0.1 * history[0]["image_to_text"]
    assert history[-1]["accuracy"] > 0.8
    for row in history:
        assert row["loss"] == pytest.approx((row["image_to_text"] + row["text_to_image"]) / 2)
        assert 1 <= row["logit_scale"] <= 100


def test_bit_for_bit_reproducible_whatever_the_global_state(trained) -> None:
    images, labels = colored(150)
    before = torch.random.get_rng_state()
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.rand(7)
    again, history = p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, SHORT, seed=3)
    torch.random.set_rng_state(before)
    assert history == trained[1]
    assert all(torch.equal(again[name], tensor) for name, tensor in trained[0].items())
    assert torch.get_num_threads() == threads
    assert torch.get_float32_matmul_precision() == precision
    other, _ = p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, SHORT, seed=4)
    assert not torch.equal(other["visual.proj"], trained[0]["visual.proj"])


def test_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    p.build_model(ARCHITECTURE, seed=0)
    assert torch.equal(torch.rand(3), expected)


def test_the_token_embedding_stays_and_everything_else_moves(trained) -> None:
    start = p.build_model(ARCHITECTURE, seed=3).state_dict()
    assert set(start) == set(trained[0])
    same = [name for name in start if torch.equal(start[name], trained[0][name])]
    assert same == ["token_embedding.weight"]


def test_a_checkpoint_is_open_clips(trained, tmp_path: Path) -> None:
    """Saved as safetensors and loaded by name, the model gives the same features."""
    save_file(trained[0], tmp_path / "model.safetensors")
    config = tmp_path / "world-test-vit-8.json"
    config.write_text(json.dumps(ARCHITECTURE))
    open_clip.add_model_config(config)
    loaded = open_clip.create_model(
        "world-test-vit-8", pretrained=str(tmp_path / "model.safetensors")
    ).eval()
    own = p.build_model(ARCHITECTURE, seed=0)
    own.load_state_dict(trained[0])
    images = torch.linspace(-2, 2, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    tokens = open_clip.get_tokenizer("world-test-vit-8")([TEMPLATE.format(n) for n in NAMES])
    assert torch.equal(tokens, p.tokenize([TEMPLATE.format(n) for n in NAMES], 12))
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(images), own.encode_image(images))
        assert torch.equal(loaded.encode_text(tokens), own.encode_text(tokens))
        logits = loaded.get_logits(_normalized(colored(60, seed=9)[0]), tokens)[0]
    assert (logits.argmax(dim=1).numpy() == colored(60, seed=9)[1]).mean() > 0.8


def _normalized(images: np.ndarray) -> torch.Tensor:
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    values = (images / 255 - np.array(mean)) / np.array(std)
    return torch.from_numpy(values.transpose(0, 3, 1, 2)).float()


@pytest.fixture
def float32_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix products in float32 also on processors that would multiply in bfloat16 (AMX)."""
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)


def test_training_is_a_plain_loop_over_open_clips_forward_pass(float32_products: None) -> None:
    """Six steps restated without the short forward passes, the fused optimizer and the bytes."""
    images, labels = colored(20)
    options = PretrainingSettings(epochs=2, batch_size=8, warmup=0.3, weight_decay=0.5)
    state, history = p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, options, seed=6)

    model = p.build_model(ARCHITECTURE, seed=6)
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pixels, targets = _normalized(images), torch.from_numpy(labels)
    tokens = p.tokenize([TEMPLATE.format(n) for n in NAMES], 12)
    trained = [q for q in model.parameters() if q.requires_grad]
    matrices, others = [q for q in trained if q.ndim >= 2], [q for q in trained if q.ndim < 2]
    assert sum(q.numel() for q in trained) < 400_000
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.5)
    order, step, losses = torch.Generator().manual_seed(6), 0, []
    for _ in range(2):
        total = 0.0
        for rows in torch.randperm(20, generator=order).split(8):
            for group in optimizer.param_groups:
                group["lr"] = p.learning_rate(step, 6, options)
            logits = model.get_logits(pixels[rows], tokens)[0]
            loss = sum(p.contrastive_loss(logits, targets[rows])) / 2
            model.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            total += loss.item() * len(rows) / 20
        losses.append(total)
    assert [row["loss"] for row in history] == pytest.approx(losses, rel=1e-4)
    for name, tensor in model.state_dict().items():
        moved = (tensor - start[name]).norm()
        assert (state[name] - tensor).norm() <= 0.02 * moved, name


def test_the_scale_stays_below_that_of_clip() -> None:
    images, labels = colored(40)
    hot = ARCHITECTURE | {"init_logit_scale": 6.0}
    _, history = p.pretrain(images, labels, NAMES, TEMPLATE, hot, SHORT, seed=0)
    assert history[-1]["logit_scale"] <= 100 * (1 + 1e-6)


def test_captions_that_do_not_fit_are_refused() -> None:
    assert p.tokenize(["a photo of a cat."], 8).shape == (1, 8)
    with pytest.raises(UserError, match=r"'a photo of a cat\.' has more than 7 tokens"):
        p.tokenize(["a photo of a cat."], 7)


@pytest.mark.parametrize(
    ("images", "labels", "match"),
    [
        (np.zeros((4, 16, 16, 3), np.uint8), np.zeros(4, int), "image_size"),
        (np.zeros((4, 32, 32, 3), np.float32), np.zeros(4, int), "uint8"),
        (np.zeros((4, 3, 32, 32), np.uint8), np.zeros(4, int), "expected"),
        (np.zeros((4, 32, 32, 3), np.uint8), np.zeros(3, int), "labels of shape"),
        (np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, int), "0 images"),
        (np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 2, 3]), "3 class names"),
        (np.zeros((4, 32, 32, 3), np.uint8), np.array([0, 1, 2, -1]), "-1 "),
    ],
)
def test_bad_inputs_are_refused(images: np.ndarray, labels: np.ndarray, match: str) -> None:
    with pytest.raises(UserError, match=match):
        p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, SHORT, seed=0)


def test_a_diverging_run_says_what_to_do() -> None:
    images, labels = colored(64)
    wild = PretrainingSettings(epochs=3, batch_size=8, lr=1e15, warmup=0.0)
    with pytest.raises(UserError, match=r"images .*; lower pretraining\.lr \(now 1e\+15\)"):
        p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, wild, seed=0)


def test_augmentation_changes_images_but_not_their_order() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 3, 40)
    flip = SHORT.model_copy(update={"augmentation": Augmentation(crop_scale=(0.5, 1), flip=True)})
    results = [
        p.pretrain(data, labels, NAMES, TEMPLATE, ARCHITECTURE, settings, seed=3)
        for data, settings in ((images, SHORT), (images, flip), (images, flip))
    ]
    assert results[1][1] == results[2][1]
    assert results[0][1] != results[1][1]
    # A uniform image is the same whatever is cut out of it: only the order is left to differ.
    flat = np.broadcast_to(rng.integers(0, 256, (40, 1, 1, 3), dtype=np.uint8), images.shape)
    plain, augmented = (
        p.pretrain(flat, labels, NAMES, TEMPLATE, ARCHITECTURE, settings, seed=3)[1]
        for settings in (SHORT, flip)
    )
    for one, other in zip(plain, augmented, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("crop_scale", "kills"), [(None, [1]), (None, [3]), ((0.5, 1.0), [4, 1]), ((0.5, 1.0), [7, 2])]
)
def test_killed_and_left_alone_give_the_same_bits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    crop_scale: tuple[float, float] | None,
    kills: list[int],
) -> None:
    """Within an epoch, between two and several times in a row."""
    images, labels = colored(40)  # three steps an epoch, the last one smaller
    options = PretrainingSettings(
        epochs=3, batch_size=16, augmentation=Augmentation(crop_scale=crop_scale, flip=True)
    )

    def attempt(state: StateFile | None) -> Any:
        return p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, options, 0, state=state)

    expected, history = attempt(None)
    loss = p.contrastive_loss
    state = StateFile(tmp_path / "state.safetensors", {})
    for steps in kills:
        left = iter(range(steps))

        def dying(*given: Any, left: Any = left) -> Any:
            if next(left, None) is None:
                raise KeyboardInterrupt
            return loss(*given)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(p, "contrastive_loss", dying)
            attempt(state)
    found, found_history = attempt(state)
    assert [list(row.items()) for row in found_history] == [list(row.items()) for row in history]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "message", ["DefaultCPUAllocator: can't allocate memory: 9", "could not create a primitive"]
)
def test_too_little_memory_names_the_setting(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError(message)

    images, labels = colored(40)
    monkeypatch.setattr(p, "image_features", full)
    monkeypatch.setattr(p, "check_towers", lambda *_: None)
    with pytest.raises(UserError, match=r"step 1 with 16 images .*lower pretraining\.batch_size"):
        p.pretrain(images, labels, NAMES, TEMPLATE, ARCHITECTURE, SHORT, seed=0)
