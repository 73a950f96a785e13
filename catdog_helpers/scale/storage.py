"""A folder of shards, on this disk or at any address that fsspec knows."""

import functools
import io
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.images import MAX_BYTES, read_bytes

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
        return sorted(path.rpartition("/")[2][:-8] for path in found)

    def has(self, file: str) -> bool:
        """Return whether a file exists."""
        return self.fs.exists(f"{self.root}/{file}")

    def table(self, name: str):
        """Read a shard's rows."""
        with self.fs.open(f"{self.root}/{name}.parquet", "rb") as file:
            return pd.read_parquet(file)

    def array(self, name: str) -> np.ndarray:
        """Read a shard's pixels or features, from a local disk as a map."""
        path = f"{self.root}/{name}.npy"
        if self.is_local:
            return np.load(path, mmap_mode="r")
        return np.load(io.BytesIO(self.fs.cat_file(path)))

    def write(self, name: str, table: pd.DataFrame, array=None) -> None:
        """Write a shard: the array, then the table."""
        if array is not None:
            self.put(f"{name}.npy", lambda file: np.save(file, array))
        parquet = functools.partial(table.to_parquet, index=False)
        self.put(f"{name}.parquet", parquet)

    def put(self, name: str, write: Callable) -> None:
        """Write a file atomically: `write` receives it open."""
        self.fs.makedirs(self.root, exist_ok=True)
        # Two workers may write the same shard, if one was taken for dead.
        partial = f"{self.root}/{name}.{uuid.uuid4().hex[:8]}.partial"
        with self.fs.open(partial, "wb") as file:
            write(file)
        self.fs.mv(partial, f"{self.root}/{name}")

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Yield a local folder with copies of the files."""
        with tempfile.TemporaryDirectory() as folder:
            self.fs.get(f"{self.root}/", f"{folder}/", recursive=True)
            yield Path(folder)

    def record(self) -> dict:
        """Read what the shards are; empty if that is not recorded yet."""
        path = f"{self.root}/{RECORD}"
        return json.loads(self.fs.cat_file(path)) if self.has(RECORD) else {}

    def claim(self, parts: dict) -> None:
        """Record all that the shards depend on; refuse a folder of others."""
        old = self.record()
        changed = [k for k in parts if old.get(k) != parts[k]]
        if changed and (old or self.names()):
            raise ValueError(
                f"{self.root} has shards of another run: name another folder. "
                f"Received another {', '.join(changed)}"
            )
        for leftover in self.fs.glob(f"{self.root}/*.partial"):
            self.fs.rm(leftover)
        if changed:
            text = json.dumps(parts, indent=2).encode()
            self.put(RECORD, lambda file: file.write(text))


def read_address(path: str) -> bytes:
    """Read a photograph from this disk, or from where fsspec finds it."""
    if "://" not in path:
        return read_bytes(Path(path))
    import fsspec

    try:
        with fsspec.open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        raise
    except Exception as error:  # each service has exceptions of its own
        raise ValueError(f"not readable: {error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"too large: at most {MAX_BYTES:,} bytes are read")
    return data


def require(*packages: str) -> None:
    """Raise ImportError, with what to install, if a package is missing."""
    for package in packages:
        if find_spec(package) is None:
            raise ImportError(
                f"{package} is missing: run pip install -e '.[ray]' in the "
                "checkout"
            )
