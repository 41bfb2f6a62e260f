"""Draws creatures in batches: layers with soft edges, composited from front to back.

The renderer knows no classes and no files: codes, visibilities, styles and seeds in, pixels out.
Image i depends on its own row of the inputs alone, never on the batch it is drawn in (tested bit
for bit), and every random number on its seed alone: the same seed with another visibility is the
same image elsewhere.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualtail.datasets.world import shapes
from dualtail.datasets.world.creatures import HUE, HUES, PATTERN, SECOND, SHAPE
from dualtail.datasets.world.randomness import uniforms
from dualtail.datasets.world.settings import WorldSettings

Array = NDArray[np.floating]  # single precision throughout; see test_renderer

BATCH_PIXELS = 2**18  # keeps the layers of a batch within the processor's cache
HEAD_CENTER = 0.43
BODY_CENTER = -0.34
SMOOTH_CELLS = 5  # lattice of the smooth background
OCCLUDER_CELLS = 7
BLOCK_CELLS = 16  # blocks of two pixels at 32 px
# An occluder covers all of its part and leaves the other part free (tested).
HEAD_OCCLUDER = (0.0, 0.45, 0.45, 0.43)  # center x, y, half width, half height
BODY_OCCLUDER = (0.0, -0.38, 0.54, 0.43)
CREAM = (0.97, 0.94, 0.84)
DARK = (0.16, 0.13, 0.19)


@dataclass(frozen=True)
class Scene:
    """What to draw, one row per image.

    Attributes:
        head_codes: (B, 4) int codes of the heads (see `creatures`).
        body_codes: (B, 4) int codes of the bodies.
        head_visible: (B,) bool; a hidden part is replaced by a textured occluder.
        body_visible: (B,) bool.
        blocks: (B,) bool; True for the style `blocks`, False for `smooth`.
        seeds: (B,) int64 image seeds.
    """

    head_codes: NDArray[np.int64]
    body_codes: NDArray[np.int64]
    head_visible: NDArray[np.bool_]
    body_visible: NDArray[np.bool_]
    blocks: NDArray[np.bool_]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seeds)

    def take(self, rows: slice | NDArray[np.int64]) -> "Scene":
        """Return the given rows."""
        return Scene(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def hsv_to_rgb(hue: Array, saturation: Array | float, value: Array | float) -> Array:
    """Convert colors; hue is periodic with period 1. Returns the broadcast shape + (3,)."""
    hue, saturation, value = np.broadcast_arrays(hue, np.float32(saturation), np.float32(value))
    phase = (hue[..., None] * 6 + np.array([5, 3, 1], np.float32)) % 6
    ramp = np.clip(np.minimum(phase, 4 - phase), 0, 1)
    return value[..., None] * (1 - saturation[..., None] * ramp)


def _cubic_weights(cells: int, size: int) -> Array:
    """Weights (cells, size) of lattice points in pixels, smooth; columns sum to 1."""
    position = (np.arange(size) + 0.5) / size * (cells - 1)
    left = np.minimum(position.astype(int), cells - 2)
    t = position - left
    t = t * t * (3 - 2 * t)
    weights = np.zeros((cells, size), np.float32)
    weights[left, np.arange(size)] = 1 - t
    weights[left + 1, np.arange(size)] = t
    return weights


def _lattice_basis(cells: int, size: int) -> Array:
    """The two-dimensional version: (cells * cells, size * size)."""
    weights = _cubic_weights(cells, size)
    return np.einsum("ay,bx->abyx", weights, weights).reshape(cells * cells, size * size)


class Renderer:
    """Draws scenes at one size with the nuisance of the settings.

    Args:
        settings: the world's nuisance knobs.
        size: side of the images in pixels; shapes and textures are the same at any size.
    """

    def __init__(self, settings: WorldSettings, size: int) -> None:
        self.settings = settings
        self.size = size
        axis = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
        self._x = np.tile(axis, size)[None]
        self._y = np.repeat(-axis, size)[None]
        self._smooth = _lattice_basis(SMOOTH_CELLS, size)
        self._occluder = _lattice_basis(OCCLUDER_CELLS, size)
        cell = np.arange(size) * BLOCK_CELLS // size
        self._block = (cell[:, None] * BLOCK_CELLS + cell[None, :]).ravel()

    def render(self, scene: Scene) -> NDArray[np.uint8]:
        """Draw the images of a scene.

        Returns:
            (B, size, size, 3) uint8, RGB.
        """
        images = np.empty((len(scene), self.size, self.size, 3), np.uint8)
        step = max(BATCH_PIXELS // self.size**2, 1)
        for start in range(0, len(scene), step):
            rows = slice(start, start + step)
            images[rows] = self._render_batch(scene.take(rows))
        return images

    def part_regions(self, scene: Scene) -> NDArray[np.float32]:
        """Return where head and body are: what their occluders cover, or would cover.

        Returns:
            (B, 2, size, size), head and body, 0 ... 1; the two never sum to more than 1.
        """
        x, y, edge = self._pose(scene, _Draws(scene.seeds))
        boxes = (HEAD_OCCLUDER, BODY_OCCLUDER)
        covers = np.stack([_cover(occluder_distance(x, y, box), edge) for box in boxes], axis=1)
        covers /= np.maximum(covers.sum(axis=1, keepdims=True), np.float32(1))
        return covers.reshape(len(scene), 2, self.size, self.size)

    def _render_batch(self, scene: Scene) -> NDArray[np.uint8]:
        draws = _Draws(scene.seeds)
        layers = _Layers(len(scene), self.size**2)
        self._add_creature(layers, scene, draws)
        self._add_distractors(layers, scene, draws)
        background = self._background(scene, draws)
        light = 1 + self.settings.light_jitter * draws.signed(1)
        pixels = layers.composite(background) * (light * np.float32(255))[..., None]
        pixels = np.clip(pixels + np.float32(0.5), 0, 255).astype(np.uint8)
        return pixels.transpose(0, 2, 1).reshape(len(scene), self.size, self.size, 3)

    def _add_creature(self, layers: "_Layers", scene: Scene, draws: "_Draws") -> None:
        """Add head and body, or the occluders in their place."""
        x, y, edge = self._pose(scene, draws)
        jitter = self.settings.hue_jitter * draws.signed(2)
        occluder_colors = self._occluder_colors(draws)
        faded = np.float32(self.settings.blocks_saturation)
        saturation = np.where(scene.blocks, faded, np.float32(1))
        for part, (codes, visible, center, occluder) in enumerate(
            (
                (scene.head_codes, scene.head_visible, HEAD_CENTER, HEAD_OCCLUDER),
                (scene.body_codes, scene.body_visible, BODY_CENTER, BODY_OCCLUDER),
            )
        ):
            rows = np.flatnonzero(~visible)
            if len(rows):
                cover = _cover(occluder_distance(x[rows], y[rows], occluder), edge[rows])
                texture = np.matmul(occluder_colors[rows], self._occluder)
                layers.add_textured(rows, cover, texture)
            rows = np.flatnonzero(visible)
            if len(rows):
                colors = _part_colors(codes[rows], jitter[rows, part], saturation[rows])
                own_y = y[rows] - np.float32(center)
                shown = _Part(codes[rows], colors, x[rows], own_y, edge[rows])
                layers.add(rows, *(_head_layers, _body_layers)[part](shown))

    def _pose(self, scene: Scene, draws: "_Draws") -> tuple[Array, Array, Array]:
        """Return the creature's coordinates x, y (B, P) and the width of a pixel in them (B, 1)."""
        knobs = self.settings
        angle = knobs.rotation * draws.signed(1)
        shift_x, shift_y = (knobs.shift * draws.signed(1) for _ in range(2))
        scale = knobs.scale_min + (knobs.scale_max - knobs.scale_min) * draws.unit(1)
        shrunk = np.where(scene.blocks, knobs.blocks_scale, 1.0)[:, None]
        scale = (scale * shrunk).astype(np.float32)
        sin, cos = np.sin(angle) / scale, np.cos(angle) / scale
        x, y = self._x - shift_x, self._y - shift_y
        return cos * x + sin * y, cos * y - sin * x, np.float32(2 / self.size) / scale

    def _occluder_colors(self, draws: "_Draws") -> Array:
        """Lattice colors (B, 3, cells) of a mottled, dull occluder."""
        n = OCCLUDER_CELLS**2
        base = hsv_to_rgb(draws.unit(1), 0.25, 0.35 + 0.35 * draws.unit(1))  # (B, 1, 3)
        mottle = (0.65 + 0.7 * draws.unit(n))[:, None, :]
        return np.clip(base.transpose(0, 2, 1) * mottle, 0, 1)

    def _add_distractors(self, layers: "_Layers", scene: Scene, draws: "_Draws") -> None:
        everything = np.arange(len(scene))
        edge = np.float32(2 / self.size)
        for _ in range(self.settings.distractors):
            x, y, radius, hue, value = np.split(draws.unit(5), 5, axis=1)
            from_center = shapes.disk(self._x - (2 * x - 1), self._y - (2 * y - 1), 0.0)
            distance = from_center - (0.1 + 0.12 * radius)
            color = hsv_to_rgb(hue[:, 0], 0.45, 0.45 + 0.45 * value[:, 0])
            layers.add(everything, _cover(distance, edge), color)

    def _background(self, scene: Scene, draws: "_Draws") -> Array:
        """Return (B, 3, P): a smooth gradient, or a gradient with pixel-block clutter."""
        knobs = self.settings
        hue, value = draws.unit(1), draws.unit(1)
        base = hsv_to_rgb(hue, knobs.background_saturation, 0.55 + 0.35 * value).transpose(0, 2, 1)
        lattice = draws.signed(3 * SMOOTH_CELLS**2).reshape(len(scene), 3, SMOOTH_CELLS**2)
        # Mostly light and dark, a little color.
        lattice = 0.3 * lattice + 0.7 * lattice[:, :1]
        background = np.matmul(base + knobs.clutter * lattice, self._smooth)
        rows = np.flatnonzero(scene.blocks)
        blocks = draws.unit(3 * BLOCK_CELLS**2)
        if len(rows):
            pick, tint, value = np.split(blocks[rows], 3, axis=1)
            bright = hsv_to_rgb(tint, 0.6, 0.3 + 0.65 * value).transpose(0, 2, 1)
            gray = knobs.clutter * (2 * value - 1)
            chosen = pick < knobs.block_probability
            gray, chosen = (a[:, self._block] for a in (gray, chosen))
            bright = bright[:, :, self._block]
            background[rows] = np.where(chosen[:, None], bright, background[rows] + gray[:, None])
        return np.clip(background, 0, 1)


