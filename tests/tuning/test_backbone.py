import pytest
import torch

from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.tuning.backbone import cls_feature


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ls_init_value": 0.3},
        {"no_ln_pre": True},
        {"final_ln_after_pool": True},
        {"pos_embed_type": "sin_cos_2d"},
        {"layers": 1},
        {"patch_dropout": 0.5},
        {"norm_kwargs": {"eps": 1e-3}},
    ],
)
def test_skipping_the_last_blocks_patches_changes_nothing(make_open_clip, changes):
    """Against open_clip's own forward pass, which computes every token."""
    theirs = make_open_clip(**changes).double()
    theirs.proj = None
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    found = cls_feature(from_open_clip(theirs), images)
    torch.testing.assert_close(found, theirs(images), rtol=1e-9, atol=1e-9)
