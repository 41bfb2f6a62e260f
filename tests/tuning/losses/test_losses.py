import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.errors import UserError
from dualtail.tuning.loss_options import LOSS_OPTIONS
from dualtail.tuning.losses import LOSSES, make_loss


def prior_of(name, n_classes):
    """A prior that is not flat, for the losses that read one."""
    if not LOSSES.find(name).needs_prior:
        return None
    return np.arange(1, n_classes + 1) / (n_classes * (n_classes + 1) / 2)


def teacher_of(name, n_classes, dtype=torch.float32):
    """Logits of a teacher, the same for every image, for the losses that learn from one."""
    if not LOSSES.find(name).needs_teacher:
        return ()
    return (torch.linspace(-2, 3, n_classes, dtype=dtype).expand(6, -1),)


def log_softmax(f):
    return f - np.log(np.exp(f - f.max()).sum()) - f.max()


def written_out(name, logits, labels, n, **o):
    """Every loss by its published definition, a loop over images, float64."""
    pi = n / n.sum()
    log_p = [log_softmax(f)[y] for f, y in zip(logits, labels, strict=True)]
    if name == "ce":
        return -np.mean(log_p)
    if name in ("la", "bs", "gla"):
        weight = pi ** o.get("tau", 1.0) if name == "la" else n
        if name == "gla":
            weight = pi * prior_of(name, len(n))
        ratio = [
            weight[y] * np.exp(f[y]) / (weight * np.exp(f)).sum()
            for f, y in zip(logits, labels, strict=True)
        ]
        return -np.mean(np.log(ratio))
    if name == "distill":
        t = o.get("temperature", 4.0)
        (theirs,) = teacher_of(name, len(n), torch.float64)
        p = np.exp(log_softmax(theirs[0].numpy() / t))
        kl = [(p * (np.log(p) - log_softmax(f / t))).sum() for f in logits]
        kl = o.get("weight", 1.0) * t**2 * np.mean(kl)
        return written_out("la", logits, labels, n) + kl
    if name == "focal":
        p = np.exp(log_p)
        return np.mean((1 - p) ** o.get("gamma", 2.0) * -np.log(p))
    if name == "ldam":
        margins = n**-0.25
        margins = margins * o.get("max_margin", 0.5) / margins.max()
        total = 0.0
        for f, y in zip(logits, labels, strict=True):
            lowered = f.copy()
            lowered[y] -= o.get("scale", 25.0) * margins[y]
            total -= log_softmax(lowered)[y]
        return total / len(labels)
    if name in ("cb", "grw"):
        if name == "cb":
            beta = o.get("beta", 0.9999)
            w = (1 - beta) / (1 - beta**n)
        else:
            w = 1 / pi ** o.get("exponent", 1.0)
        w = w / w.mean()
        return -sum(w[y] * lp for y, lp in zip(labels, log_p, strict=True)) / w[labels].sum()
    assert name == "lade"
    total = written_out("la", logits, labels, n)
    for c in range(len(n)):
        own = logits[labels == c, c]
        first = own.mean() if len(own) else 0.0
        spread = logits[:, c] - np.log(pi[c] + 1e-9) + np.log(1 / len(n) + 1e-9)
        second = np.log(np.mean(np.exp(spread)))
        bound = first - second - o.get("ridge", 0.1) * second**2
        total -= o.get("weight", 0.1) * pi[c] * bound
    return total


