"""Read a photograph: the one decoder for training and prediction."""

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from catdog_helpers.machine.failures import first_line

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
MAX_BYTES = 100 * 2**20
MAX_PIXELS = 64_000_000  # a 64-megapixel camera; decoded it takes 192 MB
DECODER = 1  # raise it when the same file would give other pixels
SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


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
        ValueError: If the source is no readable image; the message is the
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
        ValueError: If the format is not one of `FORMATS`, or the file has
            more than `MAX_BYTES` bytes or `MAX_PIXELS` pixels.
        FileNotFoundError: If there is no such file.
    """
    if isinstance(source, Image.Image):
        return source.copy()  # decoding changes it
    data = source if isinstance(source, bytes) else read_bytes(source)
    # What Pillow warns of here either raises below or does no harm.
    warnings.filterwarnings("ignore", module="PIL", append=True)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError(_why_no_image(data)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too large: {error}") from None
    except Exception as error:  # a damaged header can raise nearly anything
        raise ValueError(f"damaged header: {first_line(error)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"too large: {image.width} x {image.height} pixels, "
            f"at most {MAX_PIXELS:,} are read"
        )
    return image


def read_bytes(path: str | Path) -> bytes:
    """Read a file unless it is too large for a photograph.

    Args:
        path: The file.

    Returns:
        Its bytes, at most `MAX_BYTES`.

    Raises:
        ValueError: If it is larger.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(
                f"too large: {size:,} bytes, at most {MAX_BYTES:,} are read"
            )
        return file.read()


def to_square(image: Image.Image, image_size: int) -> Image.Image:
    """Decode an opened photograph and resize it.

    Args:
        image: What `open_image` returned.
        image_size: Side of the result in pixels.

    Returns:
        An RGB image of `image_size` x `image_size` pixels.

    Raises:
        ValueError: If the pixels do not decode, with the reason.
    """
    side = (image_size, image_size)
    try:
        # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 scale.
        image.draft(None, side)
        rotation = image.getexif().get(ExifTags.Base.Orientation, 1)
        image.info.pop("exif", None)  # Pillow fails to copy odd tags
        if rotation != 1:
            image = ImageOps.exif_transpose(image)
        image = _to_rgb(image)
        return image.resize(side, Image.Resampling.BICUBIC, reducing_gap=2.0)
    except Exception as error:  # decoders raise OSError, SyntaxError, …
        raise ValueError(f"damaged: {first_line(error)}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT:
        # Pillow's own conversion would clip everything above 255 to white.
        values = np.asarray(image).astype(np.float32)
        image = Image.fromarray(
            (values / 257).round().clip(0, 255).astype("u1")
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _why_no_image(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if not data:
        return "empty file (0 bytes)"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not an image"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        return "HEIC is not read: save the photograph as JPEG"
    return f"not an image of a known format ({', '.join(FORMATS)})"
