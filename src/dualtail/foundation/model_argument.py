"""Foundation models named on the command line.

`NAME`, `ARCHITECTURE,TAG`, `ARCHITECTURE,FILE`, `hf-hub:ORGANIZATION/NAME`, or the last after an
architecture. FILE is a checkpoint, or the record of one (JSON) that `fetch-weights` wrote.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from dualtail.config.names import nearest
from dualtail.errors import UserError
from dualtail.foundation.architecture import (
    architecture_config,
    architecture_name,
    default_transform,
    open_clip_config,
    pretrained_config,
)
from dualtail.foundation.hub import (
    CONFIG_FILE,
    HUB_PREFIX,
    HubFile,
    files_of_hub_id,
    files_of_tag,
    find_here,
)
from dualtail.foundation.settings import WEIGHT_SUFFIXES, PromptSet, Transform
from dualtail.foundation.spec import FoundationSpec
from dualtail.foundation.weights_record import not_here, read_record

PAPER_MODELS = {
    "clip": "ViT-B-16-quickgelu,openai",
    "openclip": "ViT-B-16,laion2b_s34b_b88k",
    "metaclip": "ViT-B-16-quickgelu,metaclip_400m",
}
"""The paper's three models by name."""

GRAMMAR = "NAME (clip, openclip, metaclip), ARCHITECTURE,TAG, ARCHITECTURE,FILE or hf-hub:ORGANIZATION/NAME"


def parse_model(
    text: str,
    *,
    templates: PromptSet,
    activation: Literal["native", "quickgelu"] = "native",
    member: str | None = None,
    transform: Transform | None = None,
) -> FoundationSpec:
    """Resolve a model argument.

    ARCHITECTURE is a name of open_clip or a JSON file in its form; FILE is a checkpoint on disk, TAG a
    pretrained tag of open_clip. A model of the hub brings its architecture, unless one is given before
    it. A tag trained with QuickGELU brings it: `ViT-B-16,openai` is `ViT-B-16-quickgelu,openai`. Imports
    open_clip for architectures by name.

    Args:
        activation: native, or QuickGELU whatever the model was trained with.
        member: Its name in dumps; None: made of the argument.
        transform: What the model sees of an image; None: `default_transform`.

    Raises:
        UserError: not of this grammar, no such file, architecture or tag, a bad template, or a model of
            the hub whose config is not on this machine.
    """
    if isinstance(templates, list):
        for template in templates:
            if template.count("{}") != 1:
                raise UserError(
                    f"prompt {template!r}: exactly one {{}} for the class name is needed"
                )
    found = _resolved(text, templates, activation)
    changes: dict[str, Any] = {} if member is None else {"member": member}
    if transform is not None:
        changes |= {"transform": transform}
    return found.model_copy(update=changes)


def _resolved(
    text: str, templates: PromptSet, activation: Literal["native", "quickgelu"]
) -> FoundationSpec:
    full = PAPER_MODELS.get(text, text)
    hub = full.rpartition(",")[2] if full.rpartition(",")[2].startswith(HUB_PREFIX) else None
    if hub is not None:
        return _from_hub(text, hub, templates, activation)
    architecture, _, source = full.partition(",")
    if not (architecture and source):
        hint = nearest(text, PAPER_MODELS)
        raise UserError(f"--model {text}: a model is given as {GRAMMAR}{hint}")
    path = Path(source)
    if path.suffix == ".json":
        hub = _hub_id_of_record(text, path)
        found = _from_hub(f"{architecture},{hub}", hub, templates, activation)
        return found.model_copy(
            update={"member": f"{found.architecture},{path.stem}", "record": path}
        )
    is_file = path.suffix in WEIGHT_SUFFIXES or path.is_file()
    if is_file and not path.is_file():
        raise UserError(f"--model {text}: no such weights file {source}")
    config = architecture_config(architecture)
    tag = None if is_file else source
    if tag is not None and config is None and activation == "native":
        architecture = _as_trained(architecture, tag)
    name = architecture_name(architecture)
    pretrained: dict[str, Any] = {}
    if config is None:
        config_of, pretrained = _from_open_clip(text, architecture, tag)
    else:
        if tag is not None:
            raise UserError(f"--model {text}: {name} has no tags; give a weights file after it")
        config_of = config
    return FoundationSpec(
        member=text if text in PAPER_MODELS else f"{name},{tag or path.stem}",
        architecture=name,
        architecture_config=config,
        weights=path if is_file else None,
        tag=tag,
        activation=activation,
        transform=default_transform(config_of["vision_cfg"], pretrained),
        templates=templates,
    )


