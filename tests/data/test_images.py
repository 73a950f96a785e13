"""The one decoder: every kind of file, and every kind of broken file."""

import io
import random
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image, features

from catdog_helpers.data import images
from catdog_helpers.data.images import open_image, read_image

ROOT = Path(__file__).parents[2]
SIDE = 40
PICTURE = Image.fromarray(picture(0, SIDE))
TURNS = {  # what the camera did for each EXIF orientation, undone
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def encode(image=PICTURE, file_format="PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def difference(a, b) -> float:
    return float(np.abs(np.subtract(a, b, dtype=float)).mean())


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied(orientation, file_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = TURNS[orientation](PICTURE)
    data = encode(stored, file_format, exif=exif.tobytes(), quality=95)
    assert difference(read_image(data, SIDE), PICTURE) < 6


@pytest.mark.parametrize("orientation", [1, 6])
def test_odd_exif_tags_do_not_spoil_a_sound_photograph(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Canon"
    exif[0x011A] = exif[0x011B] = 72.0
    exif[0x8769] = {0x9003: "2020:01:01 00:00:00", 0x829A: (1, 60)}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    whole, rng = exif.tobytes(), random.Random(0)
    for _ in range(400):
        blob = bytearray(whole)
        for _ in range(5):
            blob[rng.randrange(6, len(blob))] = rng.randrange(256)
        data = encode(PICTURE, "JPEG", exif=bytes(blob))
        assert read_image(data, 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        pytest.param(
            "AVIF",
            {"quality": 95},
            marks=pytest.mark.skipif(
                not features.check("avif"), reason="Pillow without AVIF"
            ),
        ),
    ],
)
def test_every_format_gives_the_same_picture(file_format, options, tmp_path):
    """Whatever the file is called: here each is named .jpg."""
    path = tmp_path / "any.jpg"
    path.write_bytes(encode(PICTURE, file_format, **options))
    assert open_image(path).format == file_format
    array = read_image(path, SIDE)
    assert array.shape == (SIDE, SIDE, 3)
    assert array.dtype == np.uint8
    assert difference(array, PICTURE) < 8  # GIF has a palette


def test_path_bytes_and_open_image_give_the_same(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encode(PICTURE, "JPEG"))
    expected = read_image(path, 24)
    for source in (str(path), path.read_bytes(), Image.open(path)):
        assert np.array_equal(read_image(source, 24), expected)


def test_palette_is_looked_up():
    few = PICTURE.quantize(16)
    assert few.mode == "P"
    assert np.array_equal(read_image(encode(few), SIDE), few.convert("RGB"))


def test_grey_fills_three_equal_channels():
    grey = PICTURE.convert("L")
    array = read_image(encode(grey, "JPEG", quality=95), SIDE)
    assert difference(array, np.asarray(grey)[..., None]) < 4
    assert np.array_equal(array[..., 0], array[..., 2])


def test_black_and_white_is_read():
    array = read_image(encode(PICTURE.convert("1")), SIDE)
    assert set(np.unique(array)) == {0, 255}


def test_cmyk_keeps_its_colours():
    data = encode(PICTURE.convert("CMYK"), "JPEG", quality=95)
    assert open_image(data).mode == "CMYK"
    assert difference(read_image(data, SIDE), PICTURE) < 6


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, SIDE // 2, SIDE))
    array = read_image(encode(image), SIDE)
    assert array[0, 0].tolist() == [0, 0, 255]
    assert array[0, -1].tolist() == [255, 255, 255]


def test_half_transparent_grey_is_mixed_with_white():
    array = read_image(encode(Image.new("LA", (9, 9), (100, 128))), 4)
    assert abs(int(array[0, 0, 0]) - (100 * 128 + 255 * 127) // 255) <= 1


def test_transparent_palette_is_laid_on_white():
    image = Image.new("P", (9, 9))
    image.putpalette([10, 20, 30])
    array = read_image(encode(image, transparency=b"\x00"), 4)
    assert (array == 255).all()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(file_format):
    ramp = np.linspace(0, 65535, 256).astype("uint16")
    image = Image.fromarray(np.tile(ramp, (256, 1)))
    array = read_image(encode(image, file_format), 256)
    assert np.array_equal(array[0, :, 0], np.arange(256))


def test_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "lime", "blue")]
    options = {"save_all": True, "append_images": frames[1:]}
    for file_format in ("GIF", "PNG"):
        data = encode(frames[0], file_format, **options)
        assert read_image(data, 4)[0, 0].tolist() == [255, 0, 0], file_format


def test_extra_bytes_and_a_missing_jfif_marker_do_no_harm():
    data = encode(PICTURE, "JPEG")
    expected = read_image(data, SIDE)
    assert data[2:4] == b"\xff\xe0"  # the JFIF segment, 18 bytes
    bare = data[:2] + data[20:]
    assert b"JFIF" not in bare
    for odd in (bare, data + b"\0" * 100, data[:-2] + b"\0\0" + data[-2:]):
        assert np.array_equal(read_image(odd, SIDE), expected)


def test_the_whole_picture_is_squeezed_into_the_square():
    wide = Image.new("RGB", (90, 30), "red")
    wide.paste((0, 0, 255), (60, 0, 90, 30))
    array = read_image(encode(wide), 30)
    assert array[15, 2].tolist() == [255, 0, 0]
    assert array[15, 17].tolist() == [255, 0, 0]
    assert array[15, 27].tolist() == [0, 0, 255]


def test_large_photographs_look_like_small_ones():
    """A JPEG decoded at reduced scale differs little from a full decode."""
    data = encode(Image.fromarray(picture(1, 1200)), "JPEG", quality=95)
    assert difference(read_image(data, SIDE), picture(1, SIDE)) < 6


PAGES = [b"<!DOCTYPE html><p>", b"\n <html><p>", b"<?xml version='1.0'?>"]
WHOLE = {
    "JPEG": encode(Image.fromarray(picture(2, 100)), "JPEG"),
    "PNG": encode(Image.fromarray(picture(2, 100))),
}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (WHOLE["JPEG"][:-900], "damaged: .*truncated"),
        (WHOLE["PNG"][:-2000], "damaged: .*truncated"),
        (WHOLE["JPEG"][:100], "damaged header|not an image"),
        (WHOLE["PNG"][:20], "damaged header|not an image"),
        *((page, "a web page, not an image") for page in PAGES),
        (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC is not read: save .* JPEG"),
        (b"a letter to my cat", "not an image of a known format"),
        (bytes(1000), "not an image of a known format"),
        (encode(PICTURE, "PPM"), "not an image of a known format"),
    ],
)
def test_what_is_no_sound_image_is_rejected_with_the_reason(data, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_image(data, SIDE)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg", SIDE)


def test_too_many_bytes_are_not_even_read(tmp_path, monkeypatch):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(ValueError, match=r"too large: 104,857,601 bytes"):
        read_image(path, SIDE)


def huge_png(width: int, height: int) -> bytes:
    """Return a few bytes that claim to be so many pixels."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    parts = chunk(b"IHDR", size + b"\x08\2\0\0\0"), chunk(b"IDAT", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_001, 10_000, 20_000, 100_000])
def test_too_many_pixels_are_refused_before_decoding(side, monkeypatch):
    """Beyond our cap, Pillow's warning and Pillow's error alike."""
    monkeypatch.setattr(images, "to_square", None)
    with pytest.raises(ValueError, match="too large: ") as caught:
        open_image(huge_png(side, side))
    assert "\n" not in str(caught.value)


def test_damaged_files_give_a_picture_or_one_line():
    rng = random.Random(0)
    reasons = set()
    for data in (*WHOLE.values(), encode(PICTURE, "GIF")):
        for _ in range(250):
            damaged = bytearray(data)
            for _ in range(rng.choice([1, 2, 20])):
                place = rng.randrange(min(len(data), rng.choice([60, 10**6])))
                damaged[place] = rng.randrange(256)
            cut = rng.choice([len(data), rng.randrange(len(data))])
            try:
                array = read_image(bytes(damaged[:cut]), 8)
                assert array.shape == (8, 8, 3)
                assert array.dtype == np.uint8
            except ValueError as error:
                reasons.add(str(error))
    assert not [reason for reason in reasons if "\n" in reason or not reason]
    kinds = {reason.partition(":")[0] for reason in reasons}
    assert {"damaged", "damaged header"} <= kinds


def test_an_image_that_was_given_stays_as_it_is(tmp_path):
    """A JPEG is decoded at a smaller scale, but not the caller's own."""
    save = Image.fromarray(np.zeros((600, 900, 3), "uint8")).save
    save(tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as image:
        assert read_image(image, 48).shape == (48, 48, 3)
        assert image.size == (900, 600)


def test_pillow_prints_no_warnings(tmp_path):
    """In a process of its own, since pytest catches warnings."""
    exif = bytearray(b"Exif\0\0II*\0\x08\0\0\0\xff\0" + bytes(40))
    files = {
        "bomb": huge_png(10_000, 10_000),
        "exif": encode(PICTURE, "JPEG", exif=bytes(exif)),
        "tiff": encode(PICTURE, "TIFF")[:-30],
        "palette": encode(PICTURE.quantize(8), transparency=b"\x00\x80"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys; from catdog_helpers.data.images import read_image\n"
        "for path in sys.argv[1:]:\n"
        "    try: read_image(path, 8)\n"
        "    except ValueError as error: print(error)"
    )
    command = [sys.executable, "-c", code, *sorted(tmp_path.iterdir())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stderr == ""
    assert "too large: 10000 x 10000 pixels" in done.stdout
