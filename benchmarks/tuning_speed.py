"""Train steps and inference of a tuned ViT-B/16 on the CPU, beside the public LIFT code.

Run: python benchmarks/tuning_speed.py [--lift FOLDER]

AdaptFormer, cosine head, logit-adjusted loss, 224 px, bfloat16, random weights and images, in steady
state. With --lift, a checkout of LIFT is measured in the same run, under bfloat16 autocast and with the
class meters of its trainer. Every system and task has a process of its own, whose peak memory is
reported. Measurements alternate between the systems. img/s is by the clock; img/cpu-s counts the
processor time of all threads, which other people's jobs on the machine hardly change.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
import torch

SIZE = 224
TASKS = ("inference", "train step")
Step = Callable[[], object]


def ours(options: argparse.Namespace) -> dict[str, Step]:
    import open_clip

    from dualtail.foundation.open_clip_tower import from_open_clip
    from dualtail.tuning.heads import build_head
    from dualtail.tuning.losses import make_loss
    from dualtail.tuning.tuned_model import build_tuned_model

    n = options.n_classes
    model = build_tuned_model(
        from_open_clip(open_clip.create_model("ViT-B-16-quickgelu").visual),
        build_head("cosine", torch.randn(n, 768), 25.0),
        peft="adaptformer",
        peft_options={},
        precision="bfloat16",
        seed=0,
    )
    loss = make_loss("la", np.arange(1, n + 1), [str(c) for c in range(n)])
    images, labels = batch(options)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
    correct = torch.zeros((), dtype=torch.int64)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits, _ = model(images)
        loss(logits, labels).backward()
        optimizer.step()
        correct.add_((logits.detach().argmax(dim=1) == labels).sum())

    def infer() -> object:
        with torch.inference_mode():
            return model(images)

    return {"train step": train, "inference": infer}


def lift(options: argparse.Namespace) -> dict[str, Step]:
    sys.path.insert(0, str(options.lift))
    from clip.model import VisionTransformer  # type: ignore[import-not-found]
    from models.classifiers import CosineClassifier  # type: ignore[import-not-found]
    from models.peft_vit import Peft_ViT, ViT_Tuner  # type: ignore[import-not-found]
    from utils.meter import AverageMeter  # type: ignore[import-not-found]

    n = options.n_classes
    visual = VisionTransformer(SIZE, 16, 768, 12, 12, 512)
    off = "full_tuning bias_tuning ln_tuning vpt_shallow vpt_deep adapter lora lora_mlp mask"
    off += " ssf_attn ssf_mlp ssf_ln"
    unset = "partial vpt_len adapter_dim mask_ratio mask_seed"
    config = SimpleNamespace(
        **dict.fromkeys(off.split(), False), **dict.fromkeys(unset.split()), adaptformer=True
    )
    encoder, tuner = Peft_ViT(visual), ViT_Tuner(config, visual, n)
    head = CosineClassifier(768, n, torch.float32, scale=25)
    encoder.requires_grad_(False)
    trained = [*tuner.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4)
    log_prior = (torch.arange(1, n + 1) / (n * (n + 1) / 2)).log()
    images, labels = batch(options)
    loss_meter, accuracy_meter = AverageMeter(ema=True), AverageMeter(ema=True)
    meters = [AverageMeter(ema=True) for _ in range(n)]
    thirds = np.array_split(np.arange(n), 3)

    def train() -> None:
        with torch.autocast(options.device, torch.bfloat16):
            logits = encoder(images, tuner, head)
            loss = torch.nn.functional.cross_entropy(logits + log_prior, labels)
            loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        hits = (logits.argmax(dim=1) == labels).float()
        loss_meter.update(loss.item())
        accuracy_meter.update(100 * hits.mean().item())
        # What its trainer does after each step: one meter a class, read in full every time.
        for hit, label in zip(hits, labels, strict=True):
            meters[label].update(100 * hit.item(), n=1)
        accuracies = [meter.avg for meter in meters]
        for part in (slice(None), *thirds):
            np.mean(np.array(accuracies)[part])

    def infer() -> object:
        with torch.inference_mode(), torch.autocast(options.device, torch.bfloat16):
            return encoder(images, tuner, head)

    return {"train step": train, "inference": infer}


def batch(options: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(options.batch, 3, SIZE, SIZE)
    return images, torch.randint(options.n_classes, (options.batch,))


SYSTEMS: dict[str, Callable[[argparse.Namespace], dict[str, Step]]] = {
    "dualtail": ours,
    "lift": lift,
}


def serve(options: argparse.Namespace) -> None:
    """A system in its own process: answers each line of input with a line of JSON."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the measured code prints is not an answer
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    step = SYSTEMS[options.system](options)[options.task]
    step()
    print(json.dumps("ready"), file=answers)
    for line in sys.stdin:
        if line.strip() == "profile":
            print(json.dumps(profile(step)), file=answers)
            continue
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            step()
        images = options.batch * options.steps
        rates = images / (time.perf_counter() - wall), images / (time.process_time() - cpu)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps([*rates, peak]), file=answers)


