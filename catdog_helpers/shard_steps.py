"""What is done with a shard: decode it, extract its features, predict it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.images import MAX_BYTES, read_bytes
from catdog_helpers.photographs import Photograph
from catdog_helpers.store import Store


class Prepare:
    """Decode photographs: pixels, and what was found.

    Args:
        source: Address of the shards; each has a column `path`.
        target: Address of the folder for the results.
        image_size: Side of the square images in pixels.
    """

    computes = False  # whether a GPU makes it faster

    def __init__(self, source: str, target: str, image_size: int):
        self.source, self.target = Store(source), Store(target)
        self.image_size = image_size

    def __call__(self, name: str) -> str:
        """Do the step for a shard, unless its result is there."""
        if not self.target.has(f"{name}.parquet"):
            made = self.make(name, self.source.table(name))
            self.target.write(name, *made)
        return name

    def make(self, name: str, table: pd.DataFrame) -> tuple:
        """Give the table, and the array, that are written."""
        from catdog_helpers.manifest import decode_one

        shape = (len(table), self.image_size, self.image_size, 3)
        images = np.zeros(shape, np.uint8)

        def decode(row: int) -> dict:
            return decode_one(table.path[row], images, row, read_address)

        with ThreadPoolExecutor() as pool:
            found = pd.DataFrame(pool.map(decode, range(len(table))))
        found["hash"] = found.hash.astype(np.uint64)
        return table.assign(**found), images


class Extract(Prepare):
    """Run a frozen model: features, and why some are missing.

    Args:
        source: As for `Prepare`, or its `target`.
        target: Also has the model, as `model/model.keras`.
        image_size: Side of the images in pixels.
        mirrored: Flip the images left to right first.
        dtype: Of the features.
        batch_size: Images at a time.
    """

    computes = True

    def __init__(
        self,
        source: str,
        target: str,
        image_size: int,
        mirrored: bool,
        dtype: str,
        batch_size: int,
    ):
        from catdog_helpers.saving import read_keras

        super().__init__(source, target, image_size)
        self.mirrored, self.dtype = mirrored, dtype
        self.batch_size = batch_size
        with Store(f"{target}/model").local() as folder:
            self.model = read_keras(folder / "model.keras")

    def make(self, name: str, table: pd.DataFrame) -> tuple:
        """Give the table, and the array, that are written."""
        from catdog_helpers.features import as_dtype

        shape = (self.batch_size, self.image_size, self.image_size, 3)
        row_shape = self.model.compute_output_shape(shape)[1:]
        features = np.zeros((len(table), *row_shape), self.dtype)
        images, reasons = self._images(name, table), []
        while batch := list(islice(images, self.batch_size)):
            x = np.zeros(shape, np.float32)  # always one: compiled once
            good = [i for i, y in enumerate(batch) if not isinstance(y, str)]
            for i in good:
                x[i] = batch[i]
            y = self.model.predict_on_batch(
                x[:, :, ::-1] if self.mirrored else x
            )
            rows = np.array(good, dtype=int) + len(reasons)
            features[rows] = as_dtype(y.astype(np.float32)[good], self.dtype)
            reasons += [x if isinstance(x, str) else "" for x in batch]
        return table.assign(reason=reasons), features

    def _images(self, name, table) -> Iterator[np.ndarray | str]:
        """Yield pixels, prepared or decoded now, or why there are none."""
        from catdog_helpers.prediction import decode_ahead

        if not self.source.has(f"{name}.npy"):
            size, ahead = self.image_size, 4 * self.batch_size
            decoded = decode_ahead(_photographs(table), size, ahead)
            return (x for _, x in decoded)
        images = self.source.array(name)
        side = (self.image_size, self.image_size, 3)
        if images.shape[1:] != side or images.dtype != np.uint8:
            raise ValueError(
                f"{self.source.address} must have images of {side}, uint8. "
                f"Received: {images.shape[1:]}, {images.dtype}"
            )
        pairs = zip(images, table.reason, strict=True)
        return (reason or image for image, reason in pairs)


class Predict(Prepare):
    """Answer: the rows that `predict` yields.

    Args:
        source: As for `Prepare`.
        target: Also has the model and what belongs to it, in `model/`.
        model_name: Of its `.keras` file.
        mirror: Look at each photograph twice.
        batch_size: Photographs at a time.
    """

    computes = True

    def __init__(
        self,
        source: str,
        target: str,
        model_name: str,
        mirror: bool,
        batch_size: int,
    ):
        from catdog_helpers.prediction import load_predictor

        self.source, self.target = Store(source), Store(target)
        with Store(f"{target}/model").local() as folder:
            path = folder / model_name
            self.answer, _ = load_predictor(path, batch_size, mirror)

    def make(self, name: str, table: pd.DataFrame) -> tuple:
        """Give the table that is written."""
        rows = [row for *_, row in self.answer(_photographs(table))]
        return (pd.DataFrame(rows),)


def read_address(path: str) -> bytes:
    """Read a photograph from this disk, or from where fsspec finds it.

    Args:
        path: A path, or an address.

    Returns:
        Its bytes, at most `MAX_BYTES`.

    Raises:
        ValueError: If it is larger, or cannot be had.
        OSError: Likewise.
    """
    if "://" not in path:
        return read_bytes(Path(path))
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        raise
    except Exception as error:  # each service has exceptions of its own
        raise ValueError(f"cannot be read: {error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"too large: at most {MAX_BYTES:,} bytes are read")
    return data


def _photographs(table: pd.DataFrame) -> Iterator[Photograph]:
    for path in table.path:
        yield Photograph(path, partial(read_address, path))
