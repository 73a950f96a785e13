"""Draw cats, dogs and other things by code: the embedded sample.

Nothing here is a photograph. A picture is a function of a seed, a kind and a
number: a figure put together from parts (ears, muzzle, eyes, tail, coat) in
one of four poses, placed at random among clutter, then lit, blurred and made
noisy. Cats and dogs share coats, sizes, poses, backgrounds and some of their
parts, so no single cue tells them apart. What the parts look like stands in
`figures.txt`.
"""

import re
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter
from tqdm.auto import tqdm

CLASS_NAMES = ("cat", "dog")
N_PER_CLASS = 500
IMAGE_SIZE = 96  # pixels
SEED = 2026
OVERSAMPLING = 2  # drawn larger and shrunk, for smooth edges

_FIGURES = Path(__file__).with_name("figures.txt")
# Pale, ink, pink and yellow: the colours that all figures share.
_FIXED = (239, 233, 223), (29, 26, 28), (217, 138, 143), (224, 160, 48)
# Where the tail begins (x, y); the trunk's oval, for markings (x, y, radii).
_POSES = {
    "sit": ((0.8, 3), (0, 2, 0.95, 1.25)),
    "stand": ((3, 0.9), (1.5, 1.3, 1.7, 0.8)),
    "lie": ((3.1, 1), (1.5, 1, 1.8, 0.7)),
}


@cache
def _figures():
    """Read the tables: choices by name, and lists of shapes by part."""
    text = re.sub(r"\n +", " ", _FIGURES.read_text("utf-8"))
    tables = {}
    for line in text.splitlines():
        if entry := re.fullmatch(r"(\w+)( =|:)(.*)", line):
            name, kind, values = entry.groups()
            values = values.split("," if kind == " =" else ";")
            tables[name] = [value.split() for value in values if value]
    return tables


@cache
def other_kinds() -> tuple[str, ...]:
    """Return the kinds to train a base on: neither cats nor dogs.

    Returns:
        Names of animals, for `draw`.
    """
    return tuple(k for k in _figures()["animals"][0] if k not in CLASS_NAMES)


@cache
def breeds() -> tuple[str, ...]:
    """Return the breeds: those of cats have a capital first letter.

    Returns:
        Names of breeds, for `draw`.
    """
    return tuple(_figures()["breeds"][0])


def _hues(rng, n, palette):
    """Choose `n` colours of a palette, as arrays of RGB in [0, 255]."""
    names = rng.choice(_figures()[palette][0], n)
    return [np.array(ImageColor.getrgb(f"#{name}")) for name in names]


def _colours(rng, palette):
    """Choose the colours that shapes name by a letter."""
    hues = _hues(rng, 2, palette) + _hues(rng, 1, "irises")
    hues += [np.array(c) for c in _FIXED]
    f, s, i, w, k, p, y = (hue + rng.normal(0, 20, 3) for hue in hues)
    w += rng.uniform(0, 0.6) * (s - w)  # some are hardly paler than the coat
    p = k if rng.random() < 0.4 else p  # dark noses, pink noses
    d = f * rng.uniform(0.4, 0.7)
    return dict(zip("fsdiwkpy", [f, s, d, i, w, k, p, y], strict=True))


def _turn(angle):
    """Return the matrix that turns row vectors by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def _part(name, colours, rng, at=(0, 0), scale=(1, 1), jitter=0.12):
    """Return a part's shapes as (points, colour, line width or 0)."""
    scale = scale * np.exp(rng.normal(0, jitter, 2))
    t = np.linspace(0, 1, 28)[:, None]
    circle = np.hstack([np.cos(2 * np.pi * t), np.sin(2 * np.pi * t)])
    shapes = []
    for (colour, form), *numbers in _figures()[name]:
        numbers = np.array(numbers, float)
        width = numbers[0] if form in "lL" else 0
        points = numbers[len(numbers) % 2 :].reshape(-1, 2)
        if form in "oO":
            points = points[0] + points[1] * circle
        elif width:  # a quadratic Bezier curve
            a, b, c = points
            points = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        for side in (1, -1) if form.isupper() else (1,):
            placed = points * (side, 1) * scale + at
            shapes.append((placed, colours[colour], width))
    return shapes


