"""Read the shards of a folder as one array, which stays on disk."""

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.scale.storage import Storage

OPEN_FILES = 64  # at a time


class ShardedArray:
    """Rows of many `.npy` files as one array; those taken are in memory."""

    def __init__(self, paths: list[Path]):
        read = lru_cache(OPEN_FILES)(partial(np.load, mmap_mode="r"))
        self._read, self._paths = read, paths
        files = [np.load(path, mmap_mode="r") for path in paths]
        kinds = {(file.shape[1:], file.dtype) for file in files}
        if len(kinds) != 1:
            raise ValueError(f"shards must be alike. Received: {kinds}")
        (row, self.dtype), *_ = kinds
        self._ends = np.cumsum([len(file) for file in files])
        self.shape = (int(self._ends[-1]), *row)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        rows = np.asarray(np.arange(len(self))[rows])
        numbers = np.searchsorted(self._ends, rows, side="right")
        out = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        for number in np.unique(numbers):
            here, part = numbers == number, self._read(self._paths[number])
            out[here] = part[rows[here] - self._ends[number] + len(part)]
        return out


def open_shards(
    folder: str | Path,
) -> tuple[ShardedArray | None, pd.DataFrame]:
    """Open what `prepare_shards`, `extract_shards`, `predict_shards` wrote.

    Args:
        folder: Their `target`; arrays must lie on a local disk.

    Returns:
        array: Pixels or features, an array that stays on disk and can be
            given to `Batches`; `None` where there are answers only.
        table: One row per photograph, in the same order.

    Raises:
        ValueError: If shards are missing, or arrays lie elsewhere.
    """
    storage = Storage(folder)
    names, wanted = storage.names(), storage.record().get("shards")
    if not names or wanted not in (None, len(names)):
        raise ValueError(
            f"{folder} has {len(names)} of {wanted or 'unknown'} shards: make "
            "the others with the same call as these"
        )
    tables = [storage.table(name) for name in names]
    table = pd.concat(tables, ignore_index=True)
    if not storage.has(f"{names[0]}.npy"):
        return None, table
    if not storage.is_local:
        raise ValueError(
            f"copy the .npy files to a local disk first. Received: {folder}"
        )
    paths = [Path(storage.root, f"{name}.npy") for name in names]
    return ShardedArray(paths), table