class _Draws:
    """Hands out the random numbers of every image, one after another."""

    def __init__(self, seeds: NDArray[np.int64]) -> None:
        self._seeds = seeds
        self._next = 0

    def unit(self, n: int) -> Array:
        """The next n draws of every image, (B, n), uniform on [0, 1)."""
        values = uniforms(self._seeds, self._next, n)
        self._next += n
        return values

    def signed(self, n: int) -> Array:
        """The same on [-1, 1)."""
        return 2 * self.unit(n) - 1


class _Layers:
    """Composites layers from front to back.

    A layer's weight is its coverage times what the layers before it let through, so that the
    picture is one small matrix product of weights and colors, instead of three blends a layer.
    """

    def __init__(self, n: int, pixels: int) -> None:
        self._through = np.ones((n, pixels), np.float32)
        self._image = np.zeros((n, 3, pixels), np.float32)

    def add(self, rows: NDArray[np.int64], *layers: Array) -> None:
        """Put layers behind all earlier ones.

        Args:
            rows: (R,) the images concerned.
            layers: coverage (R, P) and color (R, 3), alternating, front to back.
        """
        whole = len(rows) == len(self._through)
        through = self._through if whole else self._through[rows]
        coverages, colors = layers[::2], layers[1::2]
        weights = np.empty((len(rows), len(coverages), through.shape[1]), np.float32)
        for k, coverage in enumerate(coverages):
            np.multiply(through, coverage, out=weights[:, k])
            through = through - weights[:, k]
        painted = np.matmul(np.stack(colors, axis=-1).astype(np.float32), weights)
        if whole:
            self._through = through
            self._image += painted
        else:
            self._through[rows] = through
            self._image[rows] += painted

    def add_textured(self, rows: NDArray[np.int64], coverage: Array, texture: Array) -> None:
        """Put a layer with its own picture (R, 3, P) behind all earlier ones."""
        weight = self._through[rows] * coverage
        self._through[rows] -= weight
        self._image[rows] += texture * weight[:, None]

    def composite(self, background: Array) -> Array:
        """Return the picture (B, 3, P) before the given background (B, 3, P)."""
        return self._image + self._through[:, None] * background


