"""Open zips and tars, and know a bomb when one is read."""

import bz2
import gzip
import lzma
import stat
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES, MAX_RATIO = 50 * 2**30, 100
MAX_READ = 2**18  # bytes of a tar's header, which tarfile reads at once


def is_archive(path: Path) -> bool:
    """Return whether a file is a zip or a tar, without reading all of it."""
    if tar := open_tar(path):
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


class _Guarded:
    """A file whose unpacked bytes, and single reads, are limited."""

    def __init__(self, file, packed: int):
        self._file, self._packed = file, packed
        self.tell, self.close = file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        """Read bytes; raise ValueError if there are too many."""
        if not 0 <= size <= MAX_READ:
            raise ValueError("it has a header larger than any archive's")
        data = self._file.read(size)
        self._check(self._file.tell())
        return data

    def seek(self, at: int) -> int:
        """Go to a place; raise ValueError if it is too far."""
        self._check(at)
        return self._file.seek(at)

    def _check(self, at: int) -> None:
        if is_bomb(at, self._packed, MAX_BYTES):
            raise ValueError("it holds more than any archive of images")


def open_tar(path: Path) -> tarfile.TarFile | None:
    """Open a tar, plain or compressed; return None if it is something else."""
    with path.open("rb") as file:
        start = file.read(6)
    openers = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
    found = [f for magic, f in openers.items() if start.startswith(magic)]
    file = (found or [open])[0](path, "rb")
    try:
        guarded = _Guarded(file, path.stat().st_size)
        return tarfile.open(fileobj=guarded, mode="r:")
    except (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error):
        file.close()
        return None
    except BaseException:
        file.close()
        raise
