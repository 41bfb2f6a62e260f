"""Makespans, against schedules by hand, bounds that hold for all, and the sum of the estimate."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtail.config.document import read_config
from dualtail.errors import UserError
from dualtail.estimate.makespan import Job, jobs_of, schedule
from dualtail.estimate.rates import given_rates
from dualtail.estimate.study import estimate_study
from dualtail.plan import Plan

RATES = given_rates("train=100,infer=400,decode=50")


def test_a_schedule_by_hand() -> None:
    jobs = [
        Job("pack", 1.0, 0),
        Job("short", 1.0, 1, ("pack",)),
        Job("long", 4.0, 1, ("pack",)),
        Job("middle", 2.0, 1, ("pack",)),
        Job("last", 3.0, 1, ("short",)),
    ]
    one, two, many = (schedule(jobs, n) for n in (1, 2, 8))
    assert (one.hours, one.chain, one.busy) == (11.0, 5.0, 10 / 11)
    # long, then middle | short, then last
    assert (two.hours, two.busy) == (7.0, 10 / 14)
    assert (many.hours, many.busy) == (5.0, 10 / 40)


def test_a_job_of_two_waits_for_two() -> None:
    jobs = [Job("a", 1.0, 1), Job("b", 2.0, 1), Job("pair", 1.0, 2, ("a",))]
    assert schedule(jobs, 2).hours == 3.0
    with pytest.raises(UserError, match=r"--gpus 1: jobs\.gpus_per_tuning is 2"):
        schedule(jobs, 1)


@st.composite
def graphs(draw: st.DrawFn) -> list[Job]:
    jobs: list[Job] = []
    for k in range(draw(st.integers(1, 12))):
        after = draw(st.sets(st.sampled_from([j.name for j in jobs]))) if jobs else set()
        hours = draw(st.integers(0, 20)) / 4
        jobs.append(Job(f"job {k}", hours, draw(st.integers(0, 2)), tuple(sorted(after))))
    return jobs


@given(jobs=graphs(), gpus=st.integers(2, 6))
def test_bounds_of_every_schedule(jobs: list[Job], gpus: int) -> None:
    found = schedule(jobs, gpus)
    work = sum(job.hours * job.gpus for job in jobs)
    assert found.hours >= found.chain
    assert found.hours * gpus >= work - 1e-9
    assert found.hours <= sum(job.hours for job in jobs)
    assert 0 <= found.busy <= 1 + 1e-9
    assert schedule(jobs, 100).hours == pytest.approx(found.chain)


@pytest.mark.parametrize("level", ["all", "dataset", "model", "tuning"])
def test_one_device_takes_the_sum_of_the_estimate(root: Path, level: str) -> None:
    config = read_config([root / "config.yaml", root / "config/paper.yaml"])
    jobs = config.jobs.model_copy(update={"tune": level, "zero_shot": "all"})
    plan = Plan(config.model_copy(update={"jobs": jobs}))
    stages = estimate_study(plan, RATES)
    on_gpu = sum(s.hours or 0 for s in stages if s.stage != "pack")
    first = max(s.hours or 0 for s in stages if s.stage == "pack")
    one = schedule(jobs_of(plan, RATES), 1)
    assert on_gpu <= one.hours <= on_gpu + first + 1e-9


def test_what_the_tunings_of_the_paper_wait_for(root: Path) -> None:
    plan = Plan(read_config([root / "config.yaml", root / "config/paper.yaml"]))
    jobs = {job.name: job for job in jobs_of(plan, RATES)}
    assert sum(name.startswith("tune") for name in jobs) == 45
    clip = "tune imagenet_lt clip adaptformer"
    assert jobs[f"{clip}-la-0"].after == ("pack imagenet_lt",)
    assert f"{clip}-ce-0" in jobs[f"{clip}-decoupling-0"].after
    assert f"{clip}-gla_first-0" in jobs[f"{clip}-gla_train-0"].after
    assert "zero-shot clip" in jobs[f"{clip}-gla_first-0"].after
    # A tuning of iNaturalist and the head on it: more GPUs than jobs do not shorten that.
    chain = schedule(list(jobs.values()), 64).chain
    assert schedule(list(jobs.values()), 1000).hours == pytest.approx(chain)


def test_unknown_hours_are_a_clear_error(root: Path) -> None:
    plan = Plan(read_config([root / "config.yaml", root / "config/paper.yaml"]))
    with pytest.raises(UserError, match="hours of 'pack imagenet_lt' are not known"):
        jobs_of(plan, given_rates("train=100,infer=400"))
