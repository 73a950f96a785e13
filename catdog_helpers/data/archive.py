"""Unpack archives of images: whole, inside their folder, or not at all."""

import errno
import hashlib
import shutil
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from catdog_helpers.data.headers import format_of, is_web_page
from catdog_helpers.data.members import (
    is_archive,
    is_bomb,
    open_tar,
    zip_members,
)
from catdog_helpers.data.walk import DOCUMENTS, IMAGES, is_clutter
from catdog_helpers.machine.files import (
    read_json,
    require_space,
    sha256_of,
    write_json,
)

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
MARKER = ".complete.json"  # in a finished folder: made from what, how much
MAX_FILES, MAX_BYTES = 1_000_000, 50 * 2**30
MAX_NAME = 255  # bytes of a file's name, on nearly every disk
# The archive's fault, although the disk refuses it
UNFIT = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def unpack(archives: list[Path], folder: Path) -> Path:
    """Unpack the images and documents of zip or tar files into `folder`.

    Regular files that are images, by name or by their first bytes, or that
    are named like a licence, a readme, an annotation or a list are written;
    links, hidden files and everything else are left out.

    Args:
        archives: Paths of the files, plain or compressed.
        folder: Where to; see `building`. If it is complete, nothing is done.

    Returns:
        The path of `folder`.

    Raises:
        ValueError: If an archive is damaged, unsafe or beyond the caps.
        OSError: If the disk is too full.
    """
    made_from = {archive.name: sha256_of(archive) for archive in archives}
    if not is_complete(folder, made_from):
        with building(folder, made_from) as temporary:
            for archive in archives:
                _extract(archive, temporary)
            if not _count(temporary)["files"]:
                raise ValueError(
                    f"It has no images. Received: {archives[-1]}. Pack the "
                    "photographs themselves, one folder a class."
                )
    return folder


@contextmanager
def building(folder: Path, made_from: dict[str, str]) -> Iterator[Path]:
    """Give a temporary folder to fill, then rename it to `folder`.

    So `folder` is whole or not there. A `folder` that was there before is set
    aside, with a warning: nothing is deleted but what was written here. A
    marker records the content, and `made_from`, the SHA-256 of its sources.
    """
    tag = uuid.uuid4().hex
    temporary = folder.with_name(f".{folder.name}.{tag}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        marker = {"made_from": made_from} | _count(temporary)
        write_json(temporary / MARKER, marker)
        if folder.exists():
            aside = folder.rename(f"{folder}-{tag[:8]}")
            warnings.warn(
                f"{folder} was not as it is made here: set aside as {aside}",
                stacklevel=4,
            )
        temporary.rename(folder)
    finally:  # also after Ctrl-C
        shutil.rmtree(temporary, ignore_errors=True)


def is_complete(folder: Path, made_from: dict | None = None) -> bool:
    """Return whether `folder` is complete (None: made from anything)."""
    marker = read_json(folder / MARKER)
    if "made_from" not in marker:
        return False
    source = marker.pop("made_from")
    return made_from in (None, source) and marker == _count(folder)


def find_problem(path: Path, size: int | None, sha256: str | None) -> str:
    """Return what is wrong with a downloaded archive, or ""."""
    found = path.stat().st_size
    with path.open("rb") as file:
        if is_web_page(file.read(1000)):
            return "a web page, no archive"
    if size and found != size:
        return f"{found:,} bytes instead of {size:,}"
    if sha256 and (found := sha256_of(path)) != sha256:
        return f"SHA-256 {found} instead of {sha256}"
    return "" if is_archive(path) else "neither a zip nor a tar"


def _count(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.name != MARKER)
    names = ((file, file.relative_to(folder).parts) for file in files)
    files = (file for file, parts in names if not any(map(is_clutter, parts)))
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _extract(archive: Path, folder: Path) -> None:
    packed, total, inner, written = archive.stat().st_size, 0, [], 0
    require_space(folder.parent, packed)
    bar = tqdm(desc=archive.name, total=packed, unit="B", unit_scale=True)
    try:
        for n_files, (name, size, source) in enumerate(_members(archive), 1):
            total += size
            if n_files > MAX_FILES or is_bomb(total, packed, MAX_BYTES):
                raise ValueError("it holds more than any archive of images")
            path = _safe_path(name)
            with source:
                written += _write(source, size, folder, path)
            inner += [name] if path.name.lower().endswith(ARCHIVES) else []
            bar.update(size)
        if inner and not written:
            raise ValueError(f"it holds archives, such as {inner[0]}")
    except Exception as error:  # zipfile and tarfile raise many kinds
        number = getattr(error, "errno", None)
        if number and number not in UNFIT:  # the disk, not the archive
            raise
        reason = f"{error.strerror}: {name}" if number else error
        raise ValueError(
            f"Cannot unpack this file. Received: {archive} ({reason}). Give a "
            "sound zip or tar, or unpack it yourself and give the folder."
        ) from error
    finally:
        bar.close()


def _write(source, size: int, folder: Path, path: PurePosixPath) -> bool:
    """Write a member if it is an image or a document; return whether."""
    if any(map(is_clutter, path.parts)):
        return False
    start = source.read(64)
    is_named = path.name.lower().endswith((*IMAGES, *DOCUMENTS, ".csv"))
    if not is_named and not format_of(start):
        return False
    require_space(folder.parent, size)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("xb") as file:
        file.write(start)
        shutil.copyfileobj(source, file, 2**16)
    return True


def _members(archive: Path) -> Iterator[tuple]:
    """Yield name, size and open file of each regular file of an archive."""
    tar = open_tar(archive)
    if not tar:
        with zipfile.ZipFile(archive) as file:
            for name, member in zip_members(file):
                yield name, member.file_size, file.open(member)
        return
    with tar:  # asked first: a tar may end in a zip
        while member := tar.next():
            tar.members.clear()  # else all are kept
            if member.isreg():
                yield member.name, member.size, tar.extractfile(member)
        # A tar ends in zeros; tarfile takes any other end as well.
        tar.fileobj.seek(tar.offset)
        if tar.fileobj.read(512) != bytes(512):
            raise ValueError("it is cut short or damaged")
        while tar.fileobj.read(2**16):  # up to gzip's checksum
            pass


def _safe_path(name: str) -> PurePosixPath:
    """Return the path of a member; refuse one that leads out of the folder."""
    name = name.replace("\\", "/")
    if PureWindowsPath(name).anchor or ".." in name.split("/"):
        raise ValueError(f"{name!r} would be written outside of its folder")
    # A name in an old encoding gets escapes, which any disk and CSV can hold.
    raw = name.encode("utf-8", "surrogateescape")
    path = PurePosixPath(raw.decode("utf-8", "backslashreplace"))
    return PurePosixPath(*map(_shorten, path.parts))


def _shorten(name: str) -> str:
    """Return a name that fits on a disk: its start, a hash and its suffix."""
    raw = name.encode()
    if len(raw) <= MAX_NAME:
        return name
    key = hashlib.sha256(raw).hexdigest()[:12]
    return f"{name[:40]}-{key}{PurePosixPath(name).suffix[-8:]}"
