"""Write files atomically, read them back, and know what is in them."""

import errno
import glob
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

SPARE_BYTES = 200 * 2**20  # a disk is never filled to its last byte
TAG = "[0-9a-f]" * 12  # of a partial file
ABANDONED = 24 * 3600  # seconds without a change: its process was killed


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Provide a new path to write to, then rename it to `path` atomically.

    The path is unique, so that two processes never write to the same file. If
    the block fails, what it wrote is deleted and `path` stays as it was. A
    process that is killed leaves its partial file behind; it is deleted when
    something is written to the same folder a day later.

    Args:
        path: The file that will exist, or be replaced, at the end.

    Yields:
        A path in the same folder, with the same suffix.
    """
    path = Path(path)
    delete_partial_files(path.parent, ABANDONED)
    tag = uuid.uuid4().hex[:12]
    partial = path.with_name(f".{path.stem[:80]}.{tag}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:  # also after Ctrl-C
        partial.unlink(missing_ok=True)


def delete_partial_files(folder: Path, seconds: float, stem: str = "") -> None:
    """Delete what killed processes have left of the files they wrote.

    Args:
        folder: Where to look.
        seconds: Only files that were not changed for so long. Use 0 only
            where a lock keeps every other process from writing.
        stem: Only partial files of this file, by its name without suffix.
    """
    for path in folder.glob(f".{glob.escape(stem[:80])}*.{TAG}.partial*"):
        with suppress(OSError):  # another process may have deleted it
            if time.time() - path.stat().st_mtime >= seconds:
                path.unlink()


def write_json(path: Path, content: dict) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False))


def read_json(path: Path) -> dict:
    """Read a JSON file; empty if it is missing, damaged or no object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_arrays(path: Path, known: dict, lists: dict) -> None:
    """Write lists of arrays by name, and what else is known in JSON types."""
    arrays = {
        f"{name}{i:05}": array
        for name, values in lists.items()
        for i, array in enumerate(values)
    }
    with replacing(path) as partial:
        np.savez(partial, known=json.dumps(known), **arrays)


def read_arrays(path: Path, *names: str) -> tuple[dict, list[list]]:
    """Read what `write_arrays` wrote: `known`, and the lists of these names."""
    with np.load(path, allow_pickle=False) as file:
        return json.loads(str(file["known"])), [
            [file[key] for key in file.files if key.startswith(name)]
            for name in names
        ]


def require_space(folder: Path, n_bytes: int) -> None:
    """Raise OSError unless `n_bytes` and some spare fit where `folder` is."""
    free, needed = shutil.disk_usage(folder).free, n_bytes + SPARE_BYTES
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"The disk of {folder} is too full. Received: {free / 1e6:,.0f} MB "
            f"free of the {needed / 1e6:,.0f} MB needed. Free some or choose "
            "another data_dir, and run again to go on.",
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
