"""Augment images: random rectangles, mirrored, in changed colours."""

import numpy as np


def resample(images, size, corner, extent, turned):
    """Crop a rectangle of each image and resize it by the nearest pixels.

    Args:
        images: `(n, side, side, 3)` uint8.
        size: Side of the result in pixels.
        corner: `(2, n, 1)` in [0, 1), the top and the left edge of each
            rectangle; `(2, 1, 1)` for the same one in all images.
        extent: Likewise in (0, 1], its height and width as shares of the side.
        turned: `(n,)`, which images to mirror; `False` for none.

    Returns:
        `(n, size, size, 3)` uint8.
    """
    n, side = images.shape[:2]
    centres = (np.arange(size) + 0.5) / size
    y, x = ((corner + extent * centres) * side).astype(np.intp)
    x[turned] = x[turned, ::-1]
    lines = np.arange(n)[:, None] * side + y
    pixels = np.ascontiguousarray(images).view("V3").ravel()  # RGB in one
    taken = pixels.take(lines[:, :, None] * side + x[:, None, :])
    return taken.view(np.uint8).reshape(n, size, size, 3)


def draw_rectangles(n, scale, rng):
    """Draw `corner` and `extent` of `n` rectangles of random shape and area."""
    stretch = (4 / 3) ** rng.uniform(-1, 1, n)  # Szegedy et al. 2015, 6
    extent = np.sqrt(rng.uniform(*scale, n) * np.array([stretch, 1 / stretch]))
    extent = extent.clip(max=1)[..., None]
    return rng.uniform(size=extent.shape) * (1 - extent), extent


def tint(images, rng):
    """Change the contrast and the colours of each image slightly, in place."""
    n, size = images.shape[:2]
    # 16-bit integers with six binary places
    contrast = (64 * np.exp(rng.uniform(-0.2, 0.2, (n, 1)))).round()
    shift = 128 * (64 - contrast) + 64 * rng.uniform(-13, 13, (n, 3)) + 32
    each = images.reshape(n, size, -1), np.int16(contrast), np.int16(shift)
    for line, factor, term in zip(*each, strict=True):
        values = line * factor + np.tile(term, size) >> 6
        line[:] = values.clip(0, 255)
    return images
