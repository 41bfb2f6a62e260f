"""The renderer's promises: determinism, independence of batches, pairing, equal scenes at any size."""

import colorsys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtail.datasets.world import renderer as r
from dualtail.datasets.world.creatures import creatures
from dualtail.datasets.world.settings import WorldSettings

WORLD = WorldSettings()
CLASSES = creatures(WORLD)
RENDERER = r.Renderer(WORLD, 32)


def scene(seeds: np.ndarray, labels: np.ndarray, shown: np.ndarray, blocks: np.ndarray) -> r.Scene:
    """A scene; shown is 0 for both parts, 1 head only, 2 body only, 3 neither."""
    return r.Scene(
        CLASSES.head_codes[labels],
        CLASSES.body_codes[labels],
        np.isin(shown, (0, 1)),
        np.isin(shown, (0, 2)),
        blocks,
        seeds,
    )


def some(n: int, seed: int = 0) -> r.Scene:
    rng = np.random.default_rng(seed)
    return scene(
        rng.integers(0, 2**53, n),
        rng.integers(0, 60, n),
        rng.integers(0, 3, n),
        rng.random(n) < 0.5,
    )


def show(of: r.Scene, head: bool, body: bool) -> r.Scene:
    n = len(of)
    return r.Scene(
        of.head_codes, of.body_codes, np.full(n, head), np.full(n, body), of.blocks, of.seeds
    )


EVERYTHING = some(300, seed=1)
ALL_IMAGES = RENDERER.render(EVERYTHING)  # crosses the border between two internal batches


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=12))
def test_an_image_does_not_depend_on_its_batch(rows: list[int]) -> None:
    part = RENDERER.render(EVERYTHING.take(np.array(rows)))
    np.testing.assert_array_equal(part, ALL_IMAGES[rows])


def test_creatures_stand_evenly_around_the_middle() -> None:
    both = show(some(200, seed=5), True, True)
    centers = []
    for shift in (0.0, 0.1):
        world = WorldSettings(
            rotation=0.0, scale_min=1.0, scale_max=1.0, blocks_scale=1.0, shift=shift
        )
        renderer = r.Renderer(world, 48)
        changed = renderer.render(show(both, False, True)) != renderer.render(both)
        share = changed.any(axis=-1) / changed.any(axis=-1).sum(axis=(1, 2), keepdims=True)
        axis = (np.arange(48) + 0.5) / 24 - 1
        centers.append(np.stack([share.sum(axis=1) @ axis, share.sum(axis=2) @ axis], axis=1))
    moved = centers[1] - centers[0]
    assert np.abs(moved).max() < 0.15
    np.testing.assert_allclose(moved.mean(axis=0), 0, atol=0.015)
    np.testing.assert_allclose(moved.std(axis=0), 0.1 / np.sqrt(3), rtol=0.2)


def test_a_hidden_part_leaves_no_trace() -> None:
    """Whatever the code of a hidden part is, the pixels are the same."""
    one = some(30, seed=3)
    for head, body in ((False, True), (True, False)):
        hidden = show(one, head, body)
        other = r.Scene(
            hidden.head_codes if head else np.roll(hidden.head_codes, 1, axis=0),
            hidden.body_codes if body else np.roll(hidden.body_codes, 1, axis=0),
            hidden.head_visible,
            hidden.body_visible,
            hidden.blocks,
            hidden.seeds,
        )
        np.testing.assert_array_equal(RENDERER.render(hidden), RENDERER.render(other))


def test_occluders_are_opaque_and_textured() -> None:
    """Within an occluder nothing of what lies behind it shows, not even the style."""
    still = WorldSettings(
        rotation=0.0, shift=0.0, scale_min=1.0, scale_max=1.0, blocks_scale=1.0, light_jitter=0.0
    )
    renderer, one = r.Renderer(still, 64), some(20, seed=9)
    axis = ((np.arange(64) + 0.5) / 32 - 1).astype(np.float32)
    x, y = np.meshgrid(axis, -axis)
    for head, body, box in ((False, True, r.HEAD_OCCLUDER), (True, False, r.BODY_OCCLUDER)):
        inside = r.occluder_distance(x, y, box) < -2 / 64
        hidden = show(one, head, body)
        parts = {name: getattr(hidden, name) for name in hidden.__dataclass_fields__}
        smooth, blocks = (
            renderer.render(r.Scene(**(parts | {"blocks": np.full(20, style)})))[:, inside]
            for style in (False, True)
        )
        np.testing.assert_array_equal(smooth, blocks)
        assert (smooth.astype(float).std(axis=1).mean(axis=-1) > 5).all()


