"""Many files of features, or of pixels, as one array that stays on disk."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.scale.store import Store

OPEN = 64  # files held open at a time


class Shards:
    """Rows of many `.npy` files as one array that stays on disk.

    It has `shape`, `dtype` and `len`, and takes row numbers and slices; what
    it gives then is in memory.

    Args:
        paths: The files, in order; all rows alike.

    Raises:
        ValueError: If the rows differ.
    """

    def __init__(self, paths: list[Path]):
        heads = [_head(path) for path in paths]
        kinds = {(shape[1:], dtype) for shape, dtype in heads}
        if len(kinds) != 1:
            raise ValueError(f"shards must be alike. Received: {kinds}")
        (row, self.dtype), *_ = kinds
        self._ends = np.cumsum([shape[0] for shape, _ in heads])
        self.shape = (int(self._ends[-1]), *row)
        self.ndim = len(self.shape)
        read = functools.partial(np.load, mmap_mode="r")
        self._open = functools.lru_cache(OPEN)(lambda n: read(paths[n]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows, dtype=None if np.size(rows) else int)
        if rows.dtype == bool:
            rows = np.flatnonzero(rows)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"there are {len(self):,} rows")
        numbers = np.searchsorted(self._ends, rows, side="right")
        out = np.empty((*rows.shape, *self.shape[1:]), self.dtype)
        for number in np.unique(numbers):
            here, part = numbers == number, self._open(int(number))
            out[here] = part[rows[here] - self._ends[number] + len(part)]
        return out


def open_shards(
    folder: str | Path, columns: list[str] | None = None
) -> tuple[Shards | None, pd.DataFrame]:
    """Open what `prepare_shards`, `extract_shards`, `predict_shards` wrote.

    Args:
        folder: Their `target`. Arrays must lie on a local disk, tables may
            lie anywhere.
        columns: Of the table, those to read; all if `None`.

    Returns:
        array: Pixels or features, an array that stays on disk and can be
            given to `Batches`; `None` where there are answers only.
        table: One row per photograph, in the same order.

    Raises:
        ValueError: If shards are missing, or arrays lie elsewhere.
    """
    store = Store(folder)
    names, wanted = store.names(), store.record().get("shards")
    if not names or wanted not in (None, len(names)):
        raise ValueError(
            f"{folder} has {len(names)} of {wanted or 'unknown'} shards: make "
            "the others with the same call as these"
        )
    tables = [store.table(name, columns) for name in names]
    table = pd.concat(tables, ignore_index=True)
    if not store.has(f"{names[0]}.npy"):
        return None, table
    if not store.is_local:
        raise ValueError(
            f"copy the .npy files to a local disk first. Received: {folder}"
        )
    paths = [Path(store.root, f"{name}.npy") for name in names]
    return Shards(paths), table


def _head(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    array = np.load(path, mmap_mode="r")
    return array.shape, array.dtype
