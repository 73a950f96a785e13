"""Read a photograph: the one decoder for training and prediction."""

import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin, UnidentifiedImageError

from catdog_helpers.data.headers import (
    MAX_BYTES,
    Refused,
    check_header,
    check_size,
    is_web_page,
)
from catdog_helpers.data.pixels import squeeze
from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.memory import Budget, give_back_freed_memory

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
DECODER = 1  # raise it when the same file would give other pixels
# Bytes a pixel takes while it is decoded: modes of one byte; formats whose
# decoders hold the whole picture several times. All others take four.
MODE_BYTES = {"1": 1, "L": 1, "P": 1}
FORMAT_BYTES = {"WEBP": 16, "AVIF": 12, "HEIF": 12, "TIFF": 8}
IN_FLIGHT = Budget(320 * 2**20)  # bytes of all pictures that are being decoded
LARGE = 32 * 2**20
MOST = 640 * 2**20  # of one picture: WebP of 41 megapixels, HEIC of 55


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
    kind, one_scan = check_header(data)
    try:
        image = _open(data, kind)
    except Refused:
        raise
    except (UnidentifiedImageError, SyntaxError):
        raise ValueError(_why_no_image(data, kind)) from None
    except Image.DecompressionBombError as error:
        raise ValueError(f"too large: {error}") from None
    except Exception as error:  # a damaged header can raise nearly anything
        raise ValueError(f"damaged header: {first_line(error)}") from None
    if not one_scan:  # else `to_square` knows at which scale it is decoded
        check_size(image.size)
    # HEIC has properties that turn it when it is decoded, and EXIF repeats
    # them; a converter that writes EXIF only has not turned the pixels.
    boxes = data[: data.find(b"mdat")]
    is_turned = b"irot" in boxes or b"imir" in boxes
    image.info |= {"one_scan": one_scan, "is_turned": is_turned}
    return image


def _open(data: bytes, kind: str) -> Image.Image:
    if kind == "JPEG":  # its pixels are counted; `Image.open` refuses 200 MP
        return JpegImagePlugin.jpeg_factory(io.BytesIO(data))
    if kind == "HEIF":
        try:
            import pillow_heif
        except ImportError:
            raise Refused(
                "HEIC needs a package: pip install pillow-heif (or save the "
                "photograph as JPEG)"
            ) from None
        pillow_heif.register_heif_opener()
        return Image.open(io.BytesIO(data), formats=("HEIF",))
    return Image.open(io.BytesIO(data), formats=FORMATS)


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
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not a regular file, but a folder, a pipe or a device")
    if status.st_size > MAX_BYTES:
        raise Refused(
            f"too large: {status.st_size:,} bytes, at most {MAX_BYTES:,} are "
            "read"
        )
    return Path(path).read_bytes()


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
    is_held = image.format in ("JPEG", "MPO") and not image.info.get("one_scan")
    n_bytes = 2 * image.width * image.height * len(image.getbands())
    n_bytes *= is_held  # the coefficients of the whole picture
    try:
        # A JPEG much larger than needed is decoded at 1/2, 1/4 or 1/8 scale.
        image.draft(None, (image_size, image_size))
        if image.info.get("one_scan"):
            check_size(image.size)
        each = FORMAT_BYTES.get(image.format, MODE_BYTES.get(image.mode, 4))
        n_bytes += image.width * image.height * each
        if n_bytes > MOST:
            raise Refused(
                f"too large: {image.width} x {image.height} pixels as "
                f"{image.format} take too much memory; save it as JPEG"
            )
        with IN_FLIGHT.hold(n_bytes):
            try:
                return squeeze(image, image_size)
            finally:
                image.close()
                if n_bytes > LARGE:  # else each thread's heap keeps it
                    give_back_freed_memory()
    except Refused:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ...
        raise ValueError(f"damaged: {first_line(error)}") from None


def _why_no_image(data: bytes, kind: str) -> str:
    if not data:
        return "empty file (0 bytes)"
    if is_web_page(data[:100]):
        return "a web page, not an image"
    if kind in (*FORMATS, "HEIF"):
        return f"damaged header of a {kind} file"
    return f"not an image of a known format ({', '.join(FORMATS)}, HEIC)"
