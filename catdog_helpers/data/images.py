"""Read a photograph: the one decoder for training and prediction."""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import (
    ExifTags,
    Image,
    JpegImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from catdog_helpers.data.headers import (
    MAX_BYTES,
    Refused,
    check_header,
    check_size,
    check_tags,
    has_one_scan,
    is_web_page,
)
from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.memory import Budget, give_back_freed_memory

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
DECODER = 1  # raise it when the same file would give other pixels
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Bytes a pixel takes while it is decoded: modes of one or two bytes; formats
# whose decoders hold the whole picture several times. All others take four.
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "LA": 4, "PA": 4}
FORMAT_BYTES = {"WEBP": 16, "AVIF": 12, "HEIF": 12, "TIFF": 8}
IN_FLIGHT = Budget(320 * 2**20)  # bytes of all pictures that are being decoded
LARGE = 32 * 2**20
TILE = 2048  # side of what is converted at a time, in pixels
# What undoes each EXIF orientation
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_image(source: str | Path | bytes | Image.Image, image_size: int):
    """Decode one photograph to the pixels that every model here sees.

    EXIF rotation is applied, transparency is laid on white, 16-bit grey is
    scaled to 8 bits, the first frame of an animation is taken, and the whole
    picture is resized to a square (aspect ratio is not kept, so that no part
    of the animal is cut off).

    Args:
        source: Path of a file, the bytes of one, or an open PIL image.
        image_size: Side of the result in pixels.

    Returns:
        RGB array of shape `(image_size, image_size, 3)`, `uint8` in [0, 255].

    Raises:
        ValueError: If the source is not a readable image; the message is the
            reason, in one line.
        FileNotFoundError: If there is no such file.
    """
    return np.asarray(to_square(open_image(source), image_size))


