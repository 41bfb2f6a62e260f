"""Stage zero-shot: outputs of foundation models as they are."""

import torch

from dualtail.datasets.pack import PackedLabels, read_pack
from dualtail.datasets.whole_pack import read_training_pack
from dualtail.foundation.loading import load_foundation, tokenizer_of
from dualtail.foundation.prompts import class_texts
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.zero_shot import ZeroShotModel, text_features
from dualtail.jobs import ZeroShotJob, ZeroShotTask
from dualtail.lanes import run_lanes
from dualtail.outputs import OutputsHeader, write_outputs
from dualtail.stages.compute import best_device
from dualtail.stages.dumping import model_record, predict_pack
from dualtail.tuning.tuned_model import DTYPES


def run(job: ZeroShotJob, lanes: int) -> None:
    """Write the dumps of every model, dataset and split.

    Raises:
        UserError: weights or a pack that cannot be read.
    """
    run_lanes(_dump_one, job.tasks, lanes)


def _dump_one(task: ZeroShotTask, lane: int) -> None:
    model, weights_hash = load_foundation(task.foundation)
    model = model.to(best_device())
    packs = [
        (read_training_pack if entry.split == "train" else read_pack)(entry.pack)
        for entry in task.dumps
    ]
    head = class_features(model, task.foundation, packs[0])
    zero_shot = ZeroShotModel(model, head, DTYPES[task.precision]).to(best_device())
    record = model_record(task.foundation, weights_hash, task.precision)
    for entry, pack in zip(task.dumps, packs, strict=True):
        header = OutputsHeader(
            kind="zero-shot",
            dataset=pack.header.dataset,
            split=pack.header.split,
            split_hash=pack.header.split_hash,
            class_names=pack.header.class_names,
            members=[task.foundation.member],
            models=[record],
        )
        write_outputs(entry.out, predict_pack(zero_shot, pack, header, task.foundation.transform))


def class_features(
    model: torch.nn.Module, spec: FoundationSpec, pack: PackedLabels
) -> torch.Tensor:
    """(C, E) text features of the pack's classes from the model's prompt set."""
    texts = class_texts(spec.templates, pack.header.class_names)
    return text_features(model, tokenizer_of(spec), texts)
