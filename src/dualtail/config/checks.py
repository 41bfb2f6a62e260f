"""Checks over several sections of the config: names exist, and settings are compatible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.config.errors import nested
from dualtail.config.names import NameProblem, known_name
from dualtail.errors import UserError
from dualtail.foundation.architecture import image_side, vision_config
from dualtail.registry import check_name, is_own
from dualtail.tuning.loss_options import LOSS_OPTIONS, reads_prior, reads_teacher
from dualtail.tuning.peft_options import PEFT_OPTIONS

if TYPE_CHECKING:
    from dualtail.config.model import Config


class Reference(NamedTuple):
    """Names under a key, and what they must be names of."""

    key: str
    used: Iterable[str]
    known: Iterable[str]
    what: str


def check(config: Config) -> None:
    """Check a config whose sections are each valid.

    Raises:
        NameProblem: the first key at fault.
    """
    for references in (_of_study, _of_foundation, _of_data, _of_methods):
        for key, used, known, what in references(config):
            for name in used:
                known_name(name, known, what, key)
    _labels(config)
    _methods(config)
    _fusion_weights(config)
    _losses(config)
    for name in config.datasets:
        config.tuning_of(name)
        _lists(config, name)
    for name in config.study.datasets:
        _prior_split(config, name)
    for name in config.models:
        _image_size(config, name)
    if config.scores.few > config.scores.many:
        raise NameProblem("scores.few", "must not exceed scores.many")


def _of_study(config: Config) -> Iterator[Reference]:
    study = config.study
    yield Reference("study.datasets", study.datasets, config.datasets, "dataset")
    yield Reference("study.members", study.members, config.foundation, "foundation model")
    yield Reference("study.pefts", study.pefts, config.pefts, "PEFT entry")
    yield Reference("study.losses", study.losses, config.losses, "loss")
    primary = [config.scores.p_groups_from]
    yield Reference("scores.p_groups_from", primary, study.members, "member")
    for number, variants in enumerate(study.variants):
        where = f"study.variants.{number}"
        yield Reference(f"{where}.losses", variants.losses, config.losses, "loss")
        yield Reference(f"{where}.datasets", variants.datasets or [], config.datasets, "dataset")
        yield Reference(f"{where}.members", variants.members or [], study.members, "member")
        yield Reference(f"{where}.pefts", variants.pefts or [], config.pefts, "PEFT entry")
    for label, models in config.studies.controls.items():
        where = f"studies.controls.{label}"
        yield Reference(where, models, config.foundation, "foundation model")


def _labels(config: Config) -> None:
    """Rows of tables and marks of figures are told apart by labels."""
    for section, used in (
        ("datasets", config.study.datasets),
        ("foundation", config.models),
        ("pefts", config.study.pefts),
    ):
        seen: dict[str, str] = {}
        for name in used:
            label = getattr(config, section)[name].label
            if label in seen:
                raise NameProblem(
                    f"{section}.{name}.label",
                    f"{label!r} is that of {seen[label]!r}, too; what tables show needs two labels",
                )
            seen[label] = name


def _of_foundation(config: Config) -> Iterator[Reference]:
    for name, entry in config.foundation.items():
        where = f"foundation.{name}"
        transform = [] if entry.transform is None else [entry.transform]
        yield Reference(f"{where}.transform", transform, config.transforms, "transform")
        yield Reference(f"{where}.prompts", [entry.prompts], config.prompts, "prompt set")

    for name in config.models:
        corpus = config.foundation[name].weights.corpus
        where = f"foundation.{name}.weights.corpus"
        yield Reference(where, [] if corpus is None else [corpus], config.corpora, "corpus")


def _image_size(config: Config, name: str) -> None:
    """A model's architecture is known, and its transform cuts out what a ViT sees."""
    entry, where = config.foundation[name], f"foundation.{name}"
    if entry.architecture.endswith(".json") and not Path(entry.architecture).is_file():
        raise NameProblem(f"{where}.architecture", f"{entry.architecture}: no such file")
    try:
        vision = vision_config(entry.architecture)
    except UserError as error:
        raise NameProblem(f"{where}.architecture", str(error)) from error
    if vision is None:
        raise NameProblem(
            f"{where}.architecture", f"open_clip has no architecture {entry.architecture!r}"
        )
    side, crop = image_side(vision), config.transform_of(name).crop
    is_vit = bool(vision.get("patch_size")) and "timm_model_name" not in vision
    if is_vit and crop != side:  # others may see several sizes
        raise NameProblem(
            f"{where}.transform",
            f"crop is {crop}, but {entry.architecture} sees images of {side} x {side} pixels; set "
            f"{where}.transform: null for its default, or an entry of transforms with crop: {side}",
        )


def _of_data(config: Config) -> Iterator[Reference]:
    for name, dataset in config.datasets.items():
        if dataset.reordered is not None:
            where = f"datasets.{name}.reordered"
            yield Reference(f"{where}.loss", [dataset.reordered.loss], config.losses, "loss")
            if config.world is not None and config.is_drawn(name):
                pools = config.world.pools
                yield Reference(where, [name], pools, "dataset of world.pools")
    for name, corpus in config.corpora.items():
        if corpus.sample is not None:
            where, source = f"corpora.{name}.sample", corpus.sample.dataset
            yield Reference(f"{where}.dataset", [source], config.datasets, "dataset")
            # Models must not see what they are evaluated on.
            lists = [x for x in config.datasets[source].lists if x not in ("val", "test")]
            yield Reference(f"{where}.list", [corpus.sample.list], lists, f"list of {source}")


