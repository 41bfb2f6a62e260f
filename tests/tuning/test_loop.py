import math

import numpy as np
import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.tuning.backbone import cls_feature
from dualtail.tuning.head_start import text_weight
from dualtail.tuning.heads import CosineHead
from dualtail.tuning.loop import cosine_lr, tune
from dualtail.tuning.losses import make_loss
from dualtail.tuning.peft_options import PEFT_OPTIONS
from dualtail.tuning.settings import Augmentation, TuningSettings
from dualtail.tuning.tuned_model import build_tuned_model

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PLAIN = Augmentation(crop_scale=None, flip=False)


def toy(n=60, n_classes=3, seed=0):
    """Images whose class is the brightest channel."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    pixels = rng.integers(0, 120, (n, 3, 8, 8))
    pixels[np.arange(n), labels] += 100
    return torch.from_numpy(pixels.astype(np.uint8)), labels


def build(visual, peft="adaptformer", precision="float32"):
    return build_tuned_model(
        visual,
        CosineHead(
            text_weight(torch.randn(3, 6, generator=torch.Generator().manual_seed(4)), visual.proj),
            25.0,
        ),
        peft=peft,
        peft_options={"bottleneck": 4} if peft == "adaptformer" else {},
        precision=precision,
        seed=0,
    )


def run(model, source, labels, *, seed=0, loss="ce", **changes):
    options = {"epochs": 4, "batch_size": 16, "lr": 0.05, "augmentation": PLAIN, **changes}
    built = make_loss(loss, np.bincount(labels, minlength=3))
    return tune(
        model, source, labels, built, TuningSettings(**options), seed=seed, mean=MEAN, std=STD
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("peft", ["adaptformer", "vpt-deep"])
def test_it_learns(make_visual, array_source, peft, precision):
    pixels, labels = toy()
    model = build(make_visual(), peft, precision)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    history = run(model, array_source(pixels), labels, epochs=12, lr=0.02)
    assert history[-1].loss < 0.3 * history[0].loss
    assert history[-1].train_accuracy > 0.9
    assert history[-1].train_accuracy > history[0].train_accuracy
    for name, tensor in model.state_dict().items():
        frozen = name.startswith("backbone.")
        assert torch.equal(tensor, before[name]) == frozen, name
    assert not model.training


@pytest.mark.parametrize("peft", sorted(PEFT_OPTIONS))
def test_every_method_learns(make_visual, array_source, peft):
    pixels, labels = toy()
    history = run(build(make_visual(), peft), array_source(pixels), labels, epochs=12, lr=0.01)
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[-1].train_accuracy > 0.9


@pytest.mark.parametrize("augmentation", [PLAIN, Augmentation()])
@pytest.mark.parametrize("peft", ["adaptformer", "vpt-deep"])
def test_same_seed_same_bits(make_visual, array_source, peft, augmentation):
    pixels, labels = toy()

    def state(seed, noise):
        torch.manual_seed(noise)
        model = build(make_visual(), peft)
        run(model, array_source(pixels), labels, seed=seed, augmentation=augmentation, epochs=2)
        return model.state_dict()

    first, again, other = state(1, noise=5), state(1, noise=6), state(2, noise=5)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("loss", ["ce", "la"])
def test_two_epochs_of_sgd_written_out(make_visual, array_source, loss):
    """Momentum, decay and schedule by hand in float64, one batch an epoch: order cannot matter."""
    pixels, labels = toy(n=20)
    model = build(make_visual())
    reference = build(make_visual())
    lr, momentum, decay = 0.02, 0.9, 0.01
    history = run(
        model,
        array_source(pixels),
        labels,
        loss=loss,
        epochs=2,
        batch_size=32,
        lr=lr,
        momentum=momentum,
        weight_decay=decay,
    )
    reference.double()
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (MEAN, STD))
    images = (pixels.double() / 255 - mean) / std
    prior = torch.from_numpy(np.bincount(labels) / 20).log() if loss == "la" else 0.0
    y = torch.from_numpy(labels)
    trained = [p for p in reference.parameters() if p.requires_grad]
    velocity = [torch.zeros_like(p) for p in trained]
    for epoch, rate in enumerate([lr, lr / 2]):
        features = cls_feature(reference.backbone, images)
        logits = reference.head(features)
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


@pytest.mark.parametrize("micro_batch", [1, 5, 16, 64])
@pytest.mark.parametrize("loss", ["ce", "la", "ldam", "cb", "grw", "lade"])
def test_micro_batches_change_nothing_but_rounding(make_visual, array_source, loss, micro_batch):
    pixels, labels = toy(n=36)
    whole, pieces = build(make_visual()), build(make_visual())
    seen = []
    pieces.register_forward_pre_hook(lambda model, args: seen.append(len(args[0])))
    options = {"loss": loss, "epochs": 2, "batch_size": 16, "lr": 0.02}
    expected = run(whole, array_source(pixels), labels, **options)
    found = run(pieces, array_source(pixels), labels, micro_batch=micro_batch, **options)
    for a, b in zip(found, expected, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-4)
        assert a.train_accuracy == b.train_accuracy
    for (name, p), q in zip(pieces.named_parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=2e-3, atol=2e-5, msg=name)
    assert max(seen) == min(micro_batch, 16)
    twice = loss in ("cb", "grw", "lade")
    passes = [size * (1 + (twice and micro_batch < size)) for size in (16, 16, 4)]
    assert sum(seen) == 2 * sum(passes)
    if micro_batch >= 16:
        for p, q in zip(pieces.parameters(), whole.parameters(), strict=True):
            assert torch.equal(p, q)


def test_micro_batches_in_float16(make_visual, array_source):
    pixels, labels = toy()
    for loss in ("ce", "cb"):
        history = run(
            build(make_visual(), precision="float16"),
            array_source(pixels),
            labels,
            loss=loss,
            epochs=12,
            lr=0.02,
            micro_batch=6,
        )
        assert history[-1].train_accuracy > 0.9


def test_every_image_once_an_epoch_in_new_orders(make_visual, array_source):
    pixels, labels = toy(n=37)
    seen = []

    class Recording(array_source):
        def batch(self, index):
            seen.append(index.tolist())
            return super().batch(index)

    history = run(build(make_visual()), Recording(pixels), labels, epochs=2, batch_size=16)
    assert [len(index) for index in seen] == [16, 16, 5] * 2, "the last batch is kept"
    first, second = np.concatenate(seen[:3]).tolist(), np.concatenate(seen[3:]).tolist()
    assert sorted(first) == sorted(second) == list(range(37))
    assert first != second
    assert first != list(range(37))
    assert [row.epoch for row in history] == [1, 2]
    assert all(row.images_per_second == pytest.approx(37 / row.seconds) for row in history)


def test_loss_of_an_epoch_is_the_mean_over_images(make_visual, array_source):
    """With a learning rate of almost 0 the last, smaller batch must not weigh more."""
    pixels, labels = toy(n=33)
    model = build(make_visual())
    (row,) = run(model, array_source(pixels), labels, epochs=1, batch_size=32, lr=1e-12)
    (whole,) = run(model, array_source(pixels), labels, epochs=1, batch_size=33, lr=1e-12)
    assert row.loss == pytest.approx(whole.loss, rel=1e-5)


def test_rows_are_reported_as_epochs_end(make_visual, array_source):
    pixels, labels = toy(n=20)
    model, rows = build(make_visual()), []
    history = tune(
        model,
        array_source(pixels),
        labels,
        make_loss("ce", np.bincount(labels)),
        TuningSettings(epochs=3, augmentation=PLAIN),
        seed=0,
        mean=MEAN,
        std=STD,
        on_epoch=rows.append,
    )
    assert rows == history
    assert len(rows) == 3


def test_cosine_schedule_against_torch():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for epoch in range(10):
        assert cosine_lr(0.3, epoch, 10) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_larger_images_are_cropped(make_visual, array_source):
    pixels, labels = toy(n=20)
    padded = torch.randint(0, 256, (20, 3, 12, 14), dtype=torch.uint8)
    padded[:, :, 2:10, 3:11] = pixels
    first, second = build(make_visual()), build(make_visual())
    run(first, array_source(pixels), labels)
    run(second, array_source(padded), labels)
    assert torch.equal(first.head.weight, second.head.weight)


@pytest.mark.parametrize("step", [1, 3, 27])
def test_a_broken_loss_names_epoch_and_step(make_visual, array_source, step):
    pixels, labels = toy(n=60)

    class Breaking(nn.Module):
        calls = 0

        def forward(self, logits, y):
            self.calls += 1
            value = nn.functional.cross_entropy(logits, y)
            return value * float("nan") if self.calls >= 30 + step else value

    with pytest.raises(
        UserError, match=rf"nan at epoch 2, step {step}, images \d+, \d+ .*; lower tuning\.lr"
    ):
        tune(
            build(make_visual()),
            array_source(pixels),
            labels,
            Breaking(),
            TuningSettings(epochs=2, batch_size=2, augmentation=PLAIN),
            seed=0,
            mean=MEAN,
            std=STD,
        )


def test_overflow_in_float16_skips_the_step(make_visual, array_source):
    """Gradients of the first step are infinite: parameters stay, later steps train normally."""
    pixels, labels = toy()

    class Overflowing(nn.Module):
        calls = 0

        def forward(self, logits, y):
            self.calls += 1
            return nn.functional.cross_entropy(logits, y) * (1e36 if self.calls == 1 else 1)

    model = build(make_visual(), precision="float16")
    found = []

    class Watching(array_source):
        def batch(self, index):
            found.append(model.head.weight.detach().clone())
            return super().batch(index)

    options = TuningSettings(epochs=12, batch_size=16, lr=0.02, augmentation=PLAIN)
    history = tune(
        model, Watching(pixels), labels, Overflowing(), options, seed=0, mean=MEAN, std=STD
    )
    assert torch.equal(found[1], found[0])
    assert not torch.equal(found[-1], found[0])
    assert history[0].loss > 1e30
    assert history[-1].train_accuracy > 0.9


def test_a_diverging_run_stops(make_visual, array_source):
    pixels, labels = toy()
    with pytest.raises(UserError, match=r"tuning\.lr"):
        run(build(make_visual()), array_source(pixels), labels, lr=1e30)


def test_parameters_broken_by_the_very_last_step(make_visual, array_source):
    pixels, labels = toy(n=8)
    with pytest.raises(UserError, match=r"step 1, images .* left parameters"):
        run(build(make_visual()), array_source(pixels), labels, epochs=1, lr=math.inf)


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([0, 1, 2], "labels .* for 4 images"),
        ([0, 1, 3, 2], "label 3 of image 2"),
        ([0, -1, 3, 2], "label -1 of image 1"),
        ([0.0, 1.0, 2.0, 0.0], "integers"),
        ([[0, 1, 2, 0]], "labels"),
    ],
)
def test_bad_labels(make_visual, array_source, labels, complaint):
    source = array_source(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
    loss = make_loss("ce", np.array([1, 1, 1]))
    with pytest.raises(UserError, match=complaint):
        tune(
            build(make_visual()),
            source,
            np.array(labels),
            loss,
            TuningSettings(),
            seed=0,
            mean=MEAN,
            std=STD,
        )


def test_no_images(make_visual, array_source):
    with pytest.raises(UserError, match="no images"):
        tune(
            build(make_visual()),
            array_source(torch.zeros(0, 3, 8, 8, dtype=torch.uint8)),
            np.zeros(0, dtype=np.int64),
            make_loss("ce", np.array([1, 1, 1])),
            TuningSettings(),
            seed=0,
            mean=MEAN,
            std=STD,
        )


def test_images_too_small_for_the_model(make_visual, array_source):
    source = array_source(torch.zeros(4, 3, 6, 6, dtype=torch.uint8))
    with pytest.raises(UserError, match="6 x 6"):
        run(build(make_visual()), source, np.array([0, 1, 2, 0]))


class Wholes:
    """Images of several sizes: those of `toy`, some with a dark frame."""

    def __init__(self, pixels):
        self._images = [
            torch.nn.functional.pad(image, (k % 3, 0, k % 2, k % 4)).permute(1, 2, 0)
            for k, image in enumerate(pixels)
        ]
        self.sizes = np.array([image.shape[:2] for image in self._images])

    def __len__(self):
        return len(self._images)

    def image(self, row):
        return self._images[row]


def test_it_learns_from_random_crops_of_whole_images(make_visual):
    pixels, labels = toy()
    augmentation = Augmentation(crop_scale=(0.5, 1.0))
    histories, heads = [], []
    for seed in (0, 0, 1):
        model = build(make_visual())
        changes = {"epochs": 8, "lr": 0.02, "augmentation": augmentation}
        histories.append(run(model, Wholes(pixels), labels, seed=seed, **changes))
        heads.append(model.head.weight.detach().clone())
    assert histories[0][-1].loss < 0.5 * histories[0][0].loss
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
