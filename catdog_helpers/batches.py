"""Batches of a stored array by row number, augmented, for every backend."""

import keras
import numpy as np

from catdog_helpers.machine.devices import fill_up, n_devices


class Batches(keras.utils.PyDataset):
    """Serve a (memory-mapped) array in batches, by row number.

    Batch `k` of epoch `e` depends on `(seed, e, k)` alone. Give `fit`
    `shuffle=False`, or Keras shuffles the batches once more.

    Args:
        images: `(n, side, side, 3)` uint8 images in [0, 255]; with neither
            `augment` nor `size` any array of `n` rows, e.g. features, or the
            shards of one: see `open_shards`.
        labels: `(n,)` integers, the class of each row of `images`.
        rows: Row numbers to serve; all of them if `None`.
        batch_size: Rows in a batch; the last one may be smaller. Several
            devices need a multiple of their number, and get the first rows
            once more to fill the last batch up.
        shuffle: Whether each epoch has an order of its own.
        augment: Whether to mirror each image in every other epoch, to serve a
            random rectangle of it, stretched, and to vary its colours.
        size: Side of the images served, in pixels; as stored if `None`.
        scale: Least and greatest share of the image's area in a rectangle.
        mirrored: Features of the mirrored images; each row is then taken from
            there in every other epoch.
        epoch: Number of the first epoch.
        seed: Seed of order and augmentation.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        rows: np.ndarray | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        augment: bool = False,
        size: int | None = None,
        scale: tuple[float, float] = (0.35, 1.0),
        mirrored: np.ndarray | None = None,
        epoch: int = 0,
        seed: int = 0,
    ):
        if isinstance(images, np.ndarray | list):
            # Still on disk, but without a memory map's slow bookkeeping
            images = np.asarray(images)
        # With one worker TensorFlow tunes the input in a thread that sleeps
        # 10 ms, then twice that, up to a minute; the end of an epoch may wait
        # until it wakes. Two need 0.1 s to stop: too long for mere vectors.
        waits = keras.config.backend() == "tensorflow" and images.ndim > 2
        super().__init__(workers=2 if waits else 1)
        self.images, self.labels = images, np.asarray(labels)
        if batch_size % n_devices():
            raise ValueError(
                f"`batch_size` must be a multiple of the {n_devices()} devices "
                f"that share a batch. Received: {batch_size}"
            )
        rows = np.arange(len(images)) if rows is None else np.array(rows)
        self.rows, self.shuffle = fill_up(rows), shuffle
        self.batch_size = batch_size
        self.augment, self.size, self.scale = augment, size, scale
        self.mirrored, self.epoch, self.seed = mirrored, epoch, seed
        rng = np.random.default_rng(seed)
        self._turn = rng.integers(0, 2, len(images), dtype=np.int8)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.rows
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch))
            rows = order.permutation(rows)
        start = index * self.batch_size
        rows = rows[start : start + self.batch_size]
        if not self.augment and self.size in (None, self.images.shape[1]):
            return self._stored(rows), self.labels[rows]
        size = self.size or self.images.shape[1]
        corner, extent, turned = np.zeros((2, 1, 1)), 1.0, False
        if self.augment:
            rng = np.random.default_rng((self.seed, self.epoch, index))
            corner, extent = draw_rectangles(len(rows), self.scale, rng)
            turned = self._turned(rows)
        x = resample(self.images[rows], size, corner, extent, turned)
        return tint(x, rng) if self.augment else x, self.labels[rows]

    def _turned(self, rows) -> np.ndarray:
        # Each view in turn teaches more than a coin: K. Jordan, "94% on
        # CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, 3.6.
        return (self._turn[rows] + self.epoch) % 2 == 1

    def _stored(self, rows) -> np.ndarray:
        x = self.images[rows]
        if self.mirrored is not None:
            turned = self._turned(rows)
            x[turned] = self.mirrored[rows[turned]]
        # float16 is for the disk; not every backend computes with it.
        return x if x.dtype == np.uint8 else x.astype("float32")

    def on_epoch_end(self) -> None:
        """Count the epoch; `fit` does it once before its first one, too."""
        self.epoch += 1


def resample(images, size, corner, extent, turned):
    """Take the nearest pixels of a rectangle of each image.

    Args:
        images: `(n, side, side, 3)` uint8.
        size: Side of the result in pixels.
        corner: `(2, n, 1)` in [0, 1), where each rectangle begins: down,
            across. `(2, 1, 1)` for the same one in all of them.
        extent: Likewise in (0, 1], how far it reaches, in shares of the side.
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
    """Draw `corner` and `extent` of `n` rectangles, of random form and area."""
    stretch = (4 / 3) ** rng.uniform(-1, 1, n)  # Szegedy et al. 2015, 6
    extent = np.sqrt(rng.uniform(*scale, n) * np.array([stretch, 1 / stretch]))
    extent = extent.clip(max=1)[..., None]
    return rng.uniform(size=extent.shape) * (1 - extent), extent


def tint(images, rng):
    """Vary the contrast and the colours of each image a little, in place."""
    n, size = images.shape[:2]
    # Whole numbers of 16 bits, six of them behind the point
    contrast = (64 * np.exp(rng.uniform(-0.2, 0.2, (n, 1)))).round()
    shift = 128 * (64 - contrast) + 64 * rng.uniform(-13, 13, (n, 3)) + 32
    each = images.reshape(n, size, -1), np.int16(contrast), np.int16(shift)
    for line, factor, term in zip(*each, strict=True):
        values = line * factor + np.tile(term, size) >> 6
        line[:] = values.clip(0, 255)
    return images
