"""Find photographs: files, folders, patterns, zips, bytes."""

import glob
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from catdog_helpers.data.archive import (
    IMAGES,
    is_bomb,
    is_clutter,
    zip_members,
)
from catdog_helpers.data.images import MAX_BYTES, read_bytes

Source = str | os.PathLike | bytes | Image.Image | tuple[str, bytes]
MAX_MEMBERS = 1_000_000  # of one zip


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
    sources: Source | Iterable[Source],
) -> Iterator[Photograph]:
    """Find photographs one after the other, without opening any.

    Args:
        sources: One or many of: a file (taken whatever its name), a folder
            (searched with all that its folders hold), a pattern with `*`, a
            zip (its members are read where they are), the bytes of a file or
            of a zip, `(name, bytes)`, a PIL image, or the value of an upload
            button.

    Yields:
        Photographs; those of a folder sorted by path. What cannot be found
        or listed comes too: it fails with the reason when it is read.
    """
    if isinstance(sources, (str, os.PathLike, bytes, Image.Image)):
        sources = [sources]
    if isinstance(sources, dict):  # from Colab's files.upload()
        sources = sources.items()
    for number, source in enumerate(sources, 1):
        if isinstance(source, dict):  # from an upload button
            source = (source["name"], bytes(source["content"]))
        if isinstance(source, (bytes, Image.Image)):
            name = getattr(source, "filename", "") or f"photograph {number}"
            source = (printable(name), source)
        if isinstance(source, tuple):
            yield from _in_memory(*source)
        else:
            yield from _at_path(os.path.expanduser(source))


def _in_memory(name: str, source) -> Iterator[Photograph]:
    if isinstance(source, dict):  # from a button of ipywidgets 7
        source = bytes(source["content"])
    if isinstance(source, bytes) and source[:4] == b"PK\3\4":
        yield from _in_zip(io.BytesIO(source), name)
    else:
        yield Photograph(name, lambda: source)


def _at_path(path: str) -> Iterator[Photograph]:
    if os.path.isdir(path):
        yield from _in_folder(path)
    elif os.path.exists(path):
        is_zip = path.lower().endswith(".zip") and zipfile.is_zipfile(path)
        yield from _in_zip(path, printable(path)) if is_zip else [_file(path)]
    elif glob.has_magic(path) and (found := glob.glob(path, recursive=True)):
        for match in sorted(found):
            # `**` finds a folder and, besides, all that is in it.
            if "**" not in path or not os.path.isdir(match):
                yield from _at_path(match)
    else:
        reason = "no such file"
        if "://" in path:
            reason = "addresses are not fetched: download the photograph first"
        yield _failing(path, reason)


def _in_folder(folder: str) -> Iterator[Photograph]:
    """Walk a folder; memory holds the names of one folder at a time."""
    try:
        with os.scandir(folder) as entries:
            kinds = {e.name: e.is_dir(follow_symlinks=False) for e in entries}
    except OSError as error:
        yield _failing(folder, error.strerror)
        return
    for name in sorted(name for name in kinds if not is_clutter(name)):
        path = os.path.join(folder, name)
        if kinds[name]:
            yield from _in_folder(path)
        elif name.lower().endswith(IMAGES):
            yield _file(path)


def _in_zip(file, name: str) -> Iterator[Photograph]:
    try:
        archive = zipfile.ZipFile(file)  # closed when no photograph needs it
    except (zipfile.BadZipFile, OSError) as error:
        yield _failing(name, f"no readable zip: {error}")
        return
    if len(archive.infolist()) > MAX_MEMBERS:
        yield _failing(name, f"more than {MAX_MEMBERS:,} members")
        return
    for name_inside, member in zip_members(archive):
        parts = PurePosixPath(name_inside.replace("\\", "/")).parts
        wanted = parts and parts[-1].lower().endswith(IMAGES)
        if wanted and not any(is_clutter(p) for p in parts if p != ".."):
            yield _member(archive, member, f"{name}/{name_inside}")


def _member(archive, member, path: str) -> Photograph:
    def read() -> bytes:
        size = member.file_size
        if is_bomb(size, member.compress_size, MAX_BYTES, 2**24):
            raise ValueError(f"too large: {size:,} bytes unpacked")
        try:
            with archive.open(member) as file:
                return file.read(MAX_BYTES)
        except Exception as error:  # a damaged zip raises nearly anything
            raise ValueError(f"damaged in its zip: {error}") from None

    return Photograph(printable(path), read)


def _file(path: str) -> Photograph:
    def read() -> bytes:
        return read_bytes(Path(path))

    return Photograph(printable(path), read)


def _failing(path: str, reason: str) -> Photograph:
    def read():
        raise ValueError(reason)

    return Photograph(printable(path), read)


def printable(path: str) -> str:
    """Give bytes that are no UTF-8 as escapes, which any table can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
