"""Know a file by its first bytes, and check what it claims to be.

A few bytes can cost a decoder minutes or gigabytes: hundreds of scans over one
picture, thousands of EXIF segments, tags that all point to the same megabyte.
Counting them takes milliseconds. The limits lie far above what cameras and
programs write.
"""

import re
import struct
from collections.abc import Iterator
from math import prod

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
SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), 1))
SIZES |= dict.fromkeys((16, 17, 18), 8)
INNER = 34665, 34853, 40965  # tags that point to more tags: EXIF, GPS, ...
SIGNS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
HEIC_BRANDS = b"heic heix hevc hevx heim heis hevm hevs mif1 msf1 mif2 miaf"
AVIF_BRANDS = {b"avif", b"avis"}
# A marker, but no stuffed zero, no fill byte and no restart (ITU-T T.81, B.1)
MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # a frame's header
SCAN, END, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2


class Refused(ValueError):
    """A file that is not decoded, with the reason in one line."""


def is_web_page(start: bytes) -> bool:
    """Return whether the first 100 bytes of a file are those of a web page."""
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml"))


def format_of(start: bytes) -> str:
    """Return which image format the first bytes of a file belong to.

    Args:
        start: At least the first 64 bytes.

    Returns:
        Pillow's name of the format, such as "JPEG"; "" for anything else.
    """
    for sign, name in SIGNS.items():
        if start.startswith(sign):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and start[15:18] == bytes(3) and start[14] < 125:
        return "BMP"
    if start[4:8] != b"ftyp":
        return ""
    # The brands of a container: MIAF (ISO/IEC 23000-22), 7.2
    main, end = start[8:12], min(int.from_bytes(start[:4], "big"), 64)
    brands = {start[i : i + 4] for i in range(16, end, 4)}
    if main in AVIF_BRANDS or (main[:2] == b"mi" and brands & AVIF_BRANDS):
        return "AVIF"
    return "HEIF" if main in HEIC_BRANDS.split() else ""


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
    elif kind == "BMP" and len(data) > MAX_RUNS and data[30] in (1, 2):
        raise Refused(f"too many runs: a BMP of {len(data):,} bytes with RLE")
    return kind, False


def check_size(size: tuple[int, int], most: int = MAX_PIXELS) -> None:
    """Refuse a picture of more pixels than are decoded."""
    if prod(size) > most:
        raise Refused(
            f"too large: {size[0]} x {size[1]} pixels, "
            f"at most {most:,} are read"
        )


def check_tags(block: bytes, at: int | None = None) -> None:
    """Refuse TIFF or EXIF tags that all claim the same bytes.

    Pillow copies what each tag points to: 60,000 tags that point to one
    megabyte take 60 GB.

    Args:
        block: A TIFF file, or what EXIF holds, which is built like one.
        at: Where its tags are. Defaults to what its header says.

    Raises:
        Refused: If the tags claim far more than there is.
    """
    order = "little" if block[:2] == b"II" else "big"
    is_big, is_inner = b"+" in block[2:4], at is not None  # big: BigTIFF
    head, fields = (8, "HHQQ") if is_big else (2, "HHII")
    entry = struct.Struct(("<" if order == "little" else ">") + fields)
    if at is None:
        at = int.from_bytes(block[8:16] if is_big else block[4:8], order)
    count = int.from_bytes(block[at : at + head], order)
    if count > 2**16:
        raise Refused(f"too many tags: {count:,}")
    entries = block[at + head : at + head + count * entry.size]
    entries = entries[: len(entries) // entry.size * entry.size]
    claimed, inner = 0, {}
    for tag, kind, n_values, value in entry.iter_unpack(entries):
        size = n_values * SIZES.get(kind, 0)
        if tag in INNER:  # Pillow keeps the last of each
            inner[tag] = value
        if size <= (8 if is_big else 4) or value + size > len(block):
            continue
        if 254 <= tag <= 347 and size > n_values > MAX_VALUES:
            raise Refused(f"too many strips or values: over {MAX_VALUES:,}")
        claimed += size
    if claimed > len(block) + 2**24:
        raise Refused("damaged header: its tags claim the same bytes again")
    for value in () if is_inner else inner.values():
        check_tags(block, value)


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
    n_colours, one_scan = None, False
    for code, content in _segments(data):
        if code in FRAMES and len(content) >= 5:
            if content[0] != 8:
                raise Refused(f"a JPEG of {content[0]} bits: save it with 8")
            height, width = struct.unpack(">HH", content[1:5])
            size = max(size, (width, height), key=prod)
            if n_scans == 0 and code in (0xC0, 0xC1):
                n_colours = content[5:6]
        elif code == APP1 and content.startswith(b"Exif\0\0"):
            exif += content[6:]
            if len(exif) > MAX_EXIF:
                raise Refused(f"too much EXIF: more than {MAX_EXIF:,} bytes")
        elif code == APP2 and content.startswith(b"MPF\0"):
            check_tags(content[4:])
        elif code == SCAN:
            n_scans += 1
            one_scan = one_scan or (n_scans == 1 and content[:1] == n_colours)
        costs = n_scans > 1 and n_scans * prod(size) > MAX_SCANNED
        if costs or n_scans > MAX_SCANS:
            raise Refused(f"too many scans: {n_scans} of {prod(size):,} pixels")
    check_tags(exif)
    check_size(size, MAX_PHOTO if one_scan else MAX_PIXELS)
    return one_scan


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
    """Count the chunks of a PNG."""
    at = 8
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise Refused(f"too many chunks: more than {MAX_CHUNKS:,}")
