"""A folder of shards at any address that fsspec knows; one array of many."""

import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from catdog_helpers.data.images import MAX_BYTES, read_bytes
from catdog_helpers.data.walk import is_clutter, is_image_name
from catdog_helpers.machine.failures import first_line, printable

Source = str | Path | Iterable[str | Path]
OPEN_FILES = 64  # at a time
RECORD = "shards.json"  # what the shards beside it are, and how many


class Storage:
    """A folder of shards, at any address that fsspec knows.

    A shard is `<name>.parquet`, one row per photograph, and, where there are
    pixels or features, `<name>.npy` of as many rows. The table is written
    last: a shard that has one is complete.
    """

    def __init__(self, address: str | Path):
        require("fsspec", "pyarrow")
        from fsspec.core import url_to_fs

        self.fs, root = url_to_fs(os.path.expanduser(str(address)))
        self.root = root.rstrip("/")
        self.address = self.fs.unstrip_protocol(self.root)
        self.is_local = self.address.startswith("file://")

    def names(self) -> list[str]:
        """Return the names of the complete shards, in order."""
        self.fs.invalidate_cache()
        found = self.fs.glob(f"{self.root}/*.parquet")
        return sorted(PurePosixPath(path).stem for path in found)

    def has(self, file: str) -> bool:
        """Return whether a file exists."""
        return self.fs.exists(f"{self.root}/{file}")

    def table(self, name: str) -> pd.DataFrame:
        """Read a shard's rows."""
        with self.fs.open(f"{self.root}/{name}.parquet", "rb") as file:
            return pd.read_parquet(file)

    def array(self, name: str) -> np.ndarray:
        """Read a shard's pixels or features."""
        data = self.fs.cat_file(f"{self.root}/{name}.npy")
        return np.load(io.BytesIO(data))

    def write(self, name: str, table: pd.DataFrame, array=None) -> None:
        """Write a shard: the array, then the table."""
        if array is not None:
            self.put(f"{name}.npy", lambda file: np.save(file, array))
        self.put(f"{name}.parquet", lambda x: table.to_parquet(x, index=False))

    def put(self, name: str, write: Callable) -> None:
        """Write a file atomically: `write` receives it open."""
        self.fs.makedirs(self.root, exist_ok=True)
        # Two workers may write the same shard, if one was taken for dead.
        new = f"{self.root}/{name}.{uuid.uuid4().hex[:8]}.partial"
        with self.fs.open(new, "wb") as file:
            write(file)
        self.fs.mv(new, f"{self.root}/{name}")

    def record(self) -> dict:
        """Read what the shards are; empty if that is not recorded yet."""
        path = f"{self.root}/{RECORD}"
        return json.loads(self.fs.cat_file(path)) if self.has(RECORD) else {}

    def claim(self, parts: dict) -> None:
        """Record all that the shards depend on; refuse a folder of others."""
        old = self.record()
        changed = [k for k in parts if old and old.get(k) != parts[k]]
        if changed:
            raise ValueError(
                f"{self.root} has shards of another run: name another folder. "
                f"Received another {', '.join(changed)}"
            )
        for leftover in self.fs.glob(f"{self.root}/*.partial"):
            self.fs.rm(leftover)
        if not old:
            text = json.dumps(parts, indent=2).encode()
            self.put(RECORD, lambda file: file.write(text))


def list_shards(source: Source, target: Storage, per_shard: int) -> Storage:
    """Return shards with `path` and `class`, made once, in the target.

    A run that goes on works on the same photographs, whatever has come since.
    """
    if isinstance(source, (str, Path)):
        storage = Storage(source)
        if storage.names():
            return storage
        source, paths = storage.address, _walk(storage)
    else:
        paths = [str(path) for path in source]
        digest = hashlib.sha256("\n".join(paths).encode(errors="replace"))
        source, paths = digest.hexdigest(), iter(paths)
    listing = Storage(f"{target.address}/listing")
    if not listing.has(RECORD) and target.has("listing"):  # half written
        listing.fs.rm(listing.root, recursive=True)
    n = len(listing.names())
    while not listing.has(RECORD) and (some := [*islice(paths, per_shard)]):
        classes = [path.split("/")[-2:][0] for path in some]
        table = pd.DataFrame({"path": some, "class": classes})
        listing.write(f"{n:07d}", table.map(printable))
        n += 1
    if not n:
        raise ValueError(f"there are no photographs. Received: {source}")
    listing.claim({"source": source, "per_shard": per_shard})
    return listing


def _walk(storage: Storage) -> Iterator[str]:
    """Find photographs; memory holds the names of one folder at a time."""
    for folder, folders, files in storage.fs.walk(storage.root):
        folders[:] = sorted(x for x in folders if not is_clutter(x))
        for name in sorted(files):
            if is_image_name(name) and not is_clutter(name):
                path = f"{folder}/{name}"
                address = storage.fs.unstrip_protocol(path)
                yield path if storage.is_local else address


def read_address(path: str) -> bytes:
    """Read a photograph from this disk, or from where fsspec finds it."""
    if "://" not in path:
        return read_bytes(path)
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except Exception as error:  # each service has exceptions of its own
        raise ValueError(f"not readable: {first_line(error)}") from None


def require(*packages: str) -> None:
    """Raise ImportError, with what to install, if a package is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise ImportError(
                f"{package} is missing: run pip install -e '.[ray]' in the "
                "checkout"
            )


class ShardedArray:
    """Rows of many `.npy` files as one array; those taken are in memory."""

    def __init__(self, paths: list[Path]):
        read = lru_cache(OPEN_FILES)(partial(np.load, mmap_mode="r"))
        self._read, self._paths = read, paths
        files = [np.load(path, mmap_mode="r") for path in paths]
        self._ends = np.cumsum([len(file) for file in files])
        self.shape = (int(self._ends[-1]), *files[0].shape[1:])
        self.dtype, self.ndim = files[0].dtype, len(self.shape)

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


def open_shards(folder: str | Path) -> tuple[Any, pd.DataFrame]:
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