CASES = [
    *((name, {}) for name in LOSS_OPTIONS),
    ("la", {"tau": 0.5}),
    ("focal", {"gamma": 0.0}),
    ("focal", {"gamma": 0.7}),
    ("ldam", {"max_margin": 0.2, "scale": 10.0}),
    ("cb", {"beta": 0.9}),
    ("grw", {"exponent": 0.3}),
    ("lade", {"ridge": 0.4, "weight": 2.0}),
    ("distill", {"weight": 0.5, "temperature": 1.0}),
    ("distill", {"weight": 0.0}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
@given(st.lists(st.integers(1, 5000), min_size=2, max_size=8), st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_definitions_value_and_gradient(name, options, counts, seed):
    rng = np.random.default_rng(seed)
    n = np.array(counts, dtype=np.float64)
    logits, labels = rng.normal(scale=3, size=(6, len(n))), rng.integers(0, len(n), 6)
    f = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    q = prior_of(name, len(n))
    made = make_loss(name, np.array(counts), options=options, q=q)
    found = made(f, torch.from_numpy(labels), *teacher_of(name, len(n)))
    expected = written_out(name, logits, labels, n, **options)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    found.backward()
    for row, column in zip(rng.integers(0, 6, 4), rng.integers(0, len(n), 4), strict=True):
        step = np.zeros_like(logits)
        step[row, column] = 1e-6
        above = written_out(name, logits + step, labels, n, **options)
        below = written_out(name, logits - step, labels, n, **options)
        numeric = (above - below) / 2e-6
        assert f.grad[row, column].item() == pytest.approx(numeric, rel=2e-3, abs=2e-5)


@pytest.mark.parametrize("name", LOSS_OPTIONS)
def test_mean_over_images_is_told_right(name):
    """Only the declared losses may be summed over micro-batches."""
    loss = make_loss(name, np.array([50, 7, 3]), q=prior_of(name, 3))
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 3, generator=generator), torch.tensor([0, 1, 2, 0, 0, 1])
    targets = (labels, *teacher_of(name, 3))
    first, second = ((t[:2] for t in targets), (t[2:] for t in targets))
    parts = (loss(logits[:2], *first) * 2 + loss(logits[2:], *second) * 4) / 6
    assert torch.isclose(parts, loss(logits, *targets), rtol=1e-5) == loss.mean_over_images


def test_focal_is_finite_where_the_model_is_certain():
    for gamma in (0.0, 0.5, 2.0):
        f = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
        value = make_loss("focal", np.array([1, 1]), options={"gamma": gamma})(
            f, torch.tensor([0, 0])
        )
        value.backward()
        assert value.item() == pytest.approx(100.0)
        assert torch.isfinite(f.grad).all()


def test_a_users_own_loss(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from dualtail.config.section import Section\n"
        "from dualtail.tuning.losses.method import Loss\n"
        "class Options(Section):\n    power: float = 1.0\n"
        "class Brier(Loss):\n"
        "    Options = Options\n"
        "    def __init__(self, train_counts, options):\n"
        "        super().__init__(train_counts, options)\n"
        "        self.power = options.power\n"
        "    def forward(self, logits, labels):\n"
        "        p = logits.softmax(1)[range(len(labels)), labels]\n"
        "        return ((1 - p) ** self.power).mean()\n"
    )
    logits, labels = torch.tensor([[0.0, 0.0]]), torch.tensor([1])
    loss = make_loss(f"{file}:Brier", np.array([1, 2]), options={"power": 2})
    assert loss(logits, labels).item() == pytest.approx(0.25)
    with pytest.raises(UserError, match="powr"):
        make_loss(f"{file}:Brier", np.array([1, 2]), options={"powr": 2})
    with pytest.raises(
        UserError, match=r"no class 'Briar', did you mean 'Brier'\?; it has: Options, Brier"
    ):
        make_loss(f"{file}:Briar", np.array([1, 2]))
    with pytest.raises(UserError, match="no such file"):
        make_loss(f"{tmp_path}/none.py:Brier", np.array([1, 2]))


def test_classes_without_images_are_named_at_once():
    counts, names = np.array([3, 0, 2, 0]), ["ant", "bee", "cat", "dog"]
    with pytest.raises(UserError, match=r"2 classes without a training image \(bee, dog\)"):
        make_loss("la", counts, names)
    assert torch.isfinite(make_loss("ce", counts, names)(torch.randn(2, 4), torch.tensor([0, 2])))
    with pytest.raises(UserError, match=r"\(0, 1, 2, 3, 4 \.\.\.\)"):
        make_loss("la", np.array([0] * 9 + [1]))


@pytest.mark.parametrize(
    ("name", "counts", "complaint"),
    [
        ("lla", [1, 2], "did you mean 'la'"),
        ("xyz", [1, 2], "known: bs, cb, ce, distill, focal, gla, grw, la, lade, ldam"),
        ("la", [1, -2], ">= 0"),
        ("ce", [0, 0], "at least one image"),
        ("la", [1.0, float("nan")], ">= 0"),
        ("la", [[1, 2]], "train_counts"),
        ("la", [], "train_counts"),
    ],
)
def test_bad_input(name, counts, complaint):
    with pytest.raises(UserError, match=complaint):
        make_loss(name, np.array(counts))


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("ce", {"tau": 1}, "tau"),
        ("focal", {"gamma": -1}, "gamma"),
        ("cb", {"beta": 1}, "beta"),
        ("ldam", {"margin": 1}, "margin"),
        ("lade", {"weight": "big"}, "weight"),
    ],
)
def test_bad_options(name, options, key):
    with pytest.raises(UserError, match=rf"loss '{name}': option '{key}'"):
        make_loss(name, np.array([1, 2]), options=options)


@pytest.mark.parametrize("name", sorted(set(LOSS_OPTIONS) - {"ce", "focal"}))
def test_priors_need_images_of_every_class(name):
    with pytest.raises(
        UserError, match=rf"loss '{name}': 1 classes without a training image \(1\)"
    ):
        make_loss(name, np.array([3, 0, 2]))


def test_a_loss_that_reads_q_gets_a_fitting_one():
    with pytest.raises(UserError, match=r"reads the pre-training prior q: give --prior"):
        make_loss("gla", np.array([1, 2]))
    for q in ([0.5, 0.2, 0.3], [1.0, 0.0], [1.0, float("nan")]):
        with pytest.raises(UserError, match="q must be 2 positive numbers"):
            make_loss("gla", np.array([1, 2]), q=np.array(q))


def test_names_must_match_the_counts():
    with pytest.raises(UserError, match="3 classes"):
        make_loss("la", np.array([1, 2]), ["a", "b", "c"])
