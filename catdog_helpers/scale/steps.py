"""Functions that make a shard of its name and table, by step."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.prepared import decode_one
from catdog_helpers.prediction.photographs import Photograph
from catdog_helpers.scale.storage import Storage, read_address


def prepare_step(source: Storage, folder: Path, image_size: int) -> Callable:
    """Decode a shard as `prepare` does: pixels, and what was found."""

    def make(name: str, table: pd.DataFrame) -> tuple:
        images = np.zeros((len(table), image_size, image_size, 3), np.uint8)

        def decode(row: int) -> dict:
            return decode_one(table.path[row], images, row, read_address)

        with ThreadPoolExecutor() as pool:
            found = pd.DataFrame(pool.map(decode, range(len(table))))
        found["hash"] = found.hash.astype(np.uint64)
        return table.assign(**found), images

    return make


def extract_step(
    source: Storage, folder: Path, image_size: int, dtype: str, batch_size: int
) -> Callable:
    """Run the frozen model: features, and why some are missing."""
    from catdog_helpers.features import as_dtype
    from catdog_helpers.models import in_batches
    from catdog_helpers.saving import read_keras

    model = read_keras(folder / "model.keras")
    decode = prepare_step(source, folder, image_size)

    def make(name: str, table: pd.DataFrame) -> tuple:
        if source.has(f"{name}.npy"):
            found, images = table, source.array(name)
        else:
            found, images = decode(name, table)
        if images.shape[1:] != (image_size, image_size, 3):
            raise ValueError(
                f"{source.address} must have images of {image_size} px. "
                f"Received: shape {images.shape}"
            )
        run = model.predict_on_batch
        (features,) = in_batches(run, images, batch_size=batch_size)
        features = features.astype(np.float32)
        features[found.reason != ""] = 0
        table = table.assign(reason=found.reason)
        return table, as_dtype(features, dtype)

    return make


def predict_step(
    source: Storage, folder: Path, model: str, mirror: bool, batch_size: int
) -> Callable:
    """Answer with a saved model: the rows that `predict` yields."""
    from catdog_helpers.prediction.predictor import load_predictor

    answer, _ = load_predictor(folder / model, batch_size, mirror)

    def make(name: str, table: pd.DataFrame) -> tuple:
        photos = (Photograph(x, partial(read_address, x)) for x in table.path)
        return (pd.DataFrame(row for *_, row in answer(photos)),)

    return make
