"""Pictures that are neither cat nor dog, drawn by code."""

import numpy as np
from PIL import Image, ImageDraw

SIDE = 192


def draw_odd(kind: str, seed: int) -> Image.Image:
    rng = np.random.default_rng((*kind.encode(), seed))
    pixels = np.asarray(globals()[f"_{kind}"](rng))
    return Image.fromarray(pixels.clip(0, 255).astype("uint8"))


KINDS = ("noise", "flat", "text", "gradient", "shapes")


def _noise(rng):
    side = int(rng.choice([SIDE, SIDE, *range(4, 64)]))
    channels = int(rng.choice([1, 3]))
    noise = rng.integers(0, 256, (side, side, channels), dtype="uint8")
    image = Image.fromarray(np.repeat(noise, 3 // channels, axis=2))
    return image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)


def _flat(rng):
    return np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3))


def _text(rng):
    image = Image.new("RGB", (SIDE, SIDE), _color(rng, 180, 256))
    draw = ImageDraw.Draw(image)
    letters = list("abcdefghijklmnopqrstuvwxyz    ,.")
    for y in range(6, SIDE, int(rng.integers(14, 28))):
        line = "".join(rng.choice(letters, 34))
        size = int(rng.integers(10, 22))
        draw.text((6, y), line, fill=_color(rng, 0, 100), font_size=size)
    return image


def _gradient(rng):
    first, last = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    along = (np.cos(angle) * x + np.sin(angle) * y + 1.5) / 3
    around = np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-1, 1)) / 2
    share = (along if rng.random() < 0.5 else around).clip(0, 1)[..., None]
    return first * (1 - share) + last * share


def _shapes(rng):
    image = Image.new("RGB", (SIDE, SIDE), _color(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 8)):
        corners = rng.integers(0, SIDE, (3, 2))
        low, high = corners.min(axis=0), corners.max(axis=0)
        box, fill = (*map(int, low), *map(int, high)), _color(rng)
        kind = rng.integers(4)
        if kind == 0:
            draw.rectangle(box, fill=fill)
        elif kind == 1:
            draw.ellipse(box, fill=fill)
        elif kind == 2:
            draw.line(box, fill=fill, width=int(rng.integers(2, 14)))
        else:
            draw.polygon([tuple(map(int, p)) for p in corners], fill=fill)
    return image


def _color(rng, low: int = 0, high: int = 256) -> tuple:
    return tuple(map(int, rng.integers(low, high, 3)))
