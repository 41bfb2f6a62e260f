"""How long a study takes on so many GPUs: its jobs, what each waits for, and a schedule of them."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from dualtail.errors import UserError
from dualtail.estimate.rates import Rate
from dualtail.estimate.study import Estimator
from dualtail.plan import Plan
from dualtail.plan.scope import Tuning


@dataclass(frozen=True)
class Job:
    """One process of the run.

    Attributes:
        name: Unique.
        hours: From its start to its end.
        gpus: It holds so many; 0: it runs beside everything else.
        after: Jobs that it waits for.
    """

    name: str
    hours: float
    gpus: int
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Makespan:
    """A schedule in short.

    Attributes:
        gpus: How many there are.
        hours: From the first start to the last end.
        chain: Hours of the longest chain of jobs that wait for each other: no number of GPUs is faster.
        busy: Share of the GPUs' time that jobs hold.
    """

    gpus: int
    hours: float
    chain: float
    busy: float


def jobs_of(plan: Plan, rates: Sequence[Rate]) -> list[Job]:
    """The jobs whose hours `estimate_study` knows: packing, zero-shot outputs, tunings.

    Hours of a tuning with several GPUs are taken to shrink in proportion.

    Raises:
        UserError: hours of a job are not known.
    """
    estimator = Estimator(plan, rates)
    scope, settings = plan.scope, plan.config.jobs
    packs = {d: f"pack {d}" for d in scope.datasets}
    jobs = [
        Job(name, _hours(estimator.packing(d, scope.splits_of(d)).hours, name), 0)
        for d, name in packs.items()
    ]
    if settings.zero_shot == "model":
        zero_shot = {m: f"zero-shot {m}" for m in scope.members}
    else:
        zero_shot = dict.fromkeys(scope.members, "zero-shot")
    for name in dict.fromkeys(zero_shot.values()):
        members = [m for m in scope.members if zero_shot[m] == name]
        hours = _hours(estimator.zero_shot(members).hours, name)
        jobs.append(Job(name, hours, 1, tuple(packs.values())))
    tunings = _tuning_jobs(plan)
    job_of = {cell: name for name, cells in tunings.items() for cell in cells}
    for name, cells in tunings.items():
        after = {packs[dataset] for dataset, _, _ in cells}
        for dataset, member, way in cells:
            task = plan.tuning.tune_job([(dataset, member, way.name)]).tasks[0]
            if task.prior is not None:
                after.add(zero_shot[member])
            base = plan.config.losses[way.loss].retrain
            if base is not None:
                after.add(job_of[dataset, member, Tuning(way.peft, base, way.seed)])
        hours = _hours(estimator.tuning("tune", "all", cells, 1).hours, name)
        n = settings.gpus_per_tuning
        jobs.append(Job(name, hours / n, n, tuple(sorted(after - {name}))))
    return jobs


def _tuning_jobs(plan: Plan) -> dict[str, list[tuple[str, str, Tuning]]]:
    """Name of a job -> what it tunes."""
    scope, level = plan.scope, plan.config.jobs.tune
    found: dict[str, list[tuple[str, str, Tuning]]] = {}
    variants = set() if level == "tuning" else set(scope.variants)
    for dataset in scope.datasets:
        for member, way in scope.cells(dataset):
            parts = {
                "all": [],
                "dataset": [dataset],
                "model": [dataset, member],
                "tuning": [dataset, member, way.name],
            }[level]
            name = " ".join(["tune", *parts])
            if (dataset, member, way) in variants:
                name = "tune variants"
            found.setdefault(name, []).append((dataset, member, way))
    return found


def schedule(jobs: Sequence[Job], gpus: int) -> Makespan:
    """Start whatever can start, the job with the longest chain behind it first.

    Raises:
        UserError: a job holds more GPUs than there are.
    """
    largest = max((job.gpus for job in jobs), default=0)
    if largest > gpus:
        raise UserError(f"--gpus {gpus}: jobs.gpus_per_tuning is {largest}")
    chain = _chains(jobs)
    waiting = sorted(jobs, key=lambda job: -chain[job.name])
    running: list[tuple[float, str, int]] = []
    done: set[str] = set()
    now, free = 0.0, gpus
    while waiting or running:
        for job in list(waiting):
            if job.gpus <= free and done.issuperset(job.after):
                heapq.heappush(running, (now + job.hours, job.name, job.gpus))
                free -= job.gpus
                waiting.remove(job)
        now, name, held = heapq.heappop(running)
        done.add(name)
        free += held
    used = sum(job.hours * job.gpus for job in jobs)
    longest = max(chain.values(), default=0.0)
    return Makespan(gpus, now, longest, used / (now * gpus) if now else 0.0)


def _chains(jobs: Sequence[Job]) -> dict[str, float]:
    """Hours of the longest chain that starts with each job."""
    following: dict[str, list[str]] = {job.name: [] for job in jobs}
    for job in jobs:
        for name in job.after:
            following[name].append(job.name)
    hours = {job.name: job.hours for job in jobs}
    found: dict[str, float] = {}

    def chain(name: str) -> float:
        if name not in found:
            found[name] = hours[name] + max(map(chain, following[name]), default=0.0)
        return found[name]

    return {name: chain(name) for name in hours}


def _hours(hours: float | None, name: str) -> float:
    if hours is None:
        raise UserError(f"--gpus: the hours of {name!r} are not known (the table says why)")
    return hours
