"""When a state is saved; what is done with one that cannot be used."""

from pathlib import Path

import pytest
import torch
from torch import nn

from dualtail.errors import UserError
from dualtail.training import checkpoints as c
from dualtail.training.checkpoints import Checkpoints, remove_states
from dualtail.training.state import Trained, TrainingState, write_state


class Clock:
    """Takes the place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(c, "time", made)
    return made


def saved_at(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, cost: float, steps: int
) -> list[float]:
    """Steps of one second each; when they were followed by a save that takes `cost`."""
    found: list[float] = []
    start = clock.now

    def write(*_: object) -> None:
        found.append(clock.now - start)
        clock.now += cost

    monkeypatch.setattr(c, "write_state", write)
    made = Checkpoints(Path("state"), dict, seconds)
    for _ in range(steps):
        clock.now += 1
        made.after_step(str, lambda: TrainingState({}))
    return found


def test_saves_are_so_far_apart(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_at(clock, monkeypatch, 3.0, 0.0, 10) == [3, 6, 9]
    assert saved_at(clock, monkeypatch, 2.5, 0.0, 10) == [3, 6, 9]
    assert saved_at(clock, monkeypatch, 60.0, 0.0, 59) == []
    assert saved_at(clock, monkeypatch, 0.0, 0.0, 10) == []


@pytest.mark.parametrize("cost", [0.05, 0.2, 4.0])
def test_slow_saves_are_rare(clock: Clock, monkeypatch: pytest.MonkeyPatch, cost: float) -> None:
    """Whatever a save costs, after the first one it takes 2 % of the time at most."""
    found = saved_at(clock, monkeypatch, 1.0, cost, 2000)
    assert len(found) > 8
    assert cost * (len(found) - 1) <= 0.02 * (clock.now - 1000)


def model() -> Trained:
    made = nn.Linear(2, 2)
    return Trained({"model": made}, torch.optim.SGD(made.parameters(), 0.1))


def test_nothing_is_saved_or_read_without_an_interval(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_state(path, {}, model().capture())
    made = Checkpoints(path, dict, 0)
    assert made.load(model()) is None
    before = path.read_bytes()
    made.finish(lambda: TrainingState({}))
    made.after_step(str, lambda: TrainingState({}))
    assert path.read_bytes() == before


def test_a_state_that_is_not_worth_saving_leaves_the_last_one(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    made = Checkpoints(path, dict, 1e-9)
    assert made.advice() == ""
    made.after_step(str, model().capture)
    before = path.read_bytes()

    def broken() -> TrainingState:
        raise UserError("the loss is nan")

    with pytest.raises(UserError, match="nan"):
        made.finish(broken)
    assert path.read_bytes() == before
    assert made.advice() == f"; the last good state is kept in {path}"


def test_states_and_what_lies_beside_them_are_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for file in (path, other):
        file.write_text("state")
    unfinished = tmp_path / ".a.safetensors.unfinished"
    unfinished.mkdir()
    (unfinished / "a.safetensors").write_text("half")
    remove_states([path, tmp_path / "never.safetensors"])
    assert list(tmp_path.iterdir()) == [other]


def test_a_finished_training_is_kept_if_it_took_long_enough(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key, which takes longer than a short training is worth, is worked out only then."""
    written: list[object] = []
    monkeypatch.setattr(c, "write_state", lambda *given: written.append(given[1]))
    for seconds, kept in ((60.0, []), (20.0, [{"code": "x"}])):
        keys = iter([{"code": "x"}])
        made = Checkpoints(Path("state"), lambda keys=keys: next(keys), seconds)
        assert made.load(model()) is None
        clock.now += 30
        made.finish(lambda: TrainingState({}))
        assert written == kept