def test_every_attribute_of_a_visible_part_shows() -> None:
    base = show(some(20, seed=4), True, True)
    pixels = RENDERER.render(base).astype(int)
    for part in ("head_codes", "body_codes"):
        for column, n_values in enumerate((10, 4, 3, 4)):
            codes = getattr(base, part).copy()
            codes[:, column] = (codes[:, column] + 1) % n_values
            parts = {name: getattr(base, name) for name in base.__dataclass_fields__}
            changed = RENDERER.render(r.Scene(**(parts | {part: codes}))).astype(int)
            assert (np.abs(changed - pixels).max(axis=(1, 2, 3)) > 20).all(), (part, column)


def test_the_same_picture_at_another_size() -> None:
    """128 px averaged down to 32 px is close to what is drawn at 32 px: one scene, two sizes."""
    one = some(40, seed=6)
    large = r.Renderer(WORLD, 128).render(one).astype(float)
    small = RENDERER.render(one).astype(float)
    reduced = large.reshape(40, 32, 4, 32, 4, 3).mean(axis=(2, 4))
    difference = np.abs(reduced - small).mean(axis=(1, 2, 3))
    shuffled = np.abs(np.roll(reduced, 1, axis=0) - small).mean(axis=(1, 2, 3))
    assert difference.max() < 12
    assert difference.max() < shuffled.min() / 2


def test_colors_against_the_standard_library() -> None:
    rng = np.random.default_rng(7)
    hsv = rng.random((200, 3)).astype(np.float32)
    expected = [colorsys.hsv_to_rgb(*color) for color in hsv.tolist()]
    np.testing.assert_allclose(r.hsv_to_rgb(*hsv.T), expected, atol=1e-5)
    np.testing.assert_allclose(r.hsv_to_rgb(hsv[:, 0] + 1, 1.0, 1.0),
                               r.hsv_to_rgb(hsv[:, 0], 1.0, 1.0), atol=1e-5)  # fmt: skip


def test_compositing_against_blending_back_to_front() -> None:
    rng = np.random.default_rng(8)
    n, p, k = 3, 11, 4
    coverage = rng.random((k, n, p)).astype(np.float32)
    colors = rng.random((k, n, 3)).astype(np.float32)
    texture, background = rng.random((2, n, 3, p)).astype(np.float32)
    expected = background.astype(np.float64)
    rows = [np.arange(n), np.arange(n), np.array([0, 2]), np.arange(n)]
    for layer in (3, 2, 1, 0):
        for i in rows[layer]:
            paint = texture[i] if layer == 1 else colors[layer, i][:, None]
            expected[i] = expected[i] * (1 - coverage[layer, i]) + paint * coverage[layer, i]
    layers = r._Layers(n, p)
    layers.add(rows[0], coverage[0], colors[0])
    layers.add_textured(rows[1], coverage[1], texture)
    layers.add(rows[2], coverage[2][rows[2]], colors[2][rows[2]])
    layers.add(rows[3], coverage[3], colors[3])
    np.testing.assert_allclose(layers.composite(background), expected, atol=1e-6)


def test_part_regions_hold_what_hiding_a_part_changes() -> None:
    both = show(some(60, seed=4), True, True)
    for size in (32, 128):
        renderer = r.Renderer(WORLD, size)
        regions = renderer.part_regions(both)
        assert regions.shape == (60, 2, size, size)
        assert regions.min() >= 0
        assert regions.sum(axis=1).max() <= 1 + 1e-6
        base = renderer.render(both)
        for part, (head, body) in enumerate(((False, True), (True, False))):
            changed = (renderer.render(show(both, head, body)) != base).any(axis=-1)
            assert not (changed & (regions.sum(axis=1) == 0)).any()
            # Nearly everything that changes is in this part's region, not in the other's.
            inside = [(regions[:, k] * changed).sum() for k in (part, 1 - part)]
            assert inside[0] > 10 * inside[1]
    # Both styles and all visibilities have the same regions: they are a matter of the pose.
    hidden = show(both, False, True)
    np.testing.assert_array_equal(renderer.part_regions(hidden), regions)
