"""Batches of a stored array by row number, augmented, for every backend."""

from collections.abc import Sequence

import keras
import numpy as np

ASPECT = 4 / 3  # greatest stretch of a crop (Szegedy et al. 2015, section 6)


class Batches(keras.utils.PyDataset):
    """Serve a (memory-mapped) array in batches, by row number.

    Batch `k` of epoch `e` depends on `(seed, e, k)` alone: two runs see the
    same pictures in the same order, whichever thread makes them. Call `fit`
    with `shuffle=False`: by default Keras shuffles the batches once more.

    Args:
        images: `(n, side, side, 3)` uint8 images in [0, 255]; with neither
            `augment` nor `size` any array of `n` rows, e.g. features.
        labels: `(n,)` integers, the class of each row of `images`.
        rows: Row numbers to serve; all of them if `None`.
        batch_size: Rows in a batch; the last one may be smaller.
        shuffle: Whether each epoch has an order of its own.
        augment: Whether to mirror every other image, by chance, and to serve
            a random rectangle of each, stretched to the whole square.
        size: Side of the images served, in pixels; as stored if `None`.
        scale: Least and greatest share of the image's area in a rectangle.
        epoch: Number of the first epoch.
        seed: Seed of order and augmentation.
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
        scale: tuple[float, float] = (0.6, 1.0),
        epoch: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.images, self.labels = images, np.asarray(labels)
        self.rows = np.arange(len(images)) if rows is None else np.array(rows)
        self.batch_size, self.shuffle, self.augment = (
            batch_size,
            shuffle,
            augment,
        )
        self.size, self.scale = size, scale
        self.epoch, self.seed = epoch, seed

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.rows
        if self.shuffle:
            rng = np.random.default_rng((self.seed, self.epoch))
            rows = rng.permutation(rows)
        start = index * self.batch_size
        rows = rows[start : start + self.batch_size]
        if not self.augment and self.size in (None, self.images.shape[1]):
            return self.images[rows], self.labels[rows]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return self._cut(rows, rng), self.labels[rows]

    def on_epoch_end(self) -> None:
        """Count the epoch; `fit` does it once before its first one, too."""
        self.epoch += 1

    def _cut(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        n, side = len(rows), self.images.shape[1]
        crops = np.tile([0.0, 0.0, 1.0, 1.0], (n, 1)), np.zeros(n, bool)
        if self.augment:
            crops = random_crops(n, self.scale, rng), rng.random(n) < 0.5
        centres = (np.arange(self.size or side) + 0.5) / (self.size or side)
        batch = np.empty((n, len(centres), len(centres), 3), np.uint8)
        for out, row, (top, left, height, width), mirror in zip(
            batch, rows, *crops, strict=True
        ):
            # Nearest pixels, by index: what augmentation costs is a copy.
            y = ((top + height * centres) * side).astype(int)
            x = ((left + width * centres) * side).astype(int)
            out[:] = self.images[row][y[:, None], x[::-1] if mirror else x]
        return batch


def random_crops(n, scale, rng):
    """Draw `n` rectangles `(top, left, height, width)`, as shares of 1."""
    area = rng.uniform(*scale, n)
    stretch = np.exp(rng.uniform(-1, 1, n) * np.log(ASPECT) / 2)
    height, width = np.minimum(1, np.sqrt(area) * [stretch, 1 / stretch])
    top, left = rng.uniform(size=(2, n)) * (1 - np.stack([height, width]))
    return np.stack([top, left, height, width], axis=1)
