"""Turn, convert and resize the pixels of a decoded picture."""

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from catdog_helpers.data.headers import Refused, check_tags

SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
STRIP = 2**22  # pixels that are converted at a time
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


def squeeze(image: Image.Image, side: int) -> Image.Image:
    """Decode a picture, and return it upright, in RGB and square.

    The result is that of `resize` with a reducing gap of 2, but only strips
    of the whole picture are ever converted to RGB.
    """
    is_deep = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    image.load()
    turn = TURNS.get(_orientation(image))
    image.info.pop("exif", None)  # Pillow fails to copy odd tags
    white = _white(image, is_deep)
    image = image if turn is None else image.transpose(turn)
    width, height = image.size
    x_by, y_by = (int(n / side / 2) or 1 for n in image.size)
    small = Image.new("RGB", (-(-width // x_by), -(-height // y_by)))
    n_rows = max(1, STRIP // width // y_by) * y_by
    for top in range(0, height, n_rows):
        strip = image.crop((0, top, width, min(top + n_rows, height)))
        strip = _to_rgb(strip, white).reduce((x_by, y_by))
        small.paste(strip, (0, top // y_by))
    box = (0, 0, width / x_by, height / y_by)
    return small.resize((side, side), Image.Resampling.BICUBIC, box)


def _orientation(image: Image.Image) -> int | None:
    """Return the EXIF orientation, from 1 to 8."""
    exif = image.info.get("exif")
    for name in ("Raw profile type exif", "Raw profile type APP1"):
        if not exif and (text := image.info.get(name)):  # in a PNG
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
    if exif:
        check_tags(exif.removeprefix(b"Exif\0\0"))
    value = image.getexif().get(ExifTags.Base.Orientation)
    if image.format == "HEIF" and not image.info["is_turned"]:
        value = image.info.get("original_orientation")
    return value


def _white(image: Image.Image, is_deep: bool) -> int:
    """Return the value that stands for white; refuse an unknown range."""
    if image.mode not in ("F", *SIXTEEN_BIT):
        if is_deep:  # 16 bits a colour, of which Pillow keeps the upper 8
            bands = zip(image.getbands(), image.getextrema(), strict=True)
            highest = max(high for name, (_, high) in bands if name != "A")
            _refuse_if_dark(highest * 257)
        return 255
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
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
    """Convert a strip to RGB; `white` is what `_white` returned."""
    if image.mode in SIXTEEN_BIT or white == 1:
        # Pillow's own conversion would clip everything above 255 to white.
        values = np.asarray(image).astype(np.float32) / (white / 255)
        image = Image.fromarray(values.round().clip(0, 255).astype("u1"))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(backdrop, image)
    return image.convert("RGB")