def occluder_distance(x: Array, y: Array, box: tuple[float, float, float, float]) -> Array:
    """Distance to an occluder, a box with very round corners, in the creature's coordinates."""
    center_x, center_y, half_width, half_height = box
    u, v = (x - np.float32(center_x)) / half_width, (y - np.float32(center_y)) / half_height
    u, v = u * u, v * v
    sixth_norm = np.sqrt(np.cbrt(u * u * u + v * v * v))
    return (sixth_norm - np.float32(1)) * np.float32(half_height)


def _cover(distance: Array, edge: Array | np.float32) -> Array:
    """Coverage 0 ... 1 of a shape from its signed distance, with a soft edge one pixel wide."""
    return np.clip(np.float32(0.5) - distance / edge, 0, 1)


def _part_colors(codes: NDArray[np.int64], jitter: Array, saturation: Array) -> tuple[Array, ...]:
    """Return main, second and outline color of parts, each (R, 3)."""
    hue = np.array(HUES, np.float32)[codes[:, HUE]] + jitter
    main = hsv_to_rgb(hue, 0.8 * saturation, 0.92)
    opposite = hsv_to_rgb(hue + 0.5, 0.8 * saturation, 0.85)
    second = codes[:, SECOND, None]
    second_color = np.where(second == 0, CREAM, np.where(second == 1, DARK, opposite))
    outline = hsv_to_rgb(hue, 0.85 * saturation, 0.42)
    return main, second_color.astype(np.float32), outline