def profile(step: Step) -> list[tuple[str, float]]:
    """Shares of a step's time by operator, largest first."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    with record(activities=[ProfilerActivity.CPU]) as run:
        step()
    events = [(e.key, e.self_cpu_time_total) for e in run.key_averages()]
    total = sum(t for _, t in events)
    return [(key, t / total) for key, t in sorted(events, key=lambda e: -e[1])[:10]]


class Measured:
    """A process that measures on request."""

    def __init__(self, system: str, task: str, n_classes: int) -> None:
        command = [sys.executable, __file__, *sys.argv[1:]]
        command += ["--system", system, "--task", task, "--n-classes", str(n_classes)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> list:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"a measured process ended:\n{self._process.communicate()[1]}")
        return json.loads(line)

    def ask(self, what: str) -> list:
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        self._process.communicate()


def compare(options: argparse.Namespace, task: str, n_classes: int) -> None:
    names = ["dualtail", "lift"] if options.lift else ["dualtail"]
    systems = {name: Measured(name, task, n_classes) for name in names}
    for system in systems.values():
        system.answer()
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name, system in systems.items():
            found[name].append(system.ask("measure"))
    shares = systems["dualtail"].ask("profile")
    for system in systems.values():
        system.end()
    for name, rows in found.items():
        clock, processor, peak = zip(*rows, strict=True)
        print(
            f"{name:10} {task:12} {n_classes:7} {median(clock):7.2f} {median(processor):9.2f} "
            f"{max(peak):9.2f}",
            flush=True,
        )
    if options.lift:
        ratios = [
            median(a[i] / b[i] for a, b in zip(found["dualtail"], found["lift"], strict=True))
            for i in (0, 1)
        ]
        print(
            f"  dualtail / lift: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} by processor time",
            flush=True,
        )
    print("  dualtail by operator: " + ", ".join(f"{k} {100 * s:.1f} %" for k, s in shares))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lift", type=Path, help="checkout of LIFT, to compare with")
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 8142])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each measurement")
    parser.add_argument("--system", choices=SYSTEMS, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--n-classes", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.device = "cpu"
    if options.system:
        serve(options)
        return
    print(f"ViT-B/16, batch {options.batch}, bfloat16, {machine()}, {options.threads} threads")
    header = ("system", "task", "classes", "img/s", "img/cpu-s", "peak GiB")
    print("{:10} {:12} {:>7} {:>7} {:>9} {:>9}".format(*header))
    for n_classes in options.classes:
        for task in TASKS:
            compare(options, task, n_classes)


def machine() -> str:
    """Processor, number of cores, torch."""
    name = platform.processor() or platform.machine()
    file = Path("/proc/cpuinfo")
    if file.is_file():
        models = [x for x in file.read_text().splitlines() if x.startswith("model name")]
        name = models[0].split(":")[1].strip() if models else name
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


if __name__ == "__main__":
    main()
