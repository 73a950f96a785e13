"""Check what a file claims to be before a decoder believes it.

A few bytes can cost a decoder minutes or gigabytes: hundreds of scans over one
picture, thousands of EXIF segments, tags that all point to the same megabyte.
Counting them takes milliseconds. The limits lie far above what cameras and
programs write.
"""

import re
from collections.abc import Iterator
from math import prod

import numpy as np

from catdog_helpers.data.formats import format_of

MAX_BYTES = 100 * 2**20  # of one file
MAX_PIXELS = 65_000_000  # really decoded: 9248 x 6936 of a phone fits
MAX_PHOTO = 256_000_000  # of a JPEG which is decoded at a smaller scale
MAX_SCANS = 100  # of a progressive JPEG; encoders write about 10
MAX_SCANNED = 20 * MAX_PIXELS  # pixels times scans: two seconds
MAX_SEGMENTS = 2_000  # of a JPEG
MAX_EXIF = 4 * 2**20  # bytes of all EXIF segments of a JPEG
MAX_BLOCKS = 50_000  # before a GIF's first frame
MAX_CHUNKS = 100_000  # of a PNG; encoders write 8 KB or more in each
MAX_RUNS = 8 * 2**20  # bytes of a run-length BMP, which Pillow decodes slowly
MAX_VALUES = 200_000  # of one tag: strips, colours
# Bytes of a value by the number of its type (TIFF 6.0, and BigTIFF's 16 to 18)
SIZES = np.zeros(2**16, np.int64)
SIZES[1:14] = 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4
SIZES[16:19] = 8


INNER = 34665, 34853, 40965  # tags that point to more tags: EXIF, GPS, ...


class Refused(ValueError):
    """A file that is not decoded, with the reason in one line."""


def check_header(data: bytes) -> tuple[str, bool]:
    """Refuse a file that would take a decoder far too long or too much.

    Args:
        data: All bytes of the file.

    Returns:
        What `format_of` returns for it, and whether it is a JPEG that is
        decoded row by row, with nothing kept. If it is progressive, or its
        colours come one after the other, all coefficients must be held.

    Raises:
        Refused: With the reason.
    """
    kind = format_of(data[:64])
    if kind == "JPEG":
        return kind, _check_jpeg(data)
    if kind == "GIF":
        _check_gif(data)
    elif kind == "PNG":
        _check_png(data)
    elif kind == "TIFF":
        check_tags(data)
    elif (
        kind == "BMP" and data[30:31] in (b"\1", b"\2") and len(data) > MAX_RUNS
    ):
        raise Refused(f"too many runs: a BMP of {len(data):,} bytes with RLE")
    return kind, False


# A marker, but no stuffed zero, no fill byte and no restart (ITU-T T.81, B.1)
MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # a frame's header
SCAN, END, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield code and content of each segment of a JPEG, up to its end."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        found = MARKER.search(data, at)
        if not found or found[1][0] == END:
            return
        start = found.end()
        at = start + int.from_bytes(data[start : start + 2], "big")
        yield found[1][0], data[start + 2 : at]
    raise Refused(f"too many segments: more than {MAX_SEGMENTS:,}")


def _check_jpeg(data: bytes) -> bool:
    """Check a JPEG; return whether its first scan holds all its colours."""
    n_scans, size, exif = 0, (0, 0), b""
    n_components, one_scan = None, False
    for code, content in _segments(data):
        if code in FRAMES and len(content) >= 5:
            if content[0] != 8:
                raise Refused(f"a JPEG of {content[0]} bits: save it with 8")
            sides = [int.from_bytes(content[i : i + 2], "big") for i in (3, 1)]
            size = max(size, tuple(sides), key=prod)
            if n_scans == 0 and code in (0xC0, 0xC1):
                n_components = content[5:6]
        elif code == APP1 and content.startswith(b"Exif\0\0"):
            exif += content[6:]
            if len(exif) > MAX_EXIF:
                raise Refused(f"too much EXIF: more than {MAX_EXIF:,} bytes")
        elif code == APP2 and content.startswith(b"MPF\0"):
            check_tags(content[4:])
        elif code == SCAN:
            n_scans += 1
            if n_scans == 1:
                one_scan = content[:1] == n_components
        costs = n_scans > 1 and n_scans * prod(size) > MAX_SCANNED
        if costs or n_scans > MAX_SCANS:
            raise Refused(f"too many scans: {n_scans} of {prod(size):,} pixels")
    check_tags(exif)
    check_size(size, MAX_PHOTO if one_scan else MAX_PIXELS)
    return one_scan


def check_size(size: tuple[int, int], most: int = MAX_PIXELS) -> None:
    """Refuse more pixels than are decoded.

    Args:
        size: Width and height.
        most: How many pixels are decoded.

    Raises:
        Refused: If there are more.
    """
    if prod(size) > most:
        raise Refused(
            f"too large: {size[0]} x {size[1]} pixels, "
            f"at most {most:,} are read"
        )


def _check_gif(data: bytes) -> None:
    """Count the blocks before the first frame, which Pillow joins slowly."""
    flags = data[10] if len(data) > 10 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False
    for _ in range(MAX_BLOCKS):
        if at >= len(data) or (not inside and data[at] in b",;"):
            return
        if inside:
            inside, at = data[at] > 0, at + 1 + data[at]
        elif data[at] == 0x21:  # an extension
            inside, at = True, at + 2
        else:
            at += 1
    raise Refused(f"too many blocks before its first frame: {MAX_BLOCKS:,}")


def _check_png(data: bytes) -> None:
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise Refused(f"too many chunks: more than {MAX_CHUNKS:,}")


def check_tags(block: bytes, start: int | None = None) -> None:
    """Refuse TIFF or EXIF tags that all claim the same bytes.

    Pillow copies what each tag points to: 60,000 tags that point to one
    megabyte take 60 GB.

    Args:
        block: A TIFF file, or what EXIF holds, which is built like one.
        start: Where its tags are. Defaults to what its header says.

    Raises:
        Refused: If the tags claim far more than there is.
    """
    order = "little" if block[:2] == b"II" else "big"
    is_big = b"+" in block[2:4]  # BigTIFF
    head, field = (8, "u8") if is_big else (2, "u4")
    inside = start is not None
    at = start if inside else int.from_bytes(block[4:8], order)
    if is_big and not inside:
        at = int.from_bytes(block[8:16], order)
    count = int.from_bytes(block[at : at + head], order)
    if count > 2**16:
        raise Refused(f"too many tags: {count:,}")
    names = ("tag", "u2"), ("type", "u2"), ("count", field), ("value", field)
    entry = np.dtype(list(names)).newbyteorder(order)
    count = min(count, max(0, len(block) - at - head) // entry.itemsize)
    if not count:
        return
    tags = np.frombuffer(block, entry, count, at + head)
    counts = tags["count"].astype(float)
    sizes = counts * SIZES[tags["type"]]
    is_apart = sizes > (8 if is_big else 4)
    is_apart &= tags["value"] + sizes <= len(block)
    own = is_apart & (tags["tag"] >= 254) & (tags["tag"] <= 347)
    if (counts[own & (sizes > counts)] > MAX_VALUES).any():
        raise Refused(f"too many strips or values: more than {MAX_VALUES:,}")
    if sizes[is_apart].sum() > len(block) + 2**24:
        raise Refused("damaged header: its tags claim the same bytes again")
    if not inside:
        for tag in INNER:  # Pillow keeps the last of each
            for value in tags["value"][tags["tag"] == tag][-1:]:
                check_tags(block, int(value))
