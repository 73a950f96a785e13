"""Unpack archives of images: whole, inside their folder, or not at all."""

import json
import shutil
import stat
import tarfile
import uuid
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from catdog_helpers.data.walk import DOCUMENTS, IMAGES, is_clutter
from catdog_helpers.machine.files import require_space, sha256_of

MARKER = ".complete.json"  # in a finished folder: made from what, how much
MAX_FILES, MAX_BYTES, MAX_RATIO = 1_000_000, 50 * 2**30, 100


def unpack(archives: list[Path], folder: Path) -> Path:
    """Unpack the images and documents of zip or tar files into `folder`.

    Regular files named like an image, a licence, a readme or an annotation
    are written; links, hidden files and all else is left out.

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
        (temporary / MARKER).write_text(json.dumps(marker), encoding="utf-8")
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
    """Tell if `folder` is as `building` left it (None: from whatever)."""
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        source = marker.pop("made_from")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
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
    sound = tarfile.is_tarfile(path) or zipfile.is_zipfile(path)
    return "" if sound else "neither a zip nor a tar"


def is_web_page(start: bytes) -> bool:
    """Tell by its first bytes if a file is HTML."""
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html"))


def is_wanted(path: PurePosixPath) -> bool:
    """Tell by its name if a file is an image or a document, not clutter."""
    wanted = path.name.lower().endswith(IMAGES + DOCUMENTS)
    return wanted and not any(is_clutter(part) for part in path.parts)


def _count(folder: Path) -> dict[str, int]:
    files = (p for p in folder.rglob("*") if is_wanted(p.relative_to(folder)))
    sizes = [file.stat().st_size for file in files if file.is_file()]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _extract(archive: Path, folder: Path) -> None:
    packed, total = archive.stat().st_size, 0
    require_space(folder.parent, packed)
    bar = tqdm(desc=archive.name, total=packed, unit="B", unit_scale=True)
    try:
        for n_files, (name, size, source) in enumerate(_members(archive), 1):
            total += size
            cap = min(MAX_BYTES, MAX_RATIO * packed + 2**26)
            if n_files > MAX_FILES or total > cap:
                raise ValueError("it holds more than any archive of images")
            with source:
                _write(source, size, folder, _safe_path(name))
            bar.update(size)
    except Exception as error:  # zipfile and tarfile raise many kinds
        if getattr(error, "errno", None):  # the disk, not the archive
            raise
        raise ValueError(
            f"Cannot unpack this file. Received: {archive} ({error}). Put a "
            "sound zip or tar in its place, or delete it to get it anew."
        ) from error
    finally:
        bar.close()


def _write(source, size: int, folder: Path, path: PurePosixPath) -> None:
    if is_wanted(path):
        require_space(folder.parent, size)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with (folder / path).open("xb") as file:
            shutil.copyfileobj(source, file)


def _members(archive: Path) -> Iterator[tuple]:
    """Yield name, size and open file of each regular file of an archive."""
    if tarfile.is_tarfile(archive):  # asked first: a tar may end in a zip
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isreg():
                    yield member.name, member.size, tar.extractfile(member)
            # A tar ends in zeros; tarfile takes any other end as well.
            tar.fileobj.seek(tar.offset)
            if tar.fileobj.read(512) != bytes(512):
                raise ValueError("it is cut short or damaged")
            while tar.fileobj.read(2**20):  # up to gzip's checksum
                pass
        return
    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind in (0, stat.S_IFREG) and not member.is_dir():
                yield member.filename, member.file_size, file.open(member)


def _safe_path(name: str) -> PurePosixPath:
    """Return the path of a member; refuse one that leads out of the folder."""
    name = name.replace("\\", "/")
    if PureWindowsPath(name).anchor or ".." in name.split("/"):
        raise ValueError(f"{name!r} would be written outside of its folder")
    # A name in an old encoding gets escapes, which any disk and CSV can hold.
    raw = name.encode("utf-8", "surrogateescape")
    return PurePosixPath(raw.decode("utf-8", "backslashreplace"))