def open_image(source: str | Path | bytes | Image.Image) -> Image.Image:
    """Read the header of a photograph and check it before any decoding.

    Args:
        source: Path of a file, the bytes of one, or an open PIL image.

    Returns:
        A PIL image, its pixels not decoded yet.

    Raises:
        ValueError: If the format is not one of `FORMATS` or HEIC, or the
            file is larger or more expensive to decode than any photograph.
        FileNotFoundError: If there is no such file.
    """
    if isinstance(source, Image.Image):
        return source.copy()  # decoding changes it
    data = source if isinstance(source, bytes) else read_bytes(source)
    # What Pillow warns of here either raises below or is harmless.
    warnings.filterwarnings("ignore", module="PIL", append=True)
    kind = check_header(data)
    formats = _heif_formats() if kind == "HEIF" else FORMATS
    try:
        image = _open(data, formats)
    except UnidentifiedImageError:
        raise ValueError(_why_no_image(data, kind)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too large: {error}") from None
    except Exception as error:  # a damaged header can raise nearly anything
        raise ValueError(f"damaged header: {first_line(error)}") from None
    one_scan = kind == "JPEG" and has_one_scan(data)
    if not one_scan:  # else `to_square` knows at which scale it is decoded
        check_size(image.size)
    image.info["one_scan"] = one_scan
    # HEIC has properties that turn it when it is decoded, and EXIF repeats
    # them; a converter that writes EXIF only has not turned the pixels.
    boxes = data[: data.find(b"mdat")]
    image.info["is_turned"] = b"irot" in boxes or b"imir" in boxes
    return image


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError:
        if not data.startswith(b"\xff\xd8"):
            raise
        # Of a JPEG, `check_header` has counted the pixels.
        return JpegImagePlugin.jpeg_factory(io.BytesIO(data))


def _heif_formats() -> tuple[str, ...]:
    try:
        import pillow_heif
    except ImportError:
        raise Refused(
            "HEIC needs a package: pip install pillow-heif (or save the "
            "photograph as JPEG)"
        ) from None
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def read_bytes(path: str | Path) -> bytes:
    """Read a file unless it is too large for a photograph.

    Args:
        path: The file.

    Returns:
        Its bytes, at most `MAX_BYTES`.

    Raises:
        ValueError: If it is larger, or is not a regular file: reading from a
            pipe or a device may never end.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Refused("not a regular file, but a folder, a pipe or a device")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= MAX_BYTES:
            data = file.read(MAX_BYTES + 1)  # some grow while they are read
            size = max(size, len(data))
        if size > MAX_BYTES:
            raise Refused(
                f"too large: {size:,} bytes, at most {MAX_BYTES:,} are read"
            )
        return data


def to_square(image: Image.Image, image_size: int) -> Image.Image:
    """Decode an opened photograph, resize it, and close it.

    Args:
        image: What `open_image` returned.
        image_size: Side of the result in pixels.

    Returns:
        An RGB image of `image_size` x `image_size` pixels.

    Raises:
        ValueError: If the pixels do not decode, with the reason.
    """
    try:
        # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 scale.
        n_pixels = image.width * image.height
        image.draft(None, (image_size, image_size))
        if image.info.get("one_scan"):
            check_size(image.size)
        n_bytes = _bytes_to_decode(image, n_pixels)
        with IN_FLIGHT.hold(n_bytes):
            try:
                return _decode(image, image_size)
            finally:
                image.close()
                if n_bytes > LARGE:  # else each thread's heap keeps it
                    give_back_freed_memory()
    except Refused:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ...
        raise ValueError(f"damaged: {first_line(error)}") from None


def _bytes_to_decode(image: Image.Image, n_pixels: int) -> int:
    each = FORMAT_BYTES.get(image.format, MODE_BYTES.get(image.mode, 4))
    if image.format in ("JPEG", "MPO") and not image.info.get("one_scan"):
        coefficients = 2 * n_pixels * len(image.getbands())
    else:
        coefficients = 0
    return image.width * image.height * each + coefficients


def _decode(image: Image.Image, image_size: int) -> Image.Image:
    """Do as `resize` with a reducing gap of 2, but convert only tiles."""
    is_deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    image.load()
    turn = _orientation(image)
    image.info.pop("exif", None)  # Pillow fails to copy odd tags
    white = _white(image, is_deep)
    width, height = image.size if turn < 5 else image.size[::-1]
    x_by, y_by = (int(n / image_size / 2) or 1 for n in (width, height))
    small = Image.new("RGB", (-(-width // x_by), -(-height // y_by)))
    for top, bottom in _spans(height, y_by):
        for left, right in _spans(width, x_by):
            tile = _crop(image, (left, top, right, bottom), turn)
            tile = _to_rgb(tile, white).reduce((x_by, y_by))
            small.paste(tile, (left // x_by, top // y_by))
    side, box = (image_size, image_size), (0, 0, width / x_by, height / y_by)
    return small.resize(side, Image.Resampling.BICUBIC, box)


def _spans(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the limits of tiles, which are multiples of `step`."""
    span = max(1, TILE // step) * step
    for start in range(0, length, span):
        yield start, min(start + span, length)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, from 1 to 8."""
    exif = image.info.get("exif")
    for name in ("Raw profile type exif", "Raw profile type APP1"):
        if not exif and (text := image.info.get(name)):  # in a PNG
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
    if exif:
        check_tags(exif[6:] if exif.startswith(b"Exif\0\0") else exif)
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.format == "HEIF" and not image.info["is_turned"]:
        value = image.info.get("original_orientation")
    return value if value in TURNS else 1


def _crop(image: Image.Image, box: tuple, turn: int) -> Image.Image:
    """Cut out a box of the picture as it is when turned upright."""
    left, top, right, bottom = box
    if turn > 4:
        left, top, right, bottom = top, left, bottom, right
    if turn in (2, 3, 7, 8):
        left, right = image.width - right, image.width - left
    if turn in (3, 4, 6, 7):
        top, bottom = image.height - bottom, image.height - top
    tile = image.crop((left, top, right, bottom))
    return tile.transpose(TURNS[turn]) if turn in TURNS else tile


def _white(image: Image.Image, is_deep: bool) -> int:
    """Return the value that stands for white; refuse an unknown range."""
    if image.mode not in ("F", *SIXTEEN_BIT):
        if is_deep:  # 16 bits a colour, of which Pillow keeps the upper 8
            bands = zip(image.getbands(), image.getextrema(), strict=True)
            highest = max(high for name, (_, high) in bands if name != "A")
            _refuse_if_dark(highest * 257)
        return 255
    ends = []
    for top, bottom in _spans(image.height, 1):
        for left, right in _spans(image.width, 1):
            values = np.asarray(image.crop((left, top, right, bottom)))
            ends += [float(values.min()), float(values.max())]
    low, high = np.min(ends), np.max(ends)
    most = 255 if image.mode == "F" else 65535
    if not (low >= 0 and high <= most):  # NaN is neither
        raise Refused(
            f"the range of its values is not known, {low:g} to {high:g}: save "
            "it with 8 bits"
        )
    if image.mode == "F":
        return 1 if high <= 1 else 255
    if getattr(image, "tag_v2", {}).get(TiffImagePlugin.BITSPERSAMPLE) == (12,):
        return 4095
    _refuse_if_dark(high)
    return 65535


def _refuse_if_dark(highest: float) -> None:
    """Refuse what a camera of 12 bits or fewer writes into 16, unscaled."""
    if 0 < highest < 4096:
        raise Refused(
            f"16 bits, of which it uses {int(highest).bit_length()}: black "
            "when read as it says; save it with 8 bits"
        )


def _to_rgb(image: Image.Image, white: int) -> Image.Image:
    if image.mode in SIXTEEN_BIT or white == 1:
        # Pillow's own conversion would clip everything above 255 to white.
        values = np.asarray(image).astype(np.float32) / (white / 255)
        image = Image.fromarray(values.round().clip(0, 255).astype("u1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(backdrop, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _why_no_image(data: bytes, kind: str) -> str:
    if not data:
        return "empty file (0 bytes)"
    if is_web_page(data[:100]):
        return "a web page, not an image"
    if kind in (*FORMATS, "HEIF"):
        return f"damaged header of a {kind} file"
    return f"not an image of a known format ({', '.join(FORMATS)}, HEIC)"