def _of_methods(config: Config) -> Iterator[Reference]:
    fusion = config.fusion
    yield Reference("fusion.modes", fusion.modes, fusion.rules, "entry of fusion.rules")
    yield Reference("fusion.losses", fusion.losses, config.study.losses, "loss of study.losses")
    for name, loss in config.losses.items():
        for key, base in (("retrain", loss.retrain), ("start", loss.start)):
            named = [] if base is None else [base]
            yield Reference(f"losses.{name}.{key}", named, config.losses, "loss")
        where = f"losses.{name}.teacher"
        yield Reference(where, loss.teacher, config.foundation, "foundation model")
    if config.scratch is not None:
        dataset = [config.scratch.dataset]
        yield Reference("scratch.dataset", dataset, config.datasets, "dataset")
        yield Reference("scratch.loss", [config.scratch.loss], config.losses, "loss")


def _methods(config: Config) -> None:
    """PEFT methods, losses and fusion rules exist, and have such options."""
    for section, entries, methods, what in (
        ("pefts", config.pefts, PEFT_OPTIONS, "PEFT method"),
        ("losses", config.losses, LOSS_OPTIONS, "loss"),
        ("fusion.rules", config.fusion.rules, FUSION_OPTIONS, "fusion rule"),
    ):
        for name, entry in entries.items():
            try:
                check_name(entry.method, methods, what)
            except UserError as error:
                raise NameProblem(f"{section}.{name}.method", str(error)) from error
            if not is_own(entry.method):
                with nested(f"{section}.{name}.options", methods[entry.method]):
                    methods[entry.method].model_validate(entry.options)


def _fusion_weights(config: Config) -> None:
    """The paper's rules are as in the paper; other rules that are run weigh every member."""
    for name, entry in config.fusion.rules.items():
        where = f"fusion.rules.{name}"
        plain = entry.method == name and entry.weights == "equal" and not entry.calibrate
        if name in FUSION_OPTIONS and not plain:
            raise NameProblem(
                where,
                f"{name} is the paper's, with equal weights; give another rule another name",
            )
        if entry.weights == "fitted" and entry.method not in FUSION_OPTIONS:
            raise NameProblem(
                f"{where}.weights",
                f"only those of {' and '.join(FUSION_OPTIONS)} can be fitted; give numbers",
            )
        if isinstance(entry.weights, str) or name not in config.fusion.modes:
            continue
        for member in entry.weights:
            known_name(member, config.foundation, "foundation model", f"{where}.weights.{member}")
        for member in config.study.members:
            if member not in entry.weights:
                raise NameProblem(f"{where}.weights", f"no weight for the member {member!r}")


def _losses(config: Config) -> None:
    """Second stages go on from tunings of one stage; a network from scratch has no prior and no stage."""
    for name, loss in config.losses.items():
        if loss.retrain is not None and loss.start is not None:
            raise NameProblem(
                f"losses.{name}.start",
                "give either retrain (a new head) or start (training continues)",
            )
        for key, base in (("retrain", loss.retrain), ("start", loss.start)):
            if base is not None and config.losses[base].base is not None:
                raise NameProblem(
                    f"losses.{name}.{key}",
                    f"{base!r} is a second stage itself; name the loss of its first one",
                )
        if reads_teacher(loss.method) and not loss.teacher:
            raise NameProblem(
                f"losses.{name}.teacher",
                f"{loss.method} learns from other models: name entries of foundation",
            )
        if loss.teacher and loss.start is None:
            raise NameProblem(
                f"losses.{name}.start",
                "give the loss that the teachers are tuned with, and the student starts from",
            )
        if loss.teacher and not (reads_teacher(loss.method) or is_own(loss.method)):
            raise NameProblem(
                f"losses.{name}.teacher", f"{loss.method} does not learn from other models"
            )
    if config.scratch is not None:
        loss = config.losses[config.scratch.loss]
        if reads_prior(loss.method) or loss.prior or loss.base is not None:
            raise NameProblem(
                "scratch.loss",
                f"{config.scratch.loss!r} needs a prior q or a first stage, and a network without "
                "pre-training has neither; allowed: ce, la and other losses of one stage",
            )


def _lists(config: Config, dataset: str) -> None:
    """Lists that are made have the names that they are written under."""
    entry, where = config.datasets[dataset], f"datasets.{dataset}"
    if entry.make_lists is None:
        return
    files = entry.make_lists.files
    for split, used in entry.splits.items():
        if used.list.as_posix() != f"{split}.txt" or split not in entry.make_lists.lists:
            raise NameProblem(
                f"{where}.{split}",
                f"make_lists writes {', '.join(files)}; {used.list} is not {split}.txt among them",
            )
    if entry.class_names.as_posix() != "classnames.txt" or entry.names_format != "lines":
        raise NameProblem(
            f"{where}.class_names",
            "make_lists writes classnames.txt, one name per line; remove this key",
        )
    if entry.group_counts is not None and entry.group_counts.as_posix() not in files:
        raise NameProblem(f"{where}.group_counts", f"make_lists writes {', '.join(files)}")


def _prior_split(config: Config, dataset: str) -> None:
    entry = config.datasets[dataset]
    if entry.val is None and (entry.prior_split or config.prior.split) == "val":
        raise NameProblem(
            f"datasets.{dataset}.val",
            "there is none, so there is no val split to estimate q on; set "
            f"datasets.{dataset}.prior_split: train (or test)",
        )
