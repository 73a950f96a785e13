"""Find photographs: files, folders, patterns, zips, bytes."""

import glob
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from catdog_helpers.data.archive import is_bomb, zip_members
from catdog_helpers.data.images import MAX_BYTES, read_bytes
from catdog_helpers.data.walk import (
    is_clutter,
    is_image_file,
    is_image_name,
    walk,
)
from catdog_helpers.machine.failures import printable

Source = Any  # see `find_photographs`


class Photograph(NamedTuple):
    """One photograph, not opened yet.

    Attributes:
        path: Its name in tables: a path, `photos.zip/cat/1.jpg`.
        read: Function that gives its bytes or a PIL image, or raises OSError
            or ValueError with the reason.
    """

    path: str
    read: Callable[[], bytes | Image.Image]


def find_photographs(
    sources: Source, *, skip: str | Path | None = None
) -> Iterator[Photograph]:
    """Find photographs one after the other, without opening any.

    Args:
        sources: One or many of: a file (taken whatever its name), a folder
            (searched with all that its folders hold), a pattern with `*`, a
            zip (its members are read where they are), the bytes of a file or
            of a zip, a file opened with "rb", `(name, bytes)`, a PIL image,
            RGB pixels `(h, w, 3)` as `uint8`, or the value of an upload
            button.
        skip: A folder that is not searched: the one that photographs are
            copied to.

    Yields:
        Photographs; those of a folder sorted by path. What cannot be found
        or listed comes too: it fails with the reason when it is read.

    Raises:
        TypeError: If a source is none of these.
    """
    if isinstance(sources, dict):  # from Colab's files.upload()
        sources = sources.items()
    elif _is_one(sources):
        sources = [sources]
    elif not isinstance(sources, Iterable):
        raise _type_error(sources)
    skip = None if skip is None else Path(skip).resolve()
    for number, source in enumerate(sources, 1):
        if isinstance(source, (str, os.PathLike)):
            yield from _at_path(os.path.expanduser(source), skip)
            continue
        name = f"photograph {number}"
        if isinstance(source, dict):  # from an upload button
            source = (source["name"], source)
        if isinstance(source, tuple) and len(source) == 2:
            name, source = source
        if isinstance(source, dict):
            source = source["content"]
        yield from _in_memory(name, source)


def _is_one(source) -> bool:
    """Return whether this is one source, and not many of them."""
    if isinstance(source, np.ndarray):
        return source.ndim in (0, 2, 3)
    if isinstance(source, tuple):  # a name and bytes, not two paths
        return len(source) == 2 and isinstance(source[1], bytes)
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    return isinstance(source, kinds) or hasattr(source, "read")


def _type_error(source) -> TypeError:
    what = type(source).__name__
    if isinstance(source, np.ndarray):
        what = f"{source.dtype} array of shape {source.shape}"
    return TypeError(
        "photographs must be paths, bytes, files opened with 'rb', PIL images "
        f"or uint8 arrays of shape (h, w, 3). Received: {what}"
    )


def _in_memory(name: str, source) -> Iterator[Photograph]:
    """Yield what was given as an object, or what is in it if it is a zip."""
    named = getattr(source, "filename", "") or getattr(source, "name", "")
    name = named if named and isinstance(named, str) else name
    if hasattr(source, "read") and not isinstance(source, Image.Image):
        source = source.read(MAX_BYTES + 1)
    if isinstance(source, (bytearray, memoryview)):
        source = bytes(source)
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.shape[2:] != (3,):
            raise _type_error(source)
        source = Image.fromarray(np.ascontiguousarray(source))
    if not isinstance(source, (bytes, Image.Image)):
        raise _type_error(source)
    if isinstance(source, bytes) and source[:4] == b"PK\3\4":
        yield from _in_zip(io.BytesIO(source), printable(name))
    else:
        yield Photograph(printable(name), lambda: source)


def _at_path(path: str, skip: Path | None) -> Iterator[Photograph]:
    """Yield the file, or those of the folder, zip or pattern, at a path."""
    if os.path.isdir(path):
        yield from _in_folder(path, skip)
    elif os.path.exists(path):
        is_zip = path.lower().endswith(".zip") and zipfile.is_zipfile(path)
        yield from _in_zip(path, printable(path)) if is_zip else [_file(path)]
    elif glob.has_magic(path) and (found := glob.glob(path, recursive=True)):
        for match in sorted(found):
            # `**` finds a folder and, besides, all that is in it.
            if "**" not in path or not os.path.isdir(match):
                yield from _at_path(match, skip)
    elif "://" in path:
        reason = "addresses are not fetched: download the photograph first"
        yield _failing(path, reason)
    else:
        yield _failing(path, "no such file")


def _in_folder(folder: str, skip: Path | None) -> Iterator[Photograph]:
    """Yield the photographs below a folder, apart from those in `skip`."""

    def is_skipped(path: str) -> bool:
        return bool(skip) and Path(path).resolve().is_relative_to(skip)

    if is_skipped(folder):
        yield _failing(folder, "photographs are copied to this folder")
        return
    for path, reason in walk(folder):
        wanted = is_image_name(path) or is_image_file(path)
        if reason:
            yield _failing(path, reason)
        elif wanted and not is_skipped(path):
            yield _file(path)


def _in_zip(file, name: str) -> Iterator[Photograph]:
    """Yield the photographs in a zip, to be read from there."""
    try:
        archive = zipfile.ZipFile(file)  # closed when no photograph needs it
    except (zipfile.BadZipFile, OSError) as error:
        yield _failing(name, f"no readable zip: {error}")
        return
    for inside, member in zip_members(archive):
        parts = PurePosixPath(inside.replace("\\", "/")).parts
        wanted = parts and is_image_name(parts[-1])
        if wanted and not any(is_clutter(p) for p in parts if p != ".."):
            read = partial(_read_member, archive, member)
            yield Photograph(printable(f"{name}/{inside}"), read)


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Read a member of a zip, unless it unpacks to too much."""
    size = member.file_size
    if is_bomb(size, member.compress_size, MAX_BYTES, 2**24):
        raise ValueError(f"too large: {size:,} bytes unpacked")
    try:
        with archive.open(member) as file:
            return file.read(MAX_BYTES)
    except Exception as error:  # a damaged zip raises nearly anything
        raise ValueError(f"damaged in its zip: {error}") from None


def _file(path: str) -> Photograph:
    return Photograph(printable(path), partial(read_bytes, path))


def _failing(path: str, reason: str) -> Photograph:
    def read():
        raise ValueError(reason)

    return Photograph(printable(path), read)
