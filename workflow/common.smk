# What the rules share: the config, the study as a table, the places of datasets, resources of jobs.
import functools
import re
import shlex
from pathlib import Path

import pandas as pd
from snakemake.exceptions import WorkflowError

from dualtail.bias.fusion_rules import FUSION_RULES
from dualtail.cli.flags import flags, method_text, values_text
from dualtail.code_hash import code_hash
from dualtail.config.document import config_files, minimal_json, validate_config
from dualtail.datasets.places import POOL, Places
from dualtail.errors import UserError
from dualtail.files import sha256_text
from dualtail.foundation.spec import ARCHITECTURES
from dualtail.paper.contents import fillable, left_out
from dualtail.registry import sources
from dualtail.study import (
    Prediction,
    intervened,
    known_priors,
    predictions,
    prior_estimator,
    reordered,
    students,
    studies_of,
    tunings,
)
from dualtail.tuning.loss_options import reads_prior
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS

try:
    C = validate_config(
        config, config_files("config.yaml", workflow.overwrite_configfiles)
    )
except UserError as error:
    raise WorkflowError(str(error))

RUN = (C.results / C.run).as_posix()
OUTPUTS = RUN + "/outputs/{dataset}/{members}/{variant}.safetensors"
EXPLAINED = RUN + "/explained/{dataset}/{members}/{variant}.safetensors"
WORLD = C.world.folder.as_posix() if C.world else "data/world"
STUDY = pd.DataFrame(predictions(C), columns=Prediction._fields)
REORDERED = reordered(C)
DATASETS = [*C.study.datasets, *REORDERED]
DRAWN_DATASETS = [d for d in C.study.datasets if C.is_drawn(d)]
DRAWS_WORLD = bool(
    DRAWN_DATASETS or any(C.foundation[m].weights.corpus for m in C.study.members)
)
CORPORA = list(C.corpora)
STUDIES = studies_of(C)
INTERVENED = intervened(C)
CONFOUNDER_SETS = (
    ["A", "B"]
    if C.confounder and (C.confounder.stable_diffusion or DRAWN_DATASETS)
    else []
)
TABLES, FIGURES = fillable(C)
for line in left_out(C) if workflow.is_main_process else []:
    logger.info(line)
DEVICE = C.jobs.device


def gpu(wildcards):
    """1 on a cluster or where there is a GPU; 0 on a machine without one, so that small models fill its cores."""
    if C.jobs.gpu != "auto":
        return C.jobs.gpu
    if DEVICE == "cpu":
        return 0
    return int(workflow.non_local_exec or Path("/dev/nvidia0").exists())


def memory(mem_mb):
    """Memory of a job's first attempt; a retry asks for twice, thrice as much."""
    return lambda wildcards, attempt: attempt * mem_mb


@functools.cache
def code(verb, peft=None, loss=None, modes=()):
    """The hash of the code behind a verb, and of the PEFT, loss or fusion rules that it looks up by name."""
    fusion = [(FUSION_RULES, C.fusion.rules[mode].method) for mode in modes]
    named = [(PEFTS, peft), (LOSSES, loss), *fusion]
    parts, files = sources(
        (registry, name) for registry, name in named if name is not None
    )
    return code_hash([f"dualtail.stages.{verb.replace('-', '_')}", *parts], files)


# Where a dataset's lists and images are: drawn by the world, made by `make-lists`, or given by the user.

PLACES = Places(C)
parent, splits, evaluated = PLACES.parent, PLACES.splits, PLACES.evaluated
image_list, images, class_names = PLACES.image_list, PLACES.images, PLACES.class_names


def dataset_files(dataset, *wanted):
    """Lists, class names and archives as inputs of a rule (folders of images are not tracked)."""
    return PLACES.inputs(PLACES.files(dataset, *wanted))


def pack(dataset, split, member):
    """The packed images of a split at the size that a member reads."""
    own = dataset if split == "train" else parent(dataset)
    return f"{RUN}/packs/{own}/{split}_{transform(member).resize}px.safetensors"


def named(**values):
    """Options with their values, those that there are; one for each item of a list."""
    words = []
    for name, value in values.items():
        for item in [value] if isinstance(value, str) else value:
            words += [f"--{name.replace('_', '-')}", item] if item else []
    return shlex.join(words)


# Foundation models and corpora.


def transform(member):
    return C.transform_of(member)


def weights(wildcards):
    """Pre-trained here, a file of the user's, or the record of the file that a tag or hub id stands for."""
    found = C.foundation[wildcards.member].weights
    if found.corpus is not None:
        return f"{RUN}/foundation/{wildcards.member}.safetensors"
    return (
        found.path.as_posix()
        if found.path is not None
        else f"{RUN}/foundation/{wildcards.member}.weights.json"
    )


def architecture_file(wildcards):
    """The file of an architecture that is not known by name."""
    architecture = C.foundation[wildcards.member].architecture
    return [architecture] if architecture.endswith(".json") else []


def known_architecture(wildcards):
    """The content of an architecture that comes with dualtail: it is no input, for it has another path in every checkout."""
    file = ARCHITECTURES / f"{C.foundation[wildcards.member].architecture}.json"
    return sha256_text(file.read_text()) if file.is_file() else ""


def model_files(wildcards):
    """Files that a model's entry names besides weights: of an architecture, of texts on each class."""
    descriptors = getattr(
        C.prompts[C.foundation[wildcards.member].prompts], "descriptors", None
    )
    return architecture_file(wildcards) + (
        [descriptors.as_posix()] if descriptors else []
    )


@functools.cache
def transform_flag(member):
    values = transform(member).model_dump(mode="json", exclude_defaults=True)
    return f"--transform {shlex.quote(values_text(values))}"


@functools.cache
def prompt_flags(member):
    prompts = C.prompts[C.foundation[member].prompts]
    if isinstance(prompts, list):
        return shlex.join(f"--prompt={template}" for template in prompts)
    words = (
        ["--prompts", prompts]
        if isinstance(prompts, str)
        else ["--descriptors", str(prompts.descriptors)]
    )
    return shlex.join(words)


def model_flags(wildcards, input):
    """A foundation model as verbs take it."""
    entry = C.foundation[wildcards.member]
    model = f"--model {shlex.quote(f'{entry.architecture},{input.weights}')} --member {wildcards.member}"
    activation = (
        f"--activation {entry.activation}" if entry.activation != "native" else ""
    )
    return " ".join(
        [
            model,
            activation,
            "" if entry.transform is None else transform_flag(wildcards.member),
            prompt_flags(wildcards.member),
        ]
    )


def corpus_files(corpus):
    """List, class names and images of a corpus."""
    return list(PLACES.corpus(corpus))
