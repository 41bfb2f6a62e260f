"""The config as documents: read from files, as one argument, and as a run keeps it."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from dualtail.config.derived import leave_out
from dualtail.config.errors import explain
from dualtail.config.model import Config
from dualtail.config.strict_yaml import read_yaml
from dualtail.errors import UserError
from dualtail.json_text import json_text

WIDTH = 96
NOT_OF_RESULTS = {"jobs", "results", "downloads"}
"""Sections that are not in the resolved config of a run, as no result depends on them."""
ROOTS = ("root", "images_root")


def config_files(base: str | Path, overlays: Sequence[str | Path]) -> list[Path]:
    """Return the files of a run, later ones over earlier ones.

    Args:
        base: What the Snakefile reads, under the folder that Snakemake runs in.
        overlays: What `--configfile` names; Snakemake has read them.

    Raises:
        UserError: the base is not there, or one of them is not as `read_yaml` wants it.
    """
    if not Path(base).is_file():
        raise UserError(
            f"{base}: no such file in {Path.cwd()}; every run reads it: copy that of the project, or "
            "leave out -d (--directory)"
        )
    files = [Path(base), *map(_short, overlays)]
    for file in files:
        read_yaml(file)  # Snakemake has read it, and took the last of two equal keys
    return files


def validate_config(
    values: Mapping[str, Any], files: Sequence[str | Path] = (), elsewhere: str = "--config"
) -> Config:
    """Check merged config values.

    Args:
        values: The config as Snakemake merged it.
        files: The files it was merged from, later ones over earlier ones, to name the one at fault.
        elsewhere: What to name for a value that is in none of them.

    Raises:
        UserError: one line: file, key, what is allowed, the nearest valid name.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise explain(error, Config, values, [Path(file) for file in files], elsewhere) from None


def read_config(files: Sequence[str | Path]) -> Config:
    """Read and merge config files, later ones override, as Snakemake's --configfile does.

    Raises:
        UserError: a file that is missing or not YAML, or a wrong key or value.
    """
    merged: dict[str, Any] = {}
    for file in files:
        _merge(merged, read_yaml(Path(file)))
    required = {key for key, field in Config.model_fields.items() if field.is_required()}
    if set(merged) <= set(Config.model_fields) and not required <= set(merged):
        named = " ".join(str(file) for file in files)
        lacking = ", ".join(key for key in Config.model_fields if key in required - set(merged))
        raise UserError(
            f"{named}: no {lacking}; a config changes config.yaml, which is named before it: "
            f"`dualtail check-config config.yaml {named}`"
        )
    return validate_config(merged, files)


def minimal_json(config: Config) -> str:
    """Return what of a config differs from the defaults and decides results, as JSON in one line."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    left = leave_out(values)
    return json_text({key: value for key, value in left.items() if key not in NOT_OF_RESULTS})


def resolve(text: str) -> Config:
    """Read what `minimal_json` wrote.

    Raises:
        UserError: not JSON, or a wrong key or value.
    """
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--json: {error}") from error
    if not isinstance(values, dict):
        raise UserError("--json: must be an object of keys and values")
    return validate_config(values, elsewhere="--json")


def resolved_yaml(config: Config) -> str:
    """Return every value that decides results, as YAML.

    Tables and figures read it as plain values. Folders that follow from where the run is are left out.
    """
    values = leave_out(config.model_dump(mode="json"), ROOTS)
    left = {key: value for key, value in values.items() if key not in NOT_OF_RESULTS}
    return yaml.safe_dump(
        left, default_flow_style=None, sort_keys=False, allow_unicode=True, width=WIDTH
    )


def json_schema() -> str:
    """The JSON schema of the config, `additionalProperties: false` in every section."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(schema | Config.model_json_schema(), indent=2) + "\n"


def _merge(into: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            if not isinstance(into.get(key), dict):
                into[key] = {}
            _merge(into[key], value)
        else:
            into[key] = value


def _short(file: str | Path) -> Path:
    """A file as one would type it: relative where it is below the current folder."""
    relative = Path(os.path.relpath(file))
    return Path(file) if ".." in relative.parts else relative
