"""Know what a file is by its first bytes."""

HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm")
HEIC_BRANDS += (b"hevs", b"mif1", b"msf1", b"mif2", b"miaf")
AVIF_BRANDS = (b"avif", b"avis")


def is_web_page(start: bytes) -> bool:
    """Return whether the first bytes of a file are those of a web page.

    Args:
        start: At least the first 100 bytes.

    Returns:
        Whether they are HTML or XML.
    """
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml"))


def format_of(start: bytes) -> str:
    """Return which image format the first bytes of a file belong to.

    Args:
        start: At least the first 64 bytes.

    Returns:
        Pillow's name of the format, such as "JPEG"; "" for anything else.
    """
    if start.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:2] == b"BM" and start[15:18] == bytes(3) and start[14] < 125:
        return "BMP"
    return _format_of_box(start) if start[4:8] == b"ftyp" else ""


def _format_of_box(start: bytes) -> str:
    """Return AVIF or HEIF by the brands: MIAF (ISO/IEC 23000-22), 7.2."""
    end = min(int.from_bytes(start[:4], "big"), 64)
    brands = [start[8:12], *(start[i : i + 4] for i in range(16, end, 4))]
    if start[8:12] in AVIF_BRANDS:
        return "AVIF"
    if start[8:12] not in HEIC_BRANDS:
        return ""
    coded_as_avif = start[8:10] == b"mi" and set(AVIF_BRANDS) & set(brands)
    return "AVIF" if coded_as_avif else "HEIF"
