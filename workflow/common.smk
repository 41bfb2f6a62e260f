# What the rules share: the config, the study as a table, where a dataset's files are, what a job may take.
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
from dualtail.errors import UserError
from dualtail.paper.contents import fillable, left_out
from dualtail.registry import sources
from dualtail.study import (
    ADJUSTMENTS,
    Prediction,
    intervened,
    known_priors,
    predictions,
    reordered,
    studies_of,
    tunings,
)
from dualtail.tuning.losses import LOSSES
from dualtail.tuning.peft import PEFTS
from dualtail.tuning.settings import PRIOR_LOSSES

try:
    C = validate_config(config, config_files("config.yaml", workflow.overwrite_configfiles))
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
DRAWS_WORLD = bool(DRAWN_DATASETS or any(C.foundation[m].weights.corpus for m in C.study.members))
CORPORA = list(C.corpora)
STUDIES = studies_of(C)
INTERVENED = intervened(C)
CONFOUNDER_SETS = ["A", "B"] if C.confounder and (C.confounder.stable_diffusion or DRAWN_DATASETS) else []
TABLES, FIGURES = fillable(C)
DEVICE = C.jobs.device
CHECKPOINT_SECONDS = C.jobs.checkpoint_seconds


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
def code(verb, modules=(), peft=None, loss=None, fusion=None):
    """The hash of the code behind a verb, and of the PEFT, loss or fusion rule that it looks up by name."""
    named = [(PEFTS, peft), (LOSSES, loss), (FUSION_RULES, fusion)]
    parts, files = sources((registry, name) for registry, name in named if name is not None)
    return code_hash([f"dualtail.stages.{verb.replace('-', '_')}", *modules, *parts], files)


# Where a dataset's lists and images are: drawn by the world, made by `make-lists`, or given by the user.


def parent(dataset):
    """The dataset of the config whose test split, prior and settings a dataset has."""
    return C.reordered_dataset if dataset in REORDERED else dataset


def entry_of(dataset):
    return C.datasets[parent(dataset)]


def root(dataset):
    """The folder of lists and class names."""
    if C.datasets[dataset].make_lists is not None:
        return Path(RUN, "lists", dataset)
    return C.datasets[dataset].root


def splits(dataset):
    """train, val (if there is one), test; a re-ordered training set has its parent's test split."""
    return [
        split
        for split in ("train", "val", "test")
        if getattr(entry_of(dataset), split) is not None
        and (dataset not in REORDERED or split != "val")
    ]


def evaluated(dataset):
    """The splits that models predict."""
    return [split for split in splits(dataset) if split != "train"]


def image_list(dataset, split):
    if dataset in REORDERED and split == "train":
        return f"{RUN}/reordered/{dataset}.txt"
    return (root(parent(dataset)) / getattr(entry_of(dataset), split).list).as_posix()


def images(dataset, split):
    """The folder or archive that a split's paths are under."""
    entry = entry_of(dataset)
    files = getattr(entry, split)
    if dataset in REORDERED and split == "train":
        files = entry.reordered.pool
    return ((entry.images_root or root(parent(dataset))) / files.images).as_posix()


def class_names(dataset):
    return (root(parent(dataset)) / entry_of(dataset).class_names).as_posix()


def names_flags(dataset):
    entry = entry_of(dataset)
    return f"--class-names {class_names(dataset)} --names-format {entry.names_format} --names {entry.names}"


def dataset_files(dataset, *wanted):
    """Lists, class names and archives as inputs of a rule (folders of images are not tracked).

    Of data that the user brings, what is there: a missing file must not stop Snakemake from planning, because
    the job that checks the dataset says how to get it.
    """
    entry = entry_of(dataset)
    lists = [class_names(dataset), *(image_list(dataset, split) for split in wanted)]
    archives = [images(dataset, split) for split in wanted if images(dataset, split).endswith(".zip")]
    if entry.make_lists is not None:
        inside = f"{root(parent(dataset)).as_posix()}/"
        files = [file for file in [*lists, *archives] if not file.startswith(inside)]
        return list(dict.fromkeys([inside[:-1], *files]))
    files = list(dict.fromkeys([*lists, *archives]))
    if C.is_drawn(parent(dataset)):
        return files
    return [file for file in files if Path(file).is_file() or file.startswith(f"{RUN}/")]


def pack(dataset, split, member):
    """The packed images of a split at the size that a member reads."""
    own = dataset if split == "train" else parent(dataset)
    return f"{RUN}/packs/{own}/{split}_{transform(member).resize}px.safetensors"


# Foundation models and corpora.


def transform(member):
    return C.transforms[C.foundation[member].transform]


def weights(wildcards):
    """Pre-trained here, a file of the user's, or the record of the file that a tag or hub id stands for."""
    found = C.foundation[wildcards.member].weights
    if found.corpus is not None:
        return f"{RUN}/foundation/{wildcards.member}.safetensors"
    return found.path.as_posix() if found.path is not None else f"{RUN}/foundation/{wildcards.member}.weights.json"


def architecture_file(wildcards):
    """The file of an architecture that is not known by name."""
    architecture = C.foundation[wildcards.member].architecture
    return [architecture] if architecture.endswith(".json") else []


def model_files(wildcards):
    """Files that a model's entry names besides weights: of an architecture, of texts on each class."""
    descriptors = getattr(C.prompts[C.foundation[wildcards.member].prompts], "descriptors", None)
    return architecture_file(wildcards) + ([descriptors.as_posix()] if descriptors else [])


def transform_flag(member):
    values = transform(member).model_dump(mode="json", exclude_defaults=True)
    return f"--transform {shlex.quote(values_text(values))}"


def prompt_flags(member):
    prompts = C.prompts[C.foundation[member].prompts]
    if isinstance(prompts, list):
        return shlex.join(f"--prompt={template}" for template in prompts)
    return f"--prompts {prompts}" if isinstance(prompts, str) else f"--descriptors {prompts.descriptors}"


def model_flags(wildcards, input):
    """A foundation model as verbs take it."""
    entry = C.foundation[wildcards.member]
    model = f"--model {shlex.quote(f'{entry.architecture},{input.weights}')} --member {wildcards.member}"
    activation = f"--activation {entry.activation}" if entry.activation != "native" else ""
    return " ".join([model, activation, transform_flag(wildcards.member), prompt_flags(wildcards.member)])


def corpus_folder(corpus):
    """Where the list and the class names of a corpus are."""
    if C.corpora[corpus].sample is not None:
        return Path(RUN, "corpora", corpus)
    return C.corpora[corpus].root


def corpus_files(corpus):
    """List, class names and images of a corpus."""
    entry, folder = C.corpora[corpus], corpus_folder(corpus)
    files = [folder / entry.list, folder / entry.class_names, (entry.images_root or folder) / entry.images]
    return [file.as_posix() for file in files]
