"""State files: exact, and never a crash when they are broken."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from dualtail.training.state import StateProblem, Trained, TrainingState, read_state, write_state

KEY = {"setting": "a", "code": "b"}


def network(seed: int = 0, width: int = 4) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten())
    made[0].weight.requires_grad_(seed >= 0)
    return made


OPTIMIZERS: dict[str, Callable[[list], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "fused-sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "sgd-without-momentum": lambda p: torch.optim.SGD(p, 0.1),
}


def trained(optimizer: str, seed: int = 0) -> Trained:
    model = network(seed).to(memory_format=torch.channels_last)
    made = OPTIMIZERS[optimizer]([p for p in model.parameters() if p.requires_grad])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(made, 10)
    return Trained({"model": model}, made, schedule=schedule)


def step(found: Trained, k: int) -> None:
    images = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(k))
    found.optimizer.zero_grad()
    (found.modules["model"](images) ** 2).mean().backward()
    found.optimizer.step()
    assert found.schedule is not None
    found.schedule.step()


def bits(found: Trained) -> list[bytes]:
    tensors = [*found.modules["model"].state_dict().values()]
    return [t.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for t in tensors]


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("before", [0, 1, 4])
def test_optimizer_schedule_and_batch_norm_go_on(
    tmp_path: Path, optimizer: str, before: int
) -> None:
    path = tmp_path / "state.safetensors"
    left_alone, killed = trained(optimizer), trained(optimizer)
    for k in range(8):
        step(left_alone, k)
    for k in range(before):
        step(killed, k)
    write_state(path, KEY, killed.capture())
    fresh = trained(optimizer, seed=1)
    fresh.restore(read_state(path, KEY))
    for k in range(before, 8):
        step(fresh, k)
    assert bits(fresh) == bits(left_alone)
    assert fresh.optimizer.param_groups[0]["lr"] == left_alone.optimizer.param_groups[0]["lr"]


@given(values=st.lists(st.floats(allow_nan=False), max_size=5))
def test_numbers_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    tensors = {"a": torch.tensor(values, dtype=torch.float64), "b": torch.tensor(3)}
    write_state(path, KEY, TrainingState(tensors, {"history": values}))
    found = read_state(path, KEY)
    assert [v.hex() for v in found.values["history"]] == [v.hex() for v in values]
    assert torch.equal(found.tensors["a"], tensors["a"])
    assert found.tensors["b"].shape == ()


def test_rows_keep_the_order_of_their_columns(tmp_path: Path) -> None:
    rows = [
        {"epoch": 1, "loss": 0.5, "accuracy": 0.25},
        {"epoch": 2, "loss": 0.25, "accuracy": 0.5},
    ]
    write_state(tmp_path / "state", KEY, TrainingState({}, {"history": rows}))
    found = read_state(tmp_path / "state", KEY).values["history"]
    assert [list(row.items()) for row in found] == [list(row.items()) for row in rows]


def test_equal_states_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_state(tmp_path / name, KEY, trained("adamw").capture())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_frozen_parameters_are_left_out() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    names = Trained({"m": model}, torch.optim.SGD([model[0].bias], 0.1)).capture().tensors
    assert "module.m.0.weight" not in names
    assert {"module.m.0.bias", "module.m.1.running_mean", "module.m.1.weight"} <= names.keys()


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ({"setting": "a", "code": "c"}, "another code"),
        ({"setting": "x", "code": "c"}, "another code, setting"),
        ({"setting": "a"}, "another code"),
        (KEY | {"prior": "p"}, "another prior"),
    ],
)
def test_a_state_of_another_training(tmp_path: Path, key: dict[str, str], complaint: str) -> None:
    write_state(tmp_path / "s", KEY, TrainingState({}))
    with pytest.raises(StateProblem, match=complaint):
        read_state(tmp_path / "s", key)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "state.safetensors"
    tensors = {"a": torch.arange(20.0), "b": torch.ones(3, dtype=torch.int64)}
    write_state(path, KEY, TrainingState(tensors, {"step": 3}))
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
        read_state(path, KEY)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_no_state(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("random") / "state.safetensors"
    path.write_bytes(content)
    with pytest.raises(StateProblem):
        read_state(path, KEY)


def test_other_safetensors_files_and_folders_are_no_states(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors")
    save_file(
        {"a": torch.ones(2)},
        tmp_path / "later.safetensors",
        metadata={"dualtail_training_state": f"0 {json.dumps({'schema_version': 99})}"},
    )
    for path in (tmp_path, tmp_path / "other.safetensors", tmp_path / "later.safetensors"):
        with pytest.raises(StateProblem):
            read_state(path, KEY)


def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    wider = network(width=6)
    write_state(
        path, KEY, Trained({"model": wider}, OPTIMIZERS["sgd"](list(wider.parameters()))).capture()
    )
    found = trained("sgd")
    before = bits(found)
    with pytest.raises(StateProblem, match="not those of this training"):
        found.restore(read_state(path, KEY))
    assert bits(found) == before


def test_not_finite() -> None:
    found = trained("sgd")
    assert found.not_finite() is None
    with torch.no_grad():
        found.modules["model"][1].bias[2] = float("inf")
    assert found.not_finite() == "model.1.bias"
