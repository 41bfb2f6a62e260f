"""What the world's settings refuse."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from dualtail.datasets.world.settings import WorldSettings

BAD = {
    "an unknown key": {"n_clases": 60},
    "probabilities that do not sum to 1": {"visibility_rare": (0.5, 0.5, 0.5)},
    "two probabilities": {"visibility_downstream": (0.5, 0.5)},
    "a negative probability": {"visibility_frequent": (-0.1, 0.6, 0.5)},
    "more classes than codes": {"n_classes": 481},
    "one class": {"n_classes": 1},
    "a share above 1": {"corpora": {"clip": 1.5}},
    "no corpora": {"corpora": {}},
    "no datasets": {"datasets": {}},
    "an unknown style": {"datasets": {"w": "cubist"}},
    "a name for two things": {"corpora": {"w": 0.5}, "datasets": {"w": "smooth"}},
    "a name that is a path": {"corpora": {"../x": 0.5}},
    "an empty name": {"datasets": {"": "smooth"}},
    "a minimum above the maximum": {"train_count_min": 300},
    "scales in the wrong order": {"scale_min": 1.5, "scale_max": 1.0},
    "fewer images than classes": {"corpus_size": 59},
    "an imbalance factor below 1": {"corpus_imbalance": 0.5},
    "more pairs than test images": {"pairs_per_class": 51},
    "not a number": {"rotation": float("nan")},
    "an infinite rotation": {"rotation": float("inf")},
    "an infinite imbalance": {"corpus_imbalance": float("inf")},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_refuses(bad: dict) -> None:
    with pytest.raises(ValidationError):
        WorldSettings(**bad)


def test_every_field_is_described_and_cannot_be_changed() -> None:
    for name, field in WorldSettings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
    with pytest.raises(ValidationError):
        WorldSettings().seed = 1  # type: ignore[misc]


def test_defaults_survive_json() -> None:
    settings = WorldSettings()
    assert WorldSettings.model_validate_json(settings.model_dump_json()) == settings


def test_reading_settings_needs_no_torch() -> None:
    code = (
        "import sys; import dualtail.datasets.world.settings, "
        "dualtail.foundation.pretraining_settings; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