def _animal(kind, rng):
    """Return an animal's shapes, back to front."""
    *choices, (whiskers,) = _figures()[kind]
    ears, muzzle, eyes, tail, pose = map(rng.choice, choices)
    marking = rng.choice(["plain", "plain", "stripes", "spots", "patch"])
    colours = _colours(rng, "furs")
    shapes = []
    if pose != "face":
        root, (x, y, *radii) = _POSES[pose]
        shapes += _part(tail, colours, rng, root, jitter=0.2)
        shapes += _part(pose, colours, rng, jitter=0.04)
        shapes += _part(marking, colours, rng, (x, y), radii)
    head = _part("head", colours, rng)
    head += _part(marking, colours, rng, scale=(rng.choice([-0.9, 0.9]), 0.8))
    top = _part(ears, colours, rng)
    head = head + top if ears in ("floppy", "folded") else top + head
    front = ["tongue"] * (muzzle == "snout" and rng.random() < 0.3)
    front += [muzzle, eyes] + ["whiskers"] * (rng.random() < float(whiskers))
    look = rng.uniform((-0.22, -0.06), (0.22, 0.08))  # where the head looks
    for name in front:
        head += _part(name, colours, rng, look)
    size = rng.uniform(1, 1.5)
    tilt = _turn(rng.normal(0, 0.25)) * size
    return shapes + [(points @ tilt, c, w * size) for points, c, w in head]


def _paint(canvas, kind, rng, share, outline):
    """Draw a figure, turned and mirrored, over a share of the canvas."""
    if kind in _figures()["objects"][0]:
        colours = _colours(rng, "hues")
        shapes = _part(kind, colours, rng, jitter=0.15)
    else:
        shapes = _animal(kind, rng)
    points = np.concatenate([points for points, _, _ in shapes])
    low, high = points.min(0), points.max(0)
    scale = share * canvas.width / np.sqrt(np.prod(high - low))
    turn = _turn(rng.normal(0, 0.3)) * scale
    turn[0] *= rng.choice([-1, 1])
    room = canvas.width * max(0.05, 0.47 - 0.45 * share)
    at = canvas.width / 2 + rng.uniform(-room, room, 2)
    pen = ImageDraw.Draw(canvas)
    for points, colour, width in shapes:
        points = ((points - (low + high) / 2) @ turn + at).ravel().tolist()
        colour = tuple(colour.clip(0, 255).astype(int).tolist())
        if width:
            pen.line(points, colour, max(1, round(width * scale)), "curve")
        else:
            pen.polygon(points, colour, outline)


