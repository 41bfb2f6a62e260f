"""Settings as flags: what `flags` writes, a verb reads back; by hand they are short; mistakes are named."""

import shlex
import types
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from dualtail.cli.flags import MethodParam, flags, method_text, options, parse_values, values_text
from dualtail.datasets.settings import (
    CifarLists,
    FolderLists,
    ListSource,
    LongTailSample,
    TableLists,
)
from dualtail.datasets.world.settings import FineGrained, WorldSettings
from dualtail.foundation.pretraining_settings import PretrainingSettings
from dualtail.scores.settings import ScoreSettings
from dualtail.tuning.settings import Augmentation, HeadSettings, TuningSettings

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=12)


def read(section: type[BaseModel], words: list[str]) -> Any:
    """What a verb gets that is called with these words."""
    found: list[Any] = []

    @click.command()
    @options(section)
    def verb(**sections: Any) -> None:
        found.extend(sections.values())

    result = CliRunner().invoke(verb, words)
    if result.exit_code:
        raise AssertionError(result.output)
    return found[0]


def values(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    """Values of a field, within its own constraints; what a validator refuses may be among them."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return values(inner, (*metadata, *more))
    if get_origin(annotation) in (Union, types.UnionType):
        return st.one_of([values(kind) for kind in get_args(annotation)])
    if get_origin(annotation) is dict:
        return st.dictionaries(*map(values, get_args(annotation)), max_size=3)
    if get_origin(annotation) is tuple:
        return st.tuples(*map(values, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sections(annotation)
    if annotation in (str, Path):
        return TEXTS
    if annotation is float:
        bounds = [m for m in metadata if type(m).__name__ in ("Ge", "Gt", "Le", "Lt")]
        return _leaf(float, *bounds).filter(lambda x: abs(x) < 1e300)
    return _leaf(annotation, *metadata)


def _leaf(kind: Any, *metadata: Any) -> st.SearchStrategy[Any]:
    annotated: Any = Annotated[(kind, *metadata)] if metadata else kind
    return st.from_type(annotated)


SHARES = st.sampled_from([(0.2, 0.3, 0.5), (1.0, 0.0, 0.0)])
RARE: dict[str, st.SearchStrategy[Any]] = {
    "corpora": st.just({"clip": 0.1, "b-2": 0.25}),
    "unbiased": st.just({"fair": "clip"}),
    "datasets": st.just({"world_places": "smooth", "own": "blocks"}),
    "fine_grained": st.builds(
        lambda n: {"world_places": FineGrained(species=n)}, st.integers(2, 8)
    ),
    "pools": st.just({"world_places": 5}),
    "visibility_frequent": SHARES,
    "visibility_rare": SHARES,
    "visibility_downstream": SHARES,
}
"""Fields of the world whose values have to fit together: chance does not meet them."""


def sections(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Valid sections: some fields changed, each kept only if the section allows it."""
    rare = RARE if model is WorldSettings else {}
    fields = {
        name: rare[name] if name in rare else values(field.annotation, tuple(field.metadata))
        for name, field in model.model_fields.items()
    }
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    changes = st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: fields[name] for name in fields if name not in required},
    )
    return changes.map(lambda found: _validated(model, found)).filter(lambda found: found)


def _validated(model: type[BaseModel], found: dict[str, Any]) -> Any:
    required = {k: v for k, v in found.items() if model.model_fields[k].is_required()}
    kept = dict(required)
    for name, value in found.items():
        try:
            model.model_validate(kept | {name: value})
            kept[name] = value
        except ValidationError:
            pass  # a name, a path or a combination that the section refuses
    try:
        return model.model_validate(kept)
    except ValidationError:
        return None


@pytest.mark.parametrize(
    "section", [WorldSettings, TuningSettings, PretrainingSettings, ScoreSettings]
)
@given(data=st.data())
def test_a_verb_reads_back_what_flags_writes(section: type[BaseModel], data: st.DataObject) -> None:
    found = data.draw(sections(section))
    assert read(section, shlex.split(flags(found))) == found


@given(
    st.one_of(
        st.builds(lambda x: ListSource(table=x), sections(TableLists)),
        st.builds(lambda x: ListSource(folder=x), sections(FolderLists)),
        st.builds(lambda x: ListSource(cifar100=x), sections(CifarLists)),
    )
)
def test_sources_of_lists_with_any_paths_and_names_read_back(found: ListSource) -> None:
    assert read(ListSource, shlex.split(flags(found))) == found


