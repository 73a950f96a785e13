"""Serve a stored array in batches, augmented, to every backend."""

import keras
import numpy as np

from catdog_helpers.data.augment import draw_rectangles, resample, tint
from catdog_helpers.machine.devices import fill_up, n_devices


class Batches(keras.utils.PyDataset):
    """Serve a (memory-mapped) array in batches, by row number.

    Batch `k` of epoch `e` depends on `(seed, e, k)` alone. Call `fit` with
    `shuffle=False`, or Keras shuffles the batches again.

    Args:
        images: `(n, side, side, 3)` uint8 images in [0, 255]; with neither
            `augment` nor `size` any array of `n` rows, e.g. features, or the
            shards of one: see `open_shards`.
        labels: `(n,)` integers, the class of each row of `images`.
        rows: Row numbers to serve; `None` serves all.
        batch_size: Rows in a batch; the last one may be smaller. For several
            devices it must be a multiple of their number, and the first rows
            are repeated to fill the last batch.
        shuffle: Whether each epoch has an order of its own.
        augment: Whether to mirror each image in every other epoch, to crop
            and stretch a random rectangle of it, and to vary its colours.
        size: Side of the served images in pixels; `None` keeps the stored
            size.
        scale: Least and greatest area of a rectangle, as a share of the
            image's.
        mirrored: Features of the mirrored images, from which each row is
            taken in every other epoch.
        epoch: Number of the first epoch.
        seed: Seed of the order and the augmentation.
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
            # Still on disk, but without the slow class of a memory map
            images = np.asarray(images)
        # With one worker, TensorFlow tunes the input in a thread that sleeps
        # 10 ms, then twice that, up to a minute, and the end of an epoch may
        # wait for it. Two workers take 0.1 s to stop, too long for vectors.
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
        # Alternating views are better than random ones: K. Jordan, "94% on
        # CIFAR-10 in 3.29 Seconds on a Single GPU", 2024, 3.6.
        return (self._turn[rows] + self.epoch) % 2 == 1

    def _stored(self, rows) -> np.ndarray:
        x = self.images[rows]
        if self.mirrored is not None:
            turned = self._turned(rows)
            x[turned] = self.mirrored[rows[turned]]
        # Not every backend computes with float16, in which features are kept.
        return x if x.dtype == np.uint8 else x.astype("float32")

    def on_epoch_end(self) -> None:
        """Count the epoch; `fit` also calls this before its first one."""
        self.epoch += 1
