import pytest
import torch
from open_clip.model import CLIP

from dualtail.foundation.open_clip_tower import from_open_clip
from dualtail.tuning.backbone import BackboneShape, cls_feature


def test_shape_of_the_real_tower():
    with torch.device("meta"):
        visual = CLIP(512, {}, {"layers": 1, "vocab_size": 10}).visual
    assert BackboneShape.of(from_open_clip(visual)) == BackboneShape(
        width=768, layers=12, heads=12, ffn_width=3072, patch_size=(16, 16), image_size=(224, 224)
    )


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
