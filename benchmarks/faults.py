"""Break a tiny run in every way, run the same command again, and count what was lost.

    uv run python benchmarks/faults.py --times 5                # all faults, a table at the end
    uv run python benchmarks/faults.py --only job,disk          # some of them

A cell starts from a copy of an undisturbed run from which the outputs of one random stage are deleted. The
fault strikes at a random moment of the stage's job; then the same command runs again. Lost is: a file that
differs from the undisturbed run's, a file half written, a process left alive, a message that does not say
what is wrong, or a second run that does not end well. Full disks need root (a small tmpfs is mounted), and
are left out without.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[1]
CONFIG = "config/faults.yaml"
RUN = Path("results/faults")
WORLD = Path("data/world_faults")
TAG = "DUALTAIL_FAULTS"
"""Environment variable by which all processes of a cell are found."""

MEASURED = (".history.csv", ".json", ".tsv", ".log", ".lock", ".lock.owner")
"""Endings of files that hold times, and of locks."""

PATIENCE = 600.0

TOLERANCE = 0.05
"""Of parameters and logits after a step that was done in halves: its gradient has other rounding."""

HALVED = "images at a time: going on with"
"""What a training says then."""


@dataclass(frozen=True)
class Stage:
    """One stage of the run: a rule, what it makes, and what to ask Snakemake for.

    Attributes:
        rule: Its name, as folders of logs and benchmarks have it.
        folder: Where what it makes is.
        made: Files and folders that it makes, as patterns.
        targets: Outputs that all of it is made for.
    """

    rule: str
    folder: Path
    made: tuple[str, ...]
    targets: tuple[str, ...]


MEMBERS = ("clip", "openclip")
DUMPS = RUN / "outputs/world_places"
STAGES = {
    "generate_dataset": Stage(
        "generate_dataset",
        WORLD / "world_places",
        (f"{WORLD}/world_places",),
        (f"{WORLD}/world_places/train.txt",),
    ),
    "pack": Stage(
        "pack",
        RUN / "packs",
        (f"{RUN}/packs",),
        tuple(
            f"{RUN}/packs/world_places/{split}_32px.safetensors"
            for split in ("train", "val", "test")
        ),
    ),
    "pretrain": Stage(
        "pretrain",
        RUN / "foundation",
        (f"{RUN}/foundation/*.*",),
        tuple(f"{RUN}/foundation/{member}.safetensors" for member in MEMBERS),
    ),
    "zero_shot": Stage(
        "zero_shot",
        RUN / "outputs",
        (f"{DUMPS}/*/zero-shot.safetensors", f"{RUN}/foundation/*/*"),
        tuple(f"{DUMPS}/{member}/zero-shot.safetensors" for member in MEMBERS),
    ),
    "prior": Stage(
        "prior",
        RUN / "priors",
        (f"{RUN}/priors",),
        tuple(f"{RUN}/priors/world_places/{member}.csv" for member in MEMBERS),
    ),
    "tune": Stage(
        "tune",
        RUN / "adapters",
        (f"{RUN}/adapters", f"{DUMPS}/*/adaptformer-*"),
        tuple(f"{DUMPS}/{member}/adaptformer-la-0.safetensors" for member in MEMBERS),
    ),
}
ALL = [target for stage in STAGES.values() for target in stage.targets]
TRAINING = ("pretrain", "tune")


class Lost(Exception):
    """Something that a fault must not cost."""


class Missed(Exception):
    """The stage was over before the fault struck: no trial."""


@dataclass
class Cell:
    """A folder in which the run can be started, and the processes that it has.

    Attributes:
        folder: Where.
        name: Stands in the environment of all its processes.
        environment: Added to the environment.
        log: What all commands said.
    """

    folder: Path
    name: str
    environment: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def start(self, *targets: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "snakemake", *targets, "--configfile", CONFIG]
        return self.start_command(*command, "--cores", "2", "--resources", "gpu=1")

    def start_command(self, *command: str) -> subprocess.Popen[str]:
        scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = os.environ | {
            "PYTHONPATH": str(self.folder / "src"),
            "PATH": scripts,
            TAG: self.name,
        }
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def end(self, process: subprocess.Popen[str]) -> int:
        """Wait for a run; returns its exit status."""
        said, _ = process.communicate(timeout=PATIENCE)
        self.log += said
        return process.returncode

    def run(self, *targets: str) -> None:
        """Run to a good end."""
        process = self.start(*targets)
        if self.end(process):
            raise Lost(f"the run does not go on: {_last_line(self.log)}")

    def processes(self) -> dict[int, list[str]]:
        """Command lines of all living processes of this cell."""
        tag = f"{TAG}={self.name}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                if tag in (entry / "environ").read_bytes().split(b"\0"):
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                    found[int(entry.name)] = line.split("\0")
        return found

    def kill(self) -> None:
        """End all that is left."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def jobs(self) -> list[int]:
        """The processes of `dualtail`."""
        return [p for p, line in self.processes().items() if line[1:2] and _is_program(line[1])]

    def training(self, rule: str) -> list[int]:
        """Jobs, once one of a rule has trained for an epoch."""
        logs = (self.folder / RUN / "logs" / rule).rglob("*.log")
        return self.jobs() if any("epoch 1/" in log.read_text() for log in logs) else []

    def edit_config(self, old: str, new: str) -> None:
        path = self.folder / CONFIG
        text = path.read_text()
        assert old in text, old
        path.write_text(text.replace(old, new, 1))

    def wait_for(self, what: Callable[[], list[int]], run: subprocess.Popen[str]) -> list[int]:
        """Wait until there are such processes.

        Raises:
            Missed: the run ended before.
        """
        while run.poll() is None:
            if found := what():
                return found
            time.sleep(0.05)
        raise Missed

    def wait_for_silence(self, seconds: float = 60.0) -> None:
        """Wait until no process is left.

        Raises:
            Lost: some are.
        """
        deadline = time.monotonic() + seconds
        while left := self.processes():
            if time.monotonic() > deadline:
                raise Lost(f"{len(left)} processes left alive: {next(iter(left.values()))[:3]}")
            time.sleep(0.1)