def _as_trained(architecture: str, tag: str) -> str:
    """ARCHITECTURE-quickgelu where the tag's weights were trained with QuickGELU and open_clip has it."""
    import open_clip

    known = open_clip.get_pretrained_cfg(architecture, tag) or {}
    quick = f"{architecture}-quickgelu"
    return quick if known.get("quick_gelu") and quick in open_clip.list_models() else architecture


def _from_hub(
    text: str,
    hub: str,
    templates: PromptSet,
    activation: Literal["native", "quickgelu"],
) -> FoundationSpec:
    """A model of the hub: its config says the architecture, unless one stands before it."""
    first = files_of_hub_id(hub)[0]
    architecture = text.rpartition(",")[0]
    here = find_here([replace(first, file=CONFIG_FILE)])
    if here is None and not architecture:
        raise UserError(f"--model {text}: {not_here(hub)}")
    own: dict[str, Any] = {}
    if here is not None:
        try:
            own = json.loads(here[1].read_text(encoding="utf-8"))
            vision = own["model_cfg"]["vision_cfg"]
            vision["image_size"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"--model {text}: {here[1]} is not a config of open_clip") from error
    if architecture:
        name, config = architecture_name(architecture), architecture_config(architecture)
        of_name = config or _from_open_clip(text, architecture, None)[0]
        vision = of_name["vision_cfg"]
    else:
        name, config = first.repository.rpartition("/")[2], own["model_cfg"]
    return FoundationSpec(
        member=text,
        architecture=name,
        architecture_config=config,
        hub=hub,
        activation=activation,
        transform=default_transform(
            vision, own.get("preprocess_cfg") or _statistics(architecture, first.repository)
        ),
        templates=templates,
    )


def _statistics(architecture: str, repository: str) -> dict[str, Any]:
    """What open_clip says of the tag whose weights are in a repository, if it has one."""
    import open_clip

    for tag in open_clip.list_pretrained_tags_by_model(architecture):
        config = open_clip.get_pretrained_cfg(architecture, tag)
        if f"{config.get('hf_hub', '')}/".startswith(f"{repository}/"):
            return config
    return {}


def _hub_id_of_record(text: str, path: Path) -> str:
    """Where the recorded file came from, as `hf-hub:ORGANIZATION/NAME`."""
    source = read_record(path).source if path.is_file() else ""
    place = re.search(r"/([^/]+/[^/]+)/resolve/([^/]+)/", source)
    if place is None:
        raise UserError(
            f"--model {text}: {path} is no record of weights; `dualtail fetch-weights` writes one"
        )
    return f"{HUB_PREFIX}{place[1]}" + ("" if place[2] == "main" else f"@{place[2]}")


def files_of_model(text: str) -> tuple[list[HubFile], str]:
    """The files on the hub that a model argument may have its weights in, the preferred one first.

    Args:
        text: A model argument whose weights are a tag or on the hub.

    Returns:
        The files, and the model as `dualtail download` takes it.

    Raises:
        UserError: not of this grammar, or open_clip has no such architecture or tag.
    """
    full = PAPER_MODELS.get(text, text)
    architecture, _, source = full.rpartition(",")
    if source.startswith(HUB_PREFIX):
        return files_of_hub_id(source), source
    if not (architecture and source):
        hint = nearest(text, PAPER_MODELS)
        raise UserError(f"--model {text}: a model is given as {GRAMMAR}{hint}")
    return files_of_tag(architecture, source), full


def parse_models(
    texts: Sequence[str],
    *,
    templates: PromptSet,
    activation: Literal["native", "quickgelu"] = "native",
    transform: Transform | None = None,
) -> list[FoundationSpec]:
    """Resolve several model arguments.

    Raises:
        UserError: see `parse_model`; or two models of one name.
    """
    specs = [
        parse_model(t, templates=templates, activation=activation, transform=transform)
        for t in texts
    ]
    members = [spec.member for spec in specs]
    repeated = [member for member in members if members.count(member) > 1]
    if repeated:
        raise UserError(
            f"--model {repeated[0]}: given twice (models are distinguished by this name)"
        )
    return specs


def _from_open_clip(
    text: str, architecture: str, tag: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """open_clip's config of an architecture, and of a pretrained tag (mean, std)."""
    try:
        config = open_clip_config(architecture)
    except UserError as error:
        raise UserError(f"--model {text}: {error}") from error
    if tag is None:
        return config, {}
    try:
        return config, pretrained_config(architecture, tag)
    except UserError as error:
        raise UserError(f"--model {text}: {tag} is no file, and {error}") from error
