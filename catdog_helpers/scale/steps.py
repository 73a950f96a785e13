"""What is done with a shard: decode it, extract its features, predict it.

Each step returns a function from a shard's name and table to what is written.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice

import numpy as np
import pandas as pd

from catdog_helpers.prediction.photographs import Photograph
from catdog_helpers.scale.storage import Storage, read_address


def prepare_step(source: Storage, target: Storage, image_size: int) -> Callable:
    """Decode a shard as `prepare` does: pixels, and what was found."""
    from catdog_helpers.data.prepared import decode_one

    def make(name: str, table: pd.DataFrame) -> tuple:
        shape = (len(table), image_size, image_size, 3)
        images = np.zeros(shape, np.uint8)

        def decode(row: int) -> dict:
            return decode_one(table.path[row], images, row, read_address)

        with ThreadPoolExecutor() as pool:
            found = pd.DataFrame(pool.map(decode, range(len(table))))
        found["hash"] = found.hash.astype(np.uint64)
        return table.assign(**found), images

    return make


def extract_step(
    source: Storage,
    target: Storage,
    image_size: int,
    mirrored: bool,
    dtype: str,
    batch_size: int,
) -> Callable:
    """Run the frozen model in `model/`: features, and why some are missing."""
    from catdog_helpers.features import as_dtype
    from catdog_helpers.saving import read_keras

    with Storage(f"{target.address}/model").local() as folder:
        model = read_keras(folder / "model.keras")
    shape = (batch_size, image_size, image_size, 3)
    row_shape = model.compute_output_shape(shape)[1:]

    def make(name: str, table: pd.DataFrame) -> tuple:
        features = np.zeros((len(table), *row_shape), dtype)
        images, reasons = _images(source, name, table, shape), []
        while batch := list(islice(images, batch_size)):
            x = np.zeros(shape, np.uint8)  # always one: compiled once
            good = [i for i, y in enumerate(batch) if not isinstance(y, str)]
            for i in good:
                x[i] = batch[i]
            y = model.predict_on_batch(x[:, :, ::-1] if mirrored else x)
            rows = np.array(good, dtype=int) + len(reasons)
            features[rows] = as_dtype(y.astype(np.float32)[good], dtype)
            reasons += [x if isinstance(x, str) else "" for x in batch]
        return table.assign(reason=reasons), features

    return make


def predict_step(
    source: Storage, target: Storage, model: str, mirror: bool, batch_size: int
) -> Callable:
    """Answer with the model in `model/`: the rows that `predict` yields."""
    from catdog_helpers.prediction.predictor import load_predictor

    with Storage(f"{target.address}/model").local() as folder:
        answer, _ = load_predictor(folder / model, batch_size, mirror)

    def make(name: str, table: pd.DataFrame) -> tuple:
        return (pd.DataFrame(row for *_, row in answer(_photographs(table))),)

    return make


def _photographs(table: pd.DataFrame) -> Iterator[Photograph]:
    for path in table.path:
        yield Photograph(path, partial(read_address, path))


def _images(source: Storage, name: str, table: pd.DataFrame, shape) -> Iterator:
    """Yield pixels, prepared or decoded now, or why there are none."""
    from catdog_helpers.prediction.predictor import decode_ahead

    if not source.has(f"{name}.npy"):
        ahead = 4 * shape[0]
        decoded = decode_ahead(_photographs(table), shape[1], ahead)
        return (x for _, x in decoded)
    images = source.array(name)
    if images.shape[1:] != shape[1:] or images.dtype != np.uint8:
        raise ValueError(
            f"{source.address} must have images of {shape[1:]}, uint8. "
            f"Received: {images.shape[1:]}, {images.dtype}"
        )
    pairs = zip(images, table.reason, strict=True)
    return (reason or image for image, reason in pairs)