def _is_program(path: str) -> bool:
    return Path(path).name == "dualtail"


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if "rror" in line]
    return (lines or text.splitlines() or [""])[-1][:200]


@dataclass(frozen=True)
class Trial:
    """What a fault is given.

    Attributes:
        cell: A copy of the undisturbed run without the outputs of `stage`.
        stage: What runs when it strikes.
        seconds: How long the stage's job took undisturbed.
        chance: Where randomness comes from.
    """

    cell: Cell
    stage: Stage
    seconds: float
    chance: random.Random

    def start_and_wait(
        self, training: bool = False, command: tuple[str, ...] = ()
    ) -> tuple[subprocess.Popen[str], list[int]]:
        """Start the run, or another command, and wait until a random moment of the stage's job.

        With `training` until one after the first epoch: a small job imports for most of its time.
        """
        start = self.cell.start_command if command else self.cell.start
        logs = self.cell.folder / RUN / "logs" / self.stage.rule
        shutil.rmtree(logs, ignore_errors=True)
        run = start(*(command or self.stage.targets))
        find = partial(self.cell.training, self.stage.rule) if training else self.cell.jobs
        self.cell.wait_for(find, run)
        time.sleep(self.chance.random() * (self.seconds / 8 if training else self.seconds))
        found = self.cell.jobs()
        if run.poll() is not None or not found:
            self.cell.end(run)
            raise Missed
        return run, found


Fault = Callable[[Trial], None]


def kill_everything(trial: Trial) -> None:
    """`kill -9` of the whole process group: what a power cut is to files."""
    run, _ = trial.start_and_wait()
    os.killpg(run.pid, signal.SIGKILL)
    trial.cell.end(run)


