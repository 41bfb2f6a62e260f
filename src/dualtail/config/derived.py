"""Config values that follow from others, so that they need not be written.

The world decides the files of what it draws; the folder of a run holds what the run makes: lists of a
dataset (`make_lists`) and sampled corpora. Our own losses and fusion rules have their names as entries.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dualtail.bias.settings import FUSION_OPTIONS
from dualtail.config.names import NameProblem
from dualtail.config.paths import expand_variables
from dualtail.datasets.settings import SPLITS
from dualtail.datasets.world.settings import World
from dualtail.tuning.loss_options import LOSS_OPTIONS, reads_prior, reads_teacher

Values = dict[str, Any]

DRAWN_CONDITIONS = {
    "both": "both visible",
    "body_hidden": "body hidden",
    "head_hidden": "head hidden",
}
"""Conditions of the pairs that the world draws, and what tables call them."""


def fill_in(values: Mapping[str, Any]) -> Values:
    """Return config values with those that follow from others.

    Args:
        values: As written. What is of another type than it should is left for the models to refuse.

    Raises:
        NameProblem: what the world draws is to be made otherwise, or the folder of something that the
            run makes is another than the run's.
    """
    world = values.get("world") if _is_mapping(values.get("world")) else None
    run = f"{_path(values.get('results', 'results'))}/{values.get('run', 'world')}"
    datasets = {
        name: _dataset(name, dict(entry), world, run) if _is_mapping(entry) else entry
        for name, entry in _mapping(values.get("datasets")).items()
    }
    drawn = [*_of_world(world, "corpora"), *_of_world(world, "unbiased")]
    written = {name: {} for name in drawn} | dict(_mapping(values.get("corpora")))
    corpora = {
        name: _corpus(name, dict(entry), world, name in drawn, run, datasets)
        if _is_mapping(entry)
        else entry
        for name, entry in written.items()
    }
    filled = dict(values)
    if _is_mapping(values.get("datasets")):
        filled["datasets"] = datasets
    if _is_mapping(values.get("corpora", {})):
        filled["corpora"] = corpora
    own_losses = [n for n in LOSS_OPTIONS if not (reads_prior(n) or reads_teacher(n))]
    filled["losses"] = _with_own(values.get("losses", {}), own_losses)
    fusion = values.get("fusion", {})
    if _is_mapping(fusion):
        filled["fusion"] = {**fusion, "rules": _with_own(fusion.get("rules", {}), FUSION_OPTIONS)}
    return filled


def leave_out(values: Mapping[str, Any], keys: Collection[str] | None = None) -> Values:
    """Return config values without those that `fill_in` gives back.

    Args:
        values: Of a whole config.
        keys: Only these keys of datasets and corpora; None: all.
    """
    full, left = fill_in(values), dict(values)
    for section in ("datasets", "corpora"):
        for name, entry in _mapping(values.get(section)).items():
            for key in (key for key in entry if keys is None or key in keys):
                short = {k: v for k, v in left[section][name].items() if k != key}
                trial = left | {section: left[section] | {name: short}}
                found = fill_in(trial)[section][name]
                if key in found and found[key] == full[section][name][key]:
                    left = trial
    drawn = [*_of_world(left.get("world"), "corpora"), *_of_world(left.get("world"), "unbiased")]
    if _is_mapping(left.get("corpora")):
        corpora = {n: entry for n, entry in left["corpora"].items() if entry or n not in drawn}
        left["corpora"] = corpora
    return left


def _with_own(entries: Any, names: Iterable[str]) -> Any:
    """Entries, and those of our own methods, each under its name."""
    if not _is_mapping(entries):
        return entries
    own = {name: {"method": name} for name in names}
    return own | {
        name: own.get(name, {}) | entry if _is_mapping(entry) else entry
        for name, entry in entries.items()
    }


def _dataset(name: str, entry: Values, world: Mapping[str, Any] | None, run: str) -> Values:
    """An entry of `datasets`, filled in."""
    where = f"datasets.{name}"
    if world is not None and name in _of_world(world, "datasets"):
        _refuse(where, entry, "make_lists")
        _derive_root(where, entry, f"{_folder(world)}/{name}")
        entry = _drawn_files(name, world) | entry
        if _is_mapping(entry.get("reordered")):
            entry["reordered"] = {"pool": _files("pool")} | dict(entry["reordered"])
    elif _is_mapping(entry.get("make_lists")):
        _derive_root(where, entry, f"{run}/lists/{name}")
        entry = _made_files(entry["make_lists"]) | entry
    entry |= {split: _with_list(entry[split], split) for split in SPLITS if split in entry}
    reordered = dict(_mapping(entry.get("reordered")))
    if "pool" in reordered:
        entry["reordered"] = reordered | {"pool": _with_list(reordered["pool"], "pool")}
    return entry


def _corpus(
    name: str,
    entry: Values,
    world: Mapping[str, Any] | None,
    is_drawn: bool,
    run: str,
    datasets: Mapping[str, Any],
) -> Values:
    """An entry of `corpora`, filled in."""
    where = f"corpora.{name}"
    if world is not None and is_drawn:
        _refuse(where, entry, "sample")
        _derive_root(where, entry, f"{_folder(world)}/corpora/{name}")
    elif entry.get("sample") is not None:
        _derive_root(where, entry, f"{run}/corpora/{name}")
        entry = _images_of_sample(_mapping(entry["sample"]), datasets) | entry
    return entry


def _drawn_files(name: str, world: Mapping[str, Any]) -> Values:
    """The files of a dataset that the world draws."""
    found: Values = {split: _files(split) for split in SPLITS}
    if name in _of_world(world, "fine_grained"):
        # Like iNaturalist 2018 it has none: the world draws one, but nothing reads it.
        found["val"] = None
    if world.get("pairs_per_class") != 0:
        found["occlusion"] = {
            "table": "pairs.csv",
            "images": "pairs.zip",
            "conditions": DRAWN_CONDITIONS,
        }
    return found


def _made_files(source: Mapping[str, Any]) -> Values:
    """The files that `make-lists` writes, and the folder of the images."""
    table, annotations, folder, cifar = (
        _mapping(source.get(kind)) for kind in ("table", "annotations", "folder", "cifar100")
    )
    splits = [_mapping(kind.get("splits")) for kind in (table, annotations)]
    found: Values = {}
    if not (any("val" in named for named in splits) or folder.get("val_per_class")):
        found["val"] = None
    if cifar:
        archive = {split: {"images": "images.zip"} for split in ("train", "test")}
        found |= archive | {"group_counts": "group_counts.csv"}
    if "folder" in folder:
        found["images_root"] = folder["folder"]
    elif "table" in table:
        found["images_root"] = str(Path(_path(table["table"])).parent)
    elif splits[1]:
        found["images_root"] = str(Path(_path(next(iter(splits[1].values())))).parent)
    return found


def _images_of_sample(sample: Mapping[str, Any], datasets: Mapping[str, Any]) -> Values:
    """A corpus has the images of the split that it is drawn from; other lists those of train."""
    dataset = _mapping(datasets.get(str(sample.get("dataset"))))
    split = dataset.get(sample.get("list", "train"), dataset.get("train"))
    base = dataset.get("images_root") or dataset.get("root", ".")
    return {"images_root": base, "images": _mapping(split).get("images", ".")}


def _derive_root(where: str, entry: Values, root: str) -> None:
    given = entry.setdefault("root", root)
    if _path(given) != _path(root):
        raise NameProblem(f"{where}.root", f"is {given}, but it is {root} here: leave it out")


def _refuse(where: str, entry: Mapping[str, Any], key: str) -> None:
    if entry.get(key) is not None:
        raise NameProblem(
            f"{where}.{key}", "the world draws this: take another name, or set world: null"
        )


def _of_world(world: Any, key: str) -> list[str]:
    """The names under a key of the world; none if there is no world."""
    return list(_mapping(world.get(key, _world_default(key)))) if _is_mapping(world) else []


def _folder(world: Mapping[str, Any]) -> str:
    return str(_path(world.get("folder", _world_default("folder"))))


def _world_default(key: str) -> Any:
    return World.model_fields[key].get_default(call_default_factory=True)


def _files(name: str) -> Values:
    return {"list": f"{name}.txt", "images": f"{name}.zip"}


def _with_list(files: Any, split: str) -> Any:
    return {"list": f"{split}.txt", **files} if _is_mapping(files) else files


def _path(value: Any) -> Path:
    """A path as it will be read; one that will be refused, as it is."""
    try:
        return Path(expand_variables(str(value)))
    except ValueError:
        return Path(str(value))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
