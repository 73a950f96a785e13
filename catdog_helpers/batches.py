"""Batches from a stored array, with flips and zoomed crops, for any backend."""

from collections.abc import Sequence

import keras
import numpy as np


class Batches(keras.utils.PyDataset):
    """Serve batches of a (memory-mapped) array by row numbers.

    Batch `k` of epoch `e` depends on nothing but `(seed, e, k)`: two runs see
    the same pictures in the same order, whatever thread makes them.

    Args:
        images: `(n, side, side, 3)` uint8 array of images; without `augment`
            and `size` any array whose first axis is the row, e.g. features.
        labels: `(n,)` integers, one for each row of `images`.
        rows: row numbers to serve; all of them by default.
        batch_size: rows a batch; the last one may be smaller.
        shuffle: draw a new order each epoch.
        augment: mirror half of the images and cut a random rectangle of each
            (see `scale`), stretched to the full side.
        size: side of the images served, in pixels; that of `images` by
            default.
        scale: least and greatest area of the rectangle, as a share of the
            image (Szegedy et al. 2015, "Going deeper with convolutions", 6).
        seed: of the order and of the augmentation.
        **kwargs: `workers`, `max_queue_size` of `keras.utils.PyDataset`.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        rows: Sequence[int] | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        augment: bool = False,
        size: int | None = None,
        scale: tuple[float, float] = (0.35, 1.0),
        mirrored: np.ndarray | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.images, self.labels = images, np.asarray(labels)
        self.rows = np.arange(len(images)) if rows is None else np.array(rows)
        self.batch_size, self.shuffle, self.augment = (
            batch_size,
            shuffle,
            augment,
        )
        self.size, self.scale, self.seed = size, scale, seed
        self.mirrored = mirrored
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def order(self) -> np.ndarray:
        """Return the row numbers in the order of the present epoch."""
        if not self.shuffle:
            return self.rows
        return np.random.default_rng((self.seed, self.epoch)).permutation(
            self.rows
        )

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self.batch_size
        rows = self.order()[start : start + self.batch_size]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        if self.augment:
            side = self.size or self.images.shape[1]
            x = np.stack(
                [crop(self.images[r], side, self.scale, rng) for r in rows]
            )
        else:
            x = self.images[rows]
            if self.mirrored is not None:
                flip = rng.random(len(rows)) < 0.5
                x[flip] = self.mirrored[rows[flip]]
        return x, self.labels[rows]

    def on_epoch_end(self):
        self.epoch += 1


def crop(image, size, scale, rng):
    side = image.shape[0]
    area = rng.uniform(*scale)
    ratio = np.exp(rng.uniform(-0.2877, 0.2877))
    h = min(1.0, np.sqrt(area / ratio)) * side
    w = min(1.0, np.sqrt(area * ratio)) * side
    y = rng.uniform(0, side - h)
    x = rng.uniform(0, side - w)
    steps = (np.arange(size) + 0.5) / size
    r = (y + h * steps).astype(int)
    c = (x + w * steps).astype(int)
    if rng.random() < 0.5:
        c = c[::-1]
    return image[r[:, None], c]
