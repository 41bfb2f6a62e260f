"""Settings of tuning that depend on one another."""

import pytest
from pydantic import ValidationError

from dualtail.tuning.settings import Augmentation


def test_crop_scale_must_be_ordered():
    for wrong in [(0.5, 0.2), (0.5, 1.5), (0.0, 1.0), (-1, 1)]:
        with pytest.raises(ValidationError):
            Augmentation(crop_scale=wrong)
    assert Augmentation(crop_scale=(1, 1)).crop_scale == (1, 1)
    assert Augmentation(crop_scale=None).crop_scale is None
