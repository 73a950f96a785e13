"""Turn and convert decoded pixels, tile by tile."""

from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from catdog_helpers.data.headers import Refused, check_tags

SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
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


def spans(length: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the limits of tiles, which are multiples of `step`."""
    span = max(1, TILE // step) * step
    for start in range(0, length, span):
        yield start, min(start + span, length)


def orientation_of(image: Image.Image) -> int:
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


def crop(image: Image.Image, box: tuple, turn: int) -> Image.Image:
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


def white_of(image: Image.Image, is_deep: bool) -> int:
    """Return the value that stands for white; refuse an unknown range."""
    if image.mode not in ("F", *SIXTEEN_BIT):
        if is_deep:  # 16 bits a colour, of which Pillow keeps the upper 8
            bands = zip(image.getbands(), image.getextrema(), strict=True)
            highest = max(high for name, (_, high) in bands if name != "A")
            _refuse_if_dark(highest * 257)
        return 255
    ends = []
    for top, bottom in spans(image.height, 1):
        for left, right in spans(image.width, 1):
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


def to_rgb(image: Image.Image, white: int) -> Image.Image:
    """Convert a tile to RGB; `white` is what `white_of` returned."""
    if image.mode in SIXTEEN_BIT or white == 1:
        # Pillow's own conversion would clip everything above 255 to white.
        values = np.asarray(image).astype(np.float32) / (white / 255)
        image = Image.fromarray(values.round().clip(0, 255).astype("u1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(backdrop, image)
    return image if image.mode == "RGB" else image.convert("RGB")
