"""State files: exact, and never a crash when they are broken."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dualtail.training.sgd import Sgd
from dualtail.training.state import StateFile, StateProblem, Trained

KEY = {"setting": "a", "code": "b"}
OPTIMIZERS: dict[str, Callable[[list], torch.optim.Optimizer | Sgd]] = {
    "fused-sgd": lambda p: Sgd(p, lr=0.1, momentum=0.9, weight_decay=0.01, fused=True),
    "sgd": lambda p: Sgd(p, lr=0.1, momentum=0.9, weight_decay=0.01, fused=False),
    "sgd-without-momentum": lambda p: Sgd(p, lr=0.1, momentum=0, weight_decay=0, fused=False),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
}


def trained(optimizer: str, seed: int = 0) -> Trained:
    """Convolution, batch norm, and noise from the loop's generator and from torch's."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    model = model.to(memory_format=torch.channels_last)
    made = OPTIMIZERS[optimizer](list(model.parameters()))
    return Trained({"model": model}, made, {"order": torch.Generator().manual_seed(seed)})


def step(found: Trained) -> None:
    images = torch.randn(5, 3, 4, 4, generator=found.generators["order"]) + torch.randn(())
    found.optimizer.zero_grad()
    (found.modules["model"](images) ** 2).mean().backward()
    found.optimizer.step()


def bits(found: Trained) -> list[bytes]:
    tensors = found.modules["model"].state_dict().values()
    return [t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for t in tensors]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("before", [0, 1, 4])
def test_optimizer_batch_norm_and_generators_go_on(
    tmp_path: Path, optimizer: str, before: int
) -> None:
    file = StateFile(tmp_path / "state.safetensors", KEY)
    killed, fresh = trained(optimizer), trained(optimizer, seed=1)
    for _ in range(before):
        step(killed)
    file.write(killed.capture(), [])
    for _ in range(3):
        step(killed)
    fresh.restore(file.read()[0])
    for _ in range(3):
        step(fresh)
    assert bits(fresh) == bits(killed)


@given(values=st.lists(st.floats(allow_nan=False), max_size=5))
def test_histories_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    """To the last digit, with their columns in order."""
    file = StateFile(tmp_path_factory.mktemp("state") / "state.safetensors", KEY)
    rows = [{"loss": value, "epoch": k} for k, value in enumerate(values)]
    file.write({"b": torch.tensor(3)}, rows)
    tensors, found = file.read()
    assert [list(row.items()) for row in found] == [list(row.items()) for row in rows]
    assert tensors["b"].shape == ()


def test_frozen_parameters_are_left_out() -> None:
    found = trained("sgd")
    found.modules["model"].get_parameter("0.weight").requires_grad_(False)
    names = found.capture()
    assert "module.model.0.weight" not in names
    assert {"module.model.0.bias", "module.model.1.running_mean"} <= names.keys()


def test_parameters_that_are_not_finite_are_named() -> None:
    found = trained("sgd")
    assert found.not_finite() is None
    with torch.no_grad():
        found.modules["model"].get_parameter("1.bias")[2] = float("inf")
    assert found.not_finite() == "model.1.bias"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ({"setting": "x", "code": "c"}, "another code, setting"),
        ({"setting": "a"}, "another code"),
        (KEY | {"prior": "p"}, "another prior"),
    ],
)
def test_a_state_of_another_training(tmp_path: Path, key: dict[str, str], complaint: str) -> None:
    StateFile(tmp_path / "s", KEY).write({}, [])
    with pytest.raises(StateProblem, match=complaint):
        StateFile(tmp_path / "s", key).read()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "state.safetensors"
    StateFile(path, KEY).write({"a": torch.arange(20.0), "b": torch.ones(3).long()}, [])
    return path.read_bytes()


@given(data=st.data())
def test_a_truncated_or_damaged_file_is_a_problem_and_no_crash(
    tmp_path_factory: pytest.TempPathFactory, whole: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("broken") / "state.safetensors"
    if data.draw(st.booleans(), "truncate"):
        broken = whole[: data.draw(st.integers(0, len(whole) - 1), "length")]
    else:
        at = data.draw(st.integers(0, len(whole) - 1), "place")
        byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[at]), "byte")
        broken = whole[:at] + bytes([byte]) + whole[at + 1 :]
    path.write_bytes(broken)
    with pytest.raises(StateProblem):
        StateFile(path, KEY).read()


def test_other_files_and_folders_are_no_states(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text").write_text("state")
    for path in (tmp_path, tmp_path / "other.safetensors", tmp_path / "text"):
        with pytest.raises(StateProblem):
            StateFile(path, KEY).read()


def test_it_is_removed_with_what_a_killed_process_left_beside_it(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "a.safetensors", KEY)
    file.remove()
    file.write({}, [])
    (tmp_path / ".a.safetensors.unfinished").mkdir()
    (tmp_path / ".a.safetensors.unfinished/a.safetensors").write_text("half")
    file.remove()
    assert not list(tmp_path.iterdir())
