"""Options of the verbs that run models: which model, how it sees images and classes, what computes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dualtail.cli.flags import SectionParam, as_one
from dualtail.cli.shared_options import FILE
from dualtail.foundation.settings import Descriptors, PromptSet, Transform

if TYPE_CHECKING:
    from dualtail.foundation.spec import FoundationSpec

MODEL = "NAME|ARCH,TAG|ARCH,FILE"
MODEL_HELP = (
    "The foundation model: clip, openclip or metaclip (the paper's three); an open_clip architecture (or "
    "the JSON file of one) with a pretrained tag or a weights file; or hf-hub:ORGANIZATION/NAME."
)
DEFAULT_PROMPT = "a photo of a {}."


@dataclass(frozen=True)
class ModelArgument:
    """Options of one or several models, before anything is looked up."""

    texts: tuple[str, ...]
    member: str | None
    activation: Literal["native", "quickgelu"]
    prompts: PromptSet
    transform: Transform | None

    @property
    def exported(self) -> Path | None:
        """The folder of an exported model, if the one model is a folder."""
        return Path(self.texts[0]) if Path(self.texts[0]).is_dir() else None

    def spec(self) -> "FoundationSpec":
        """Resolve the one model; imports open_clip if its architecture is not a JSON file."""
        from dualtail.foundation.model_argument import parse_model

        return parse_model(
            self.texts[0],
            templates=self.prompts,
            activation=self.activation,
            member=self.member,
            transform=self.transform,
        )

    def specs(self) -> "list[FoundationSpec]":
        """Resolve all."""
        from dualtail.foundation.model_argument import parse_models

        return parse_models(
            self.texts,
            templates=self.prompts,
            activation=self.activation,
            transform=self.transform,
        )


def _model(
    model: Any,
    activation: Any,
    prompt: tuple[str, ...],
    prompts: str | None,
    descriptors: Path | None,
    transform: Transform | None,
    member: str | None = None,
) -> ModelArgument:
    texts = model if isinstance(model, tuple) else (model,)
    found = _prompt_set(prompt, prompts, descriptors)
    return ModelArgument(texts, member, activation, found, transform)


def _prompt_set(
    templates: tuple[str, ...], known: str | None, descriptors: Path | None
) -> PromptSet:
    given = [value for value in (templates, known, descriptors) if value]
    if len(given) > 1:
        raise click.UsageError("give one of --prompt, --prompts and --descriptors")
    if descriptors is not None:
        return Descriptors(descriptors=descriptors)
    if known is not None:
        return "openai-80"
    return list(templates) or [DEFAULT_PROMPT]


_OF_ALL_MODELS = (
    click.option(
        "--activation",
        type=click.Choice(["native", "quickgelu"]),
        default="native",
        help="quickgelu: whatever the model was trained with, as LIFT and the authors do.",
    ),
    click.option(
        "--prompt",
        multiple=True,
        help=f"Template with {{}} for the class name; several are averaged.  "
        f"[default: {DEFAULT_PROMPT}]",
    ),
    click.option(
        "--prompts", type=click.Choice(["openai-80"]), help="A known set of templates instead."
    ),
    click.option(
        "--descriptors", type=FILE, help="A JSON file instead: class name -> list of texts."
    ),
    click.option(
        "--transform",
        type=SectionParam(Transform),
        help="Evaluation transform, such as resize=256,crop=224,views=five-crop. "
        "Default: the shorter side to 8/7 of the model's size, then the central square.",
    ),
)

model_options = as_one(
    "model",
    _model,
    click.option("--model", required=True, metavar=MODEL, help=MODEL_HELP),
    click.option("--member", help="Name of the model in dumps and tables."),
    *_OF_ALL_MODELS,
)
"""Give a verb the argument `model`, a `ModelArgument` of one model."""

models_options = as_one(
    "model",
    _model,
    click.option("--model", multiple=True, metavar=MODEL, help=MODEL_HELP),
    *_OF_ALL_MODELS,
)
"""Give a verb the argument `model`, a `ModelArgument` of any number of models."""


@dataclass(frozen=True)
class Compute:
    """Device and threads of a verb."""

    device: Literal["auto", "cpu", "cuda"]
    threads: int | None

    def claim(self) -> None:
        """Choose a GPU that no other process has, or hide all; before torch is imported."""
        from dualtail.devices import claim_device, hide_devices

        if self.device == "cpu":
            hide_devices()
        else:
            claim_device()

    def set_up(self) -> None:
        """Prepare torch: see `stages.compute`."""
        from dualtail.stages.compute import set_up

        set_up(self.device, self.threads)


def _claimed(device: Any, threads: int | None) -> Compute:
    compute = Compute(device, threads)
    compute.claim()
    return compute


compute_options = as_one(
    "compute",
    _claimed,
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        help="auto: a GPU that no other job uses, if there is one.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads on the CPU: 1 is best for small models.  [default: one per core]",
    ),
)
"""Give a verb the argument `compute`; a GPU is claimed before the verb runs."""