def _background(rng, size):
    """Return a canvas: a gradient, two fields, stripes, checks or clouds."""
    a, b = _hues(rng, 2, "hues")
    a, b = (0.5 * (c + rng.normal(0, 30, 3)) + 80 for c in (a, b))
    x, y = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = x * np.cos(angle) + y * np.sin(angle)
    ramps = [ramp / 2 + 0.5, ramp > rng.uniform(-0.5, 0.5)]
    waves = np.sin(ramp * rng.uniform(4, 24))
    across = np.sin((y * np.cos(angle) - x * np.sin(angle)) * 12)
    clouds = Image.fromarray(rng.random((6, 6), np.float32))
    clouds = np.asarray(clouds.resize((size, size), Image.Resampling.BICUBIC))
    ramps += [waves > 0, waves * across > 0, clouds, clouds > 0.5]
    pixels = a + (b - a) * ramps[rng.integers(len(ramps))][..., None]
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _photograph(canvas, rng):
    """Light, blur and add noise, as a camera would."""
    canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9)))
    x, y = np.meshgrid(*[np.linspace(-0.4, 0.4, canvas.width)] * 2)
    slope_x, slope_y = rng.uniform(-1, 1, 2)
    light = rng.uniform(0.6, 1.25) + slope_x * x + slope_y * y
    pixels = canvas * light[..., None] * rng.uniform(0.75, 1.25, 3)
    pixels += rng.normal(0, rng.uniform(2, 14), pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def draw(
    kind: str, rng: np.random.Generator, image_size: int = IMAGE_SIZE
) -> Image.Image:
    """Draw one picture.

    Args:
        kind: One of `CLASS_NAMES`, `other_kinds()` or `breeds()`.
        rng: Source of all that varies; advanced.
        image_size: Width and height in pixels.

    Returns:
        RGB picture of `image_size` by `image_size` pixels.

    Raises:
        ValueError: If nothing of that kind can be drawn.
    """
    if kind not in (kinds := CLASS_NAMES + other_kinds() + breeds()):
        raise ValueError(
            f"Cannot draw this kind. Received: kind={kind!r}. Choose from: "
            f"{', '.join(kinds)}."
        )
    canvas = _background(rng, image_size * OVERSAMPLING)
    outline = (30, 26, 28) if rng.random() < 0.5 else None
    clutter = rng.choice(_figures()["objects"][0], 8)
    behind, before = rng.integers(0, 7), rng.integers(0, 3)
    for thing in clutter[:behind]:
        _paint(canvas, thing, rng, rng.uniform(0.1, 0.35), outline)
    _paint(canvas, kind, rng, rng.uniform(0.45, 0.9), outline)
    for thing in clutter[6 : 6 + before]:
        _paint(canvas, thing, rng, rng.uniform(0.08, 0.16), outline)
    size = (image_size, image_size)
    return _photograph(canvas.resize(size, Image.Resampling.BOX), rng)


def draw_sample(
    folder: str | Path,
    *,
    n_per_class: int = N_PER_CLASS,
    image_size: int = IMAGE_SIZE,
    seed: int = SEED,
) -> None:
    """Write drawn cats and dogs as PNG files, one folder a class.

    A picture depends on `seed`, its class and its number alone.

    Args:
        folder: Gets `cat/0000.png`, …, `dog/0000.png`, …
        n_per_class: Number of pictures of each class.
        image_size: Width and height in pixels.
        seed: Seed of the whole sample.
    """
    names = [
        f"{k}/{i:04d}.png" for k in CLASS_NAMES for i in range(n_per_class)
    ]
    for name in tqdm(names, "draw the sample", unit=" images"):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        draw(path.parent.name, rng, image_size).save(path)


def draw_breeds(
    folder: str | Path,
    *,
    n_per_breed: int = 40,
    image_size: int = IMAGE_SIZE,
    seed: int = SEED,
) -> None:
    """Write drawn breeds in the layout of Oxford-IIIT Pet, half of them test.

    Args:
        folder: Gets `images/<breed>_<number>.jpg`, and `annotations/` with
            the lists `trainval.txt` and `test.txt`.
        n_per_breed: Number of pictures of each breed.
        image_size: Width and height in pixels.
        seed: Seed of the whole set.
    """
    folder, lists = Path(folder), {"trainval": [], "test": []}
    for directory in ("images", "annotations"):
        (folder / directory).mkdir(parents=True, exist_ok=True)
    pairs = [(k, i) for k in breeds() for i in range(1, n_per_breed + 1)]
    for breed, i in tqdm(pairs, "draw the breeds", unit=" images"):
        name = f"{breed}_{i}"
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        image = draw(breed, rng, image_size)
        image.save(folder / "images" / f"{name}.jpg", quality=95)
        half = "trainval" if i <= n_per_breed / 2 else "test"
        number, species = breeds().index(breed) + 1, 2 - breed[0].isupper()
        lists[half].append(f"{name} {number} {species} {number}\n")
    for half, lines in lists.items():
        (folder / "annotations" / f"{half}.txt").write_text("".join(lines))
