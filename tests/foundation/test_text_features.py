"""Text features on disk: the same bits, and every mix-up."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dualtail.errors import UserError
from dualtail.foundation.text_features import read_text_features, write_text_features

NAMES = ["owl", "sea lion", "tench"]


def test_they_come_back_to_the_bit_and_equal_ones_give_equal_files(tmp_path: Path) -> None:
    features = torch.randn(4, 3).T  # not contiguous
    for name in ("a", "b"):
        write_text_features(tmp_path / name, features, NAMES, "f00", "photo: a photo of a {}.")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert torch.equal(read_text_features(tmp_path / "a", NAMES, "f00"), features)


def test_other_classes_and_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_text_features(path, torch.randn(3, 4), NAMES, "f00")
    for other in (NAMES[::-1], NAMES[:2], ["owl", "sea", "lion", "tench"]):
        with pytest.raises(UserError, match=r"t\.safetensors: text features of other class names"):
            read_text_features(path, other, "f00")
    with pytest.raises(UserError, match="of weights f00, but the model has ba4"):
        read_text_features(path, NAMES, "ba4")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_text_features(tmp_path / "none", NAMES, "f00")
    (tmp_path / "cut").write_bytes(b"1234567")
    save_file({"text": torch.zeros(3, 4)}, tmp_path / "other")
    for name in ("cut", "other"):
        with pytest.raises(UserError, match=f"{name}: not a file of text features"):
            read_text_features(tmp_path / name, NAMES, "f00")


def test_features_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not finite"):
        write_text_features(tmp_path / "t", torch.full((3, 4), float("nan")), NAMES, "f00")
    assert not (tmp_path / "t").exists()