def kill_snakemake(trial: Trial) -> None:
    """`kill -9` of Snakemake; the next command comes at once, beside its orphans."""
    run, _ = trial.start_and_wait()
    run.kill()
    run.wait()


def kill_snakemake_then_change(trial: Trial) -> None:
    """`kill -9` of Snakemake alone; a setting is changed at once, while jobs with the old one live."""
    section, epochs = {"tune": ("tuning", 400), "pretrain": ("pretraining", 40)}[trial.stage.rule]
    right, wrong = f"{section}:\n  epochs: 2\n", f"{section}:\n  epochs: {epochs}\n"
    trial.cell.edit_config(right, wrong)
    kill_snakemake(trial)
    trial.cell.edit_config(wrong, right)


def kill_job(trial: Trial) -> None:
    """`kill -9` of a job."""
    run, jobs = trial.start_and_wait()
    with contextlib.suppress(ProcessLookupError):
        os.kill(trial.chance.choice(jobs), signal.SIGKILL)
    if trial.cell.end(run) == 0:
        raise Missed


def terminate(trial: Trial) -> None:
    """SIGTERM to Snakemake, as a batch system sends it."""
    run, _ = trial.start_and_wait()
    run.terminate()
    trial.cell.end(run)


def interrupt(trial: Trial) -> None:
    """Ctrl-C: SIGINT to all processes of the terminal."""
    run, _ = trial.start_and_wait()
    os.killpg(run.pid, signal.SIGINT)
    trial.cell.end(run)


def kill_dvc(trial: Trial) -> None:
    """`kill -9` of DVC alone, whose stage is the run; then the same command until it is taken.

    While the Snakemake of the first one lives, the second must say so.
    """
    cell = trial.cell
    dvc = (sys.executable, "-m", "dvc")
    command = f"snakemake {' '.join(trial.stage.targets)} --configfile {CONFIG} --cores 2"
    stage = {"cmd": command, "deps": [CONFIG], "outs": [{str(RUN): {"persist": True}}]}
    (cell.folder / "dvc.yaml").write_text(json.dumps({"stages": {"run": stage}}))
    if cell.end(cell.start_command(*dvc, "init", "-q", "--no-scm")):
        raise Lost(f"dvc init failed: {_last_line(cell.log)}")
    run, _ = trial.start_and_wait(command=(*dvc, "repro"))
    run.kill()
    run.wait()
    if cell.end(cell.start_command(*dvc, "repro")):
        if "another run is alive here: pid" not in cell.log:
            raise Lost(f"dvc repro does not go on: {_last_line(cell.log)}")
        cell.wait_for_silence(PATIENCE)
        if cell.end(cell.start_command(*dvc, "repro")):
            raise Lost(f"dvc repro does not go on: {_last_line(cell.log)}")


def not_finite(trial: Trial) -> None:
    """A learning rate at which the loss is no number; then the right one again."""
    cell, section = trial.cell, {"tune": "tuning", "pretrain": "pretraining"}[trial.stage.rule]
    right, wrong = f"{section}:\n", f"{section}:\n  lr: 1.0e+14\n"
    cell.edit_config(right, wrong)
    if cell.end(cell.start(*trial.stage.targets)) == 0:
        raise Lost("it went on")
    if not re.search(r"epoch \d+, step \d+, images \d+.*; lower", cell.log):
        raise Lost(f"the message does not name the batch: {_last_line(cell.log)}")
    cell.edit_config(wrong, right)


def no_memory(trial: Trial) -> None:
    """From a random moment the jobs get no more memory; then the same command without that limit."""
    run, jobs = trial.start_and_wait(training=True)
    for pid in jobs:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            limit = pages * os.sysconf("SC_PAGESIZE") + trial.chance.randrange(1 << 22)
            resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    status = trial.cell.end(run)
    if status == 0 and HALVED not in trial.cell.log:
        raise Missed
    if "memory" not in trial.cell.log.lower():
        raise Lost(f"the message does not say it: {_last_line(trial.cell.log)}")


