"""Read zips and tars, and extract the images and documents in them."""

import errno
import hashlib
import lzma
import shutil
import stat
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from catdog_helpers.data.headers import format_of
from catdog_helpers.data.walk import DOCUMENTS, IMAGES, is_clutter
from catdog_helpers.machine.files import require_space

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
MAX_FILES, MAX_BYTES, MAX_RATIO = 1_000_000, 50 * 2**30, 100
MAX_HEADER = 2**18  # bytes of a tar's header, which tarfile reads at once
MAX_NAME = 255  # bytes of a file's name, on nearly every disk
TOO_MUCH = "it holds more than any archive of images"
# The archive's fault, although the disk refuses it
UNFIT = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or a tar, without reading all of it."""
    if tar := _open_tar(path):
        tar.close()
    return bool(tar) or zipfile.is_zipfile(path)


def is_bomb(size: int, packed: int, most: int, spare: int = 2**26) -> bool:
    """Return whether so many bytes cannot be images packed into so few.

    Args:
        size: Number of bytes unpacked, or claimed.
        packed: Number of bytes that they are packed into.
        most: Number of bytes above which it is always one.
        spare: Number of bytes that are never too many by their ratio alone.
    """
    return size > most or size > MAX_RATIO * packed + spare


def zip_members(file: zipfile.ZipFile) -> Iterator[tuple]:
    """Yield name and member of each regular file of a zip.

    Zips made by macOS hold UTF-8 without saying so; in others without that
    sign, names are in the code page of the machine that made them.
    """
    foreign = []
    for member in file.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or member.is_dir():
            continue
        name = member.filename
        if not member.flag_bits & 0x800 and not name.isascii():
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                foreign.append(name)
        yield name, member
    if foreign:
        warnings.warn(
            f"{len(foreign):,} names are in an old code page, read as cp437, "
            f"such as {foreign[0]!r}: if that is wrong, pack them again",
            stacklevel=2,
        )


def extract(archive: Path, folder: Path) -> None:
    """Extract the images and documents of a zip or tar into a folder.

    Regular files that are images, by name or by their first bytes, or that
    are named like a licence, a readme, an annotation or a list are written;
    links, hidden files and everything else are left out.

    Args:
        archive: The file, plain or compressed.
        folder: An existing folder.

    Raises:
        ValueError: If the archive is damaged, unsafe or beyond the caps, or
            holds none of these.
        OSError: If the disk is too full.
    """
    packed, total, written, inner = archive.stat().st_size, 0, 0, ""
    require_space(folder.parent, packed)
    bar = tqdm(desc=archive.name, total=packed, unit="B", unit_scale=True)
    try:
        for n_files, (name, size, source) in enumerate(_members(archive), 1):
            total += size
            if n_files > MAX_FILES or is_bomb(total, packed, MAX_BYTES):
                raise ValueError(TOO_MUCH)
            with source:
                written += _write(source, folder, _safe_path(name))
            if name.lower().endswith(ARCHIVES):
                inner = f", but archives, such as {name}"
            bar.update(size)
        if not written:
            raise ValueError(f"it holds no images{inner}")
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


class _TarInfo(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, *arguments) -> tarfile.TarInfo:
        """Refuse a header that would be read at once, whatever its size."""
        member = super().frombuf(*arguments)
        if not member.isreg() and member.size > MAX_HEADER:
            raise tarfile.ReadError("it has a header larger than any archive's")
        return member


def _open_tar(path: Path) -> tarfile.TarFile | None:
    """Open a tar, plain or compressed; return None if it is something else."""
    try:
        return tarfile.open(path, tarinfo=_TarInfo)
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error):
        return None


def _members(archive: Path) -> Iterator[tuple]:
    """Yield name, size and open file of each regular file of an archive."""
    tar = _open_tar(archive)
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
        packed = archive.stat().st_size
        while tar.fileobj.read(2**16):  # up to gzip's checksum
            if is_bomb(tar.fileobj.tell(), packed, MAX_BYTES):
                raise ValueError(TOO_MUCH)


def _write(source, folder: Path, path: PurePosixPath) -> bool:
    """Write a member if it is an image or a document; return whether."""
    if any(map(is_clutter, path.parts)):
        return False
    start = source.read(64)
    is_named = path.name.lower().endswith((*IMAGES, *DOCUMENTS, ".csv"))
    if not is_named and not format_of(start):
        return False
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with (folder / path).open("xb") as file:
        file.write(start)
        shutil.copyfileobj(source, file, 2**16)
    return True


def _safe_path(name: str) -> PurePosixPath:
    """Return the path of a member; refuse one that leads out of the folder."""
    name = name.replace("\\", "/")
    if PureWindowsPath(name).anchor or ".." in name.split("/"):
        raise ValueError(f"{name!r} would be written outside of its folder")
    # A name in an old encoding gets escapes, which any disk and CSV can hold.
    raw = name.encode("utf-8", "surrogateescape")
    parts = PurePosixPath(raw.decode("utf-8", "backslashreplace")).parts
    return PurePosixPath(*map(_shorten, parts))


def _shorten(name: str) -> str:
    """Return a name that fits on a disk: its start, a hash and its suffix."""
    raw = name.encode()
    if len(raw) <= MAX_NAME:
        return name
    key = hashlib.sha256(raw).hexdigest()[:12]
    return f"{name[:40]}-{key}{PurePosixPath(name).suffix[-8:]}"