class _Part(NamedTuple):
    """Heads or bodies to draw, R of them, each in its own coordinates."""

    codes: NDArray[np.int64]
    """(R, 4)"""
    colors: tuple[Array, ...]
    """main, second and outline color, each (R, 3)"""
    x: Array
    y: Array
    """(R, P)"""
    edge: Array
    """(R, 1) width of a pixel"""


def _part_layers(part: _Part, distance: Array) -> list[Array]:
    """Coverage and color of a part's layers, front to back: pattern, main color, dark rim."""
    main, second, outline = part.colors
    inside = _cover(distance + np.float32(0.03), part.edge)
    return [
        inside * shapes.pattern(part.codes[:, PATTERN], part.x, part.y, part.edge), second,
        inside, main,
        _cover(distance, part.edge), outline,
    ]  # fmt: skip


def _head_layers(part: _Part) -> list[Array]:
    """Eyes, mouth and cheeks, then the head; solid heads show the second color on the cheeks."""
    codes, colors, x, y, edge = part
    distance = shapes.by_group(shapes.SHAPES["head"], codes[:, SHAPE], x, y)
    side = np.abs(x)
    eye = shapes.disk(side - np.float32(0.125), y, 0.0)
    smile = np.abs(shapes.disk(x, y + np.float32(0.09), 0.10)) - np.float32(0.014)
    cheek = shapes.disk(side - np.float32(0.185), y + np.float32(0.125), 0.06)
    white = np.ones((len(x), 3), np.float32)
    dark = np.broadcast_to(np.array(DARK, np.float32), white.shape)
    return [
        _cover(eye - np.float32(0.042), edge), dark,
        _cover(eye - np.float32(0.085), edge), white,
        _cover(np.maximum(smile, y + np.float32(0.12)), edge), dark,
        _cover(cheek, edge), colors[1],
        *_part_layers(part, distance),
    ]  # fmt: skip


def _body_layers(part: _Part) -> list[Array]:
    """The body, then two feet in the second color that look out below it."""
    codes, colors, x, y, edge = part
    distance = shapes.by_group(shapes.SHAPES["body"], codes[:, SHAPE], x, y)
    feet = shapes.ellipse(np.abs(x) - np.float32(0.18), y + np.float32(0.35), 0.13, 0.09)
    return [
        *_part_layers(part, distance),
        _cover(feet + np.float32(0.03), edge), colors[1],
        _cover(feet, edge), colors[2],
    ]  # fmt: skip