def two_runs(trial: Trial) -> None:
    """The same command a second time while it runs."""
    run, _ = trial.start_and_wait()
    second = trial.cell.start(*trial.stage.targets)
    status = trial.cell.end(second)
    alive = run.poll() is None
    if trial.cell.end(run):
        raise Lost("the first run was disturbed")
    if alive and (status == 0 or f"pid {run.pid} " not in trial.cell.log):
        raise Lost("the second run did not name the first")


def moved_folder(trial: Trial) -> None:
    """`kill -9` of everything; then the folder gets another name, with spaces and an umlaut."""
    kill_everything(trial)
    trial.cell.wait_for_silence()
    new = trial.cell.folder.with_name(f"{trial.cell.folder.name} m\u00f6ved to")
    trial.cell.folder.rename(new)
    trial.cell.folder = new


def clock_backwards(trial: Trial) -> None:
    """All that is there was made tomorrow, as after a clock that went back; then times are set to now.

    Snakemake refuses what is made from files of the future.
    """
    cell, tomorrow = trial.cell, time.time() + 86_400
    for path in [*cell.folder.glob("results/**/*"), *cell.folder.glob("data/**/*")]:
        os.utime(path, (tomorrow, tomorrow))
    if cell.end(cell.start(*trial.stage.targets)):
        if "clock skew" not in cell.log:
            raise Lost(f"the message does not say it: {_last_line(cell.log)}")
        touch = ("find", "results", "data", "-newermt", "now", "-exec", "touch", "{}", "+")
        subprocess.run(touch, cwd=cell.folder, check=True)
        cell.run(*trial.stage.targets)


def read_only_caches(trial: Trial) -> None:
    """No home and no cache can be written (below /proc nobody may, root included).

    Snakemake itself does not start without a cache of its own, before it reads the Snakefile.
    """
    names = ("HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TORCH_HOME", "HF_HOME")
    trial.cell.environment |= dict.fromkeys(names, "/proc/nowhere")
    trial.cell.environment["XDG_CACHE_HOME"] = str(trial.cell.folder / "cache")
    trial.cell.run(*trial.stage.targets)


def corrupt_image(trial: Trial) -> None:
    """A picture in an archive that the run drew is overwritten: the message must name it.

    Then the archive is put back.
    """
    splits = ("train", "val", "test")
    archive = trial.cell.folder / WORLD / f"world_places/{trial.chance.choice(splits)}.zip"
    whole, times = archive.read_bytes(), archive.stat()
    data = bytearray(whole)
    at = trial.chance.choice([match.start() for match in re.finditer(b"\x89PNG", data)])
    data[at : at + 60] = bytes(60)
    archive.write_bytes(data)
    if trial.cell.end(trial.cell.start(*trial.stage.targets)) == 0:
        raise Lost("a corrupt image was packed")
    if "corrupt image" not in trial.cell.log or ".txt line " not in trial.cell.log:
        raise Lost(f"the message does not name the image: {_last_line(trial.cell.log)}")
    archive.write_bytes(whole)
    os.utime(archive, ns=(times.st_atime_ns, times.st_mtime_ns))