def test_the_round_trip_really_changes_things() -> None:
    """The strategies above are worth something only if they leave the defaults."""
    seen: dict[str, set[str]] = {}
    for section in (WorldSettings, TuningSettings):

        @given(sections(section))
        def look(found: BaseModel) -> None:
            changed = found.model_dump(exclude_defaults=True)
            seen.setdefault(type(found).__name__, set()).update(changed)

        look()
    assert seen["TuningSettings"] == set(TuningSettings.model_fields)
    assert seen["WorldSettings"] == set(WorldSettings.model_fields)


def test_only_what_differs_is_written() -> None:
    assert flags(TuningSettings()) == ""
    found = TuningSettings(
        epochs=5, head=HeadSettings(init="none"), augmentation=Augmentation(flip=False)
    )
    assert flags(found) == "--epochs 5 --head init=none --augmentation flip=false"
    assert flags(found, without={"epochs", "head"}) == "--augmentation flip=false"
    # A default of the field that is not the default of its own section.
    assert flags(PretrainingSettings()) == ""
    assert flags(PretrainingSettings(augmentation=Augmentation())) == "--augmentation '{}'"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--lr", "1e-2", "--no-flip"], None),
        (["--augmentation", "crop_scale=none,flip=no"], Augmentation(crop_scale=None, flip=False)),
        (
            ["--augmentation", "{crop_scale: [0.5, 1], flip: true}"],
            Augmentation(crop_scale=(0.5, 1)),
        ),
        (["--augmentation", "crop_scale=[0.5, 1]"], Augmentation(crop_scale=(0.5, 1))),
    ],
)
def test_by_hand(words: list[str], expected: Augmentation | None) -> None:
    if expected is None:
        assert read(Augmentation, ["--no-flip"]) == Augmentation(flip=False)
        return
    assert read(TuningSettings, words).augmentation == expected


def test_help_has_descriptions_and_defaults_and_no_empty_ones() -> None:
    @click.command()
    @options(WorldSettings)
    def verb(world_settings: WorldSettings) -> None:
        pass

    text = " ".join(CliRunner().invoke(verb, ["--help"]).output.split())
    assert "number of classes (creatures), the same everywhere [default: 60]" in text
    assert "[default: clip=0.5,openclip=0.8,metaclip=0.2]" in text
    assert "[default: {}]" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--lr", "fast"], "'--lr': 'fast' is not a valid float"),
        (["--lr", "-1"], "--lr: Input should be greater than 0"),
        (["--precision", "double"], "'double' is not one of 'float32', 'bfloat16', 'float16'"),
        (["--micro-batch", "1.5"], "'1.5' is not a valid integer"),
        (["--head", "cosine"], "'cosine' is not key=value; several have commas between them"),
        (["--head", "typ=cosine"], "--head: typ: Extra inputs are not permitted"),
        (["--head", "scale=-1"], "--head: scale: Input should be greater than 0"),
        (["--head", "{scale: "], "cannot be read"),
        (
            ["--augmentation", "crop_scale=[1.0, 0.5]"],
            "--augmentation: crop_scale: crop_scale must be",
        ),
    ],
)
def test_mistakes_name_the_option(words: list[str], message: str) -> None:
    with pytest.raises(AssertionError, match=r"Usage: ") as error:
        read(TuningSettings, words)
    assert message in " ".join(str(error.value).split())


def test_a_field_without_default_is_required() -> None:
    with pytest.raises(AssertionError, match="Missing option '--size'"):
        read(LongTailSample, [])
    assert flags(LongTailSample(size=5)) == "--size 5"


OPTION_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(TEXTS, OPTION_VALUES, max_size=4))
def test_any_mapping_reads_back(found: dict[str, Any]) -> None:
    assert parse_values(values_text(found)) == found


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), OPTION_VALUES, max_size=3))
def test_a_method_and_its_options_read_back(found: dict[str, Any]) -> None:
    text = method_text("own/part.py:Mine", found)
    assert MethodParam().convert(text, None, None) == ("own/part.py:Mine", found)


def test_a_comma_and_an_apostrophe_may_stand_in_a_text() -> None:
    assert parse_values('a=it\'s,b=\'1, 2\',c="x, \\"y\\""') == {
        "a": "it's",
        "b": "1, 2",
        "c": 'x, "y"',
    }