def full_disk(trial: Trial) -> None:
    """The stage's folder is a disk that is too small; then room is made."""
    folder = trial.cell.folder / trial.stage.folder
    keep = Path(tempfile.mkdtemp(dir=trial.cell.folder))
    if folder.exists():
        shutil.copytree(folder, keep / "kept", symlinks=True)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    kept = sum(p.stat().st_size // 4096 + 2 for p in keep.rglob("*")) * 4096
    size = kept + trial.chance.randrange(2, 24) * 4096
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        if (keep / "kept").exists():
            shutil.copytree(keep / "kept", folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(keep)
        if trial.cell.end(trial.cell.start(*trial.stage.targets)) == 0:
            raise Missed
        if "disk full" not in trial.cell.log:
            raise Lost(f"the message does not say it: {_last_line(trial.cell.log)}")
        _check_no_half_files(trial.cell)
        subprocess.run(["mount", "-o", "remount,size=1g", folder], check=True)
        trial.cell.run(*trial.stage.targets)
        made = Path(tempfile.mkdtemp(dir=trial.cell.folder.parent))
        shutil.copytree(folder, made / "made", symlinks=True)
    finally:
        subprocess.run(["umount", folder], check=True)
    shutil.copytree(made / "made", folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(made)


FAULTS: dict[str, tuple[str, Fault, tuple[str, ...]]] = {
    "all": ("kill -9 of Snakemake and its jobs", kill_everything, tuple(STAGES)),
    "snakemake": (
        "kill -9 of Snakemake alone, same command at once",
        kill_snakemake,
        tuple(STAGES),
    ),
    "change": (
        "kill -9 of Snakemake alone, another setting at once",
        kill_snakemake_then_change,
        TRAINING,
    ),
    "job": ("kill -9 of a job", kill_job, tuple(STAGES)),
    "term": ("SIGTERM to Snakemake", terminate, tuple(STAGES)),
    "int": ("SIGINT to all (Ctrl-C)", interrupt, tuple(STAGES)),
    "disk": ("disk full (small tmpfs), then room made", full_disk, tuple(STAGES)),
    "memory": ("no more memory for a job that trains", no_memory, TRAINING),
    "loss": ("a loss that is not finite, then a better setting", not_finite, TRAINING),
    "dvc": ("kill -9 of DVC, same command", kill_dvc, tuple(STAGES)),
    "image": ("a corrupt image in an archive that the run made", corrupt_image, ("pack",)),
    "caches": ("home and caches cannot be written", read_only_caches, tuple(STAGES)),
    "two": ("two runs in one folder", two_runs, tuple(STAGES)),
    "moved": ("kill -9 of all, then the folder moved", moved_folder, tuple(STAGES)),
    "clock": ("the clock went back a day", clock_backwards, tuple(STAGES)),
}
"""Key -> what the table says, what is done, stages it can strike."""


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of all data and results that hold no times."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for base in ("data", "results")
        for path in sorted((folder / base).rglob("*"))
        if path.is_file() and not path.name.endswith(MEASURED)
    }


def _check_no_half_files(cell: Cell) -> None:
    for base in ("data", "results"):
        for path in (cell.folder / base).rglob("*"):
            if ".unfinished" in path.name or path.name.startswith(".tmp"):
                raise Lost(f"a half file: {path.relative_to(cell.folder)}")


def check(
    cell: Cell, targets: tuple[str, ...], expected: dict[str, str], undisturbed: Path
) -> None:
    """Run the same command, and compare everything.

    Raises:
        Lost: see the module.
    """
    cell.run(*targets)
    cell.wait_for_silence()
    _check_no_half_files(cell)
    found = hashes(cell.folder)
    differ = sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )
    if HALVED in cell.log:
        differ = [n for n in differ if not _are_close(cell.folder / n, undisturbed / n)]
    if differ:
        raise Lost(f"{len(differ)} files differ: {', '.join(differ[:3])}")


def _are_close(one: Path, other: Path) -> bool:
    """Whether two files hold the same tensors within rounding."""
    if not (one.is_file() and other.is_file() and one.suffix == ".safetensors"):
        return False
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(
        np.allclose(a[k].astype(float), b[k].astype(float), rtol=0, atol=TOLERANCE) for k in a
    )


def prepare(folder: Path) -> tuple[dict[str, str], dict[str, float]]:
    """Make the undisturbed run; returns its hashes and the seconds of every stage."""
    folder.mkdir(parents=True)
    for name in ("src", "workflow", "config"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    cell = Cell(folder, str(folder))
    try:
        cell.run(*ALL)
    except Lost as error:
        sys.exit(f"the undisturbed run failed: {error}\n{cell.log[-3000:]}")
    seconds = {}
    for name, stage in STAGES.items():
        file = next((folder / RUN / "benchmarks" / stage.rule).rglob("*.tsv"))
        seconds[name] = float(file.read_text().splitlines()[1].split("\t")[0])
    return hashes(folder), seconds


def trial(
    work: Path, key: str, number: int, chance: random.Random, seconds: dict[str, float]
) -> tuple[str, Cell, tuple[str, ...]]:
    """Strike once; returns the stage, the cell and the targets of the next command."""
    _, fault, stages = FAULTS[key]
    for attempt in range(5):
        name = chance.choice(stages)
        stage = STAGES[name]
        folder = work / f"{key} {number}-{attempt}"
        shutil.copytree(work / "undisturbed", folder, symlinks=True)
        for pattern in stage.made:
            for path in folder.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        cell = Cell(folder, str(folder))
        try:
            fault(Trial(cell, stage, seconds[name], chance))
        except (KeyboardInterrupt, SystemExit):
            cell.kill()
            raise
        except Missed:
            cell.wait_for_silence()
            shutil.rmtree(cell.folder)
            continue
        except Lost as error:
            cell.kill()
            raise Lost(f"{name}: {error}") from error
        return name, cell, stage.targets
    raise Missed


def table(results: dict[str, list[str]]) -> Iterator[str]:
    """The lines of the Markdown table."""
    yield "| fault | tried | lost |"
    yield "| --- | ---: | --- |"
    for key, lost in results.items():
        shown = "; ".join(sorted({text for text in lost if text})) or "nothing"
        yield f"| {FAULTS[key][0]} | {len(lost)} | {shown} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=1, help="trials a fault")
    parser.add_argument("--only", default="", help=f"some of: {', '.join(FAULTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="folder for the copies; default: a temporary one")
    arguments = parser.parse_args()
    keys = [k for k in arguments.only.split(",") if k] or list(FAULTS)
    unknown = set(keys) - FAULTS.keys()
    if unknown:
        sys.exit(f"--only: no fault {sorted(unknown)[0]!r}; there are {', '.join(FAULTS)}")
    if "disk" in keys and os.geteuid() != 0:
        print("disk: left out, only root can mount a small disk", file=sys.stderr)
        keys.remove("disk")
    chance = random.Random(arguments.seed)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    begin = time.monotonic()
    results: dict[str, list[str]] = {key: [] for key in keys}
    with tempfile.TemporaryDirectory(dir=arguments.work, ignore_cleanup_errors=True) as name:
        work = Path(name)
        expected, seconds = prepare(work / "undisturbed")
        try:
            for number in range(arguments.times):
                for key in keys:
                    results[key] += strike(work, key, number, chance, seconds, expected)
        finally:
            print("\n".join(table(results)))
            print(f"\n{len(expected)} files compared; {time.monotonic() - begin:.0f} s in all.")


def strike(
    work: Path,
    key: str,
    number: int,
    chance: random.Random,
    seconds: dict[str, float],
    expected: dict[str, str],
) -> list[str]:
    """One trial with all checks: [what was lost, "" for nothing], or [] if there was none."""
    started = time.monotonic()
    where, lost = "", ""
    try:
        where, cell, targets = trial(work, key, number, chance, seconds)
        try:
            check(cell, targets, expected, work / "undisturbed")
        finally:
            cell.kill()
        shutil.rmtree(cell.folder)
    except Missed:
        print(f"{key}: no trial in five", file=sys.stderr, flush=True)
        return []
    except Lost as error:
        lost = str(error)
    took = time.monotonic() - started
    text = f"{key} {number + 1}, {where}: {lost or 'nothing lost'} ({took:.0f} s)"
    print(text, file=sys.stderr, flush=True)
    return [lost]


if __name__ == "__main__":
    main()
