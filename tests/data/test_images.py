"""The one decoder: every kind of file, and every kind of broken file."""

import io
import os
import random
import struct
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
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


def test_odd_exif_tags_do_not_spoil_a_sound_photograph():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Canon"
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


AVIF = pytest.mark.skipif(not features.check("avif"), reason="without AVIF")


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
        pytest.param("AVIF", {"quality": 95}, marks=AVIF),
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
    with Image.open(path) as image:
        for source in (str(path), path.read_bytes(), image):
            assert np.array_equal(read_image(source, 24), expected)
        assert image.size == (SIDE, SIDE)  # it stays open, and as it is


@pytest.mark.parametrize(
    ("mode", "file_format", "most"),
    [("P", "PNG", 0), ("1", "PNG", 0), ("L", "JPEG", 4), ("CMYK", "JPEG", 6)],
)
def test_every_mode_keeps_its_colours(mode, file_format, most):
    image = PICTURE.convert(mode)
    data = encode(image, file_format, quality=95)
    assert open_image(data).mode == mode
    array = read_image(data, SIDE)
    assert difference(array, image.convert("RGB")) <= most


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (SIDE, SIDE), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, SIDE // 2, SIDE))
    array = read_image(encode(image), SIDE)
    assert array[0, 0].tolist() == [0, 0, 255]
    assert array[0, -1].tolist() == [255, 255, 255]
    palette = Image.new("P", (9, 9))
    palette.putpalette([10, 20, 30])
    assert (read_image(encode(palette, transparency=b"\0"), 4) == 255).all()
    array = read_image(encode(Image.new("LA", (9, 9), (100, 128))), 4)
    assert abs(int(array[0, 0, 0]) - (100 * 128 + 255 * 127) // 255) <= 1


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
        (b"\0\0\0\x18ftypheic" + bytes(99), "damaged header of a HEIF"),
        (b"a letter to my cat", "not an image of a known format"),
        (bytes(1000), "not an image of a known format"),
        (encode(PICTURE, "PPM"), "not an image of a known format"),
    ],
)
def test_what_is_no_sound_image_is_rejected_with_the_reason(data, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        read_image(data, SIDE)
    assert "\n" not in str(caught.value)


def test_what_is_no_photograph_is_not_even_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.jpg", SIDE)
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"too large: 104,857,601 bytes"):
        read_image(tmp_path / "huge.jpg", SIDE)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device", "folder"):
        with pytest.raises(ValueError, match="not a regular file"):
            read_image(tmp_path / name, 8)


def png(kind: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG: `kind` is the content of its header."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
        for k, d in ((b"IHDR", kind), *chunks, (b"IEND", b""))
    )


def huge_png(width: int, height: int) -> bytes:
    """Return a few bytes that claim to be so many pixels."""
    return png(
        struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), (b"IDAT", b"")
    )


@pytest.mark.parametrize("side", [8_100, 10_000, 20_000, 100_000])
def test_too_many_pixels_are_refused_before_decoding(side):
    """Beyond our cap, Pillow's warning and Pillow's error alike."""
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


# What costs a decoder minutes or gigabytes is refused by its header


def segment(code: int, content: bytes) -> bytes:
    return bytes([255, code]) + struct.pack(">H", len(content) + 2) + content


def many_scans(n: int, side: int = 800) -> bytes:
    """Return a progressive JPEG whose last scan is repeated."""
    image = Image.fromarray(picture(3, side))
    data = encode(image, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * n + data[-2:]


def tags(n: int, size: int, order="<", big=False) -> bytes:
    """Return a TIFF block whose `n` tags all point to the same bytes."""
    field = "Q" if big else "I"
    head = (b"II" if order == "<" else b"MM") + struct.pack(
        f"{order}HHHQQ" if big else f"{order}HIH",
        *((43, 8, 0, 16, n) if big else (42, 8, n)),
    )
    entries = [
        struct.pack(f"{order}HH{field}{field}", 1000 + i, 7, size, len(head))
        for i in range(n)
    ]
    return head + b"".join(entries) + bytes(8 + size)


def flood_of_exif() -> bytes:
    exif = segment(0xE1, b"Exif\0\0" + bytes(65_000))
    return WHOLE["JPEG"][:2] + exif * 1400 + WHOLE["JPEG"][2:]


def flood_of_comments() -> bytes:
    gif = encode(PICTURE, "GIF")
    at = gif.index(b"\x2c\0\0\0\0")
    return gif[:at] + b"\x21\xfe" + (b"\xff" + bytes(255)) * 60_000 + gif[at:]


def flood_of_chunks() -> bytes:
    empty = struct.pack(">I4sI", 0, b"tEXt", zlib.crc32(b"tEXt"))
    return WHOLE["PNG"][:33] + empty * 150_000 + WHOLE["PNG"][33:]


def exif_that_points_to_itself(file_format: str) -> bytes:
    block = b"Exif\0\0" + tags(2000, 40_000 if file_format == "JPEG" else 10**6)
    return encode(PICTURE, file_format, exif=block)


def strips(n: int) -> bytes:
    """Return a TIFF of one column, each pixel of which is a strip."""
    entry = "<HHII"
    entries = [(256, 4, 1, 1), (257, 4, 1, n), (258, 3, 1, 8), (259, 3, 1, 1)]
    entries += [(262, 3, 1, 1), (273, 4, n, 200), (277, 3, 1, 1)]
    entries += [(278, 4, 1, 1), (279, 4, n, 200)]
    packed = b"".join(struct.pack(entry, *e) for e in entries)
    head = b"II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4)
    return head.ljust(200, b"\0") + bytes(4 * n)


BOMBS = {
    "scans": (lambda: many_scans(500), "too many scans"),
    "scans of few pixels": (lambda: many_scans(3000, 16), "too many"),
    "EXIF segments": (flood_of_exif, "too much EXIF"),
    "comments": (flood_of_comments, "too many blocks"),
    "chunks": (flood_of_chunks, "too many chunks"),
    "strips": (lambda: strips(10**6), "too many strips"),
    "tags": (lambda: tags(60_000, 2**20), "tags claim the same"),
    "tags, MM": (lambda: tags(60_000, 2**20, ">"), "tags claim the same"),
    "BigTIFF": (lambda: tags(60_000, 2**20, big=True), "tags claim the same"),
    "EXIF in JPEG": (lambda: exif_that_points_to_itself("JPEG"), "tags claim"),
    "EXIF in PNG": (lambda: exif_that_points_to_itself("PNG"), "tags claim"),
    "EXIF in WebP": (lambda: exif_that_points_to_itself("WEBP"), "tags claim"),
}


@pytest.mark.parametrize(("make", "reason"), BOMBS.values(), ids=BOMBS)
def test_what_takes_too_long_is_refused_by_its_header(make, reason):
    data = make()
    start = time.process_time()
    with pytest.raises(ValueError, match=reason):
        read_image(data, 32)
    assert time.process_time() - start < 2


def test_many_scans_and_segments_of_real_encoders_are_read():
    extended = segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(9))
    data = many_scans(20)
    data = data[:2] + extended * 300 + data[2:] + many_scans(200)
    expected = read_image(many_scans(20), 32)
    assert np.array_equal(read_image(data, 32), expected)


@pytest.mark.parametrize("size", [(9248, 6936), (12000, 9000), (16320, 12240)])
def test_jpegs_of_phones_are_read_at_a_smaller_scale(size):
    data = encode(Image.new("L", size, 200), "JPEG")
    assert difference(read_image(data, 64), 200) < 2
    if size[0] > 10_000:
        with pytest.raises(ValueError, match="too large: .* pixels"):
            read_image(data, 8192)  # too many pixels are really decoded
        small = encode(PICTURE, "JPEG", progressive=True)
        at = small.index(b"\xff\xc2") + 5
        claim = small[:at] + struct.pack(">HH", *size[::-1]) + small[at + 4 :]
        with pytest.raises(ValueError, match="too large|too many scans"):
            read_image(claim, 64)


def test_twelve_bit_jpegs_are_named():
    data = WHOLE["JPEG"]
    at = data.index(b"\xff\xc0") + 4
    with pytest.raises(ValueError, match="a JPEG of 12 bits"):
        read_image(data[:at] + b"\x0c" + data[at + 1 :], 8)


# Values whose range is not known


def tiff(values) -> bytes:
    return encode(Image.fromarray(np.tile(values, (64, 1))), "TIFF")


RAMP = np.linspace(0, 1, 64, dtype=np.float32)


def test_float_tiff_is_scaled_if_its_range_is_known():
    for values in (RAMP, 255 * RAMP):
        array = read_image(tiff(values), 64)
        assert np.abs(array[0, :, 0] - 255 * RAMP).max() <= 1


@pytest.mark.parametrize(
    "values",
    [
        2 * RAMP - 1,
        65535 * RAMP,
        np.where(RAMP > 0.9, np.nan, RAMP).astype("f4"),
        np.where(RAMP > 0.9, np.inf, RAMP).astype("f4"),
        (2**31 * 0.9 * RAMP).astype("i4"),
        (-5 * RAMP).astype("i4"),
    ],
)
def test_an_unknown_range_is_refused(values):
    with pytest.raises(ValueError, match="the range of its values is not know"):
        read_image(tiff(values), 8)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_fewer_bits_in_sixteen_are_refused_instead_of_black(bits):
    values = ((2**bits - 1) * RAMP).astype("u2")
    for file_format in ("PNG", "TIFF"):
        data = encode(Image.fromarray(np.tile(values, (64, 1))), file_format)
        with pytest.raises(ValueError, match=f"it uses {bits}"):
            read_image(data, 8)


def sixteen_bit_rgb(values) -> bytes:
    """Return a PNG of 16 bits a colour, which Pillow only reads."""
    height, width, _ = values.shape
    rows = values.astype(">u2").reshape(height, -1)
    raw = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    kind = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return png(kind, (b"IDAT", raw))


def test_sixteen_bits_a_colour():
    values = np.asarray(PICTURE).astype(int)
    data = sixteen_bit_rgb(values * 257)
    assert np.array_equal(read_image(data, SIDE), PICTURE)
    with pytest.raises(ValueError, match="16 bits, of which it uses 12"):
        read_image(sixteen_bit_rgb(values * 16), SIDE)
    assert not read_image(sixteen_bit_rgb(values * 0), SIDE).any()


# HEIC


@pytest.fixture
def heif():
    module = pytest.importorskip("pillow_heif")
    module.register_heif_opener()


@pytest.mark.parametrize("orientation", TURNS)
def test_heic_is_read_upright(heif, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = PICTURE.resize((240, 160))
    data = encode(TURNS[orientation](large), "HEIF", exif=exif, quality=95)
    image = open_image(data)
    assert image.format == "HEIF"
    expected = np.asarray(large.resize((SIDE, SIDE)))
    assert difference(read_image(data, SIDE), expected) < 6


def test_all_brands_of_heic_are_recognised(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    brands = "heic heix hevc hevx heim heis hevm hevs mif1 msf1"
    for brand in brands.split():
        data = b"\0\0\0\x18ftyp" + brand.encode() + bytes(99)
        with pytest.raises(ValueError, match="HEIC .*pip install pillow-heif"):
            read_image(data, 8)


@AVIF
def test_avif_in_a_general_container_is_read():
    data = encode(PICTURE, "AVIF", quality=95)
    assert data[8:12] == b"avif"
    data = data[:8] + b"mif1" + data[12:]
    assert difference(read_image(data, SIDE), PICTURE) < 6


def test_a_picture_that_takes_too_much_memory_is_refused(monkeypatch):
    """A WebP of 64 megapixels takes 1.1 GB to decode, a PNG 0.3."""
    monkeypatch.setattr(images, "MOST", 15 * SIDE**2)
    assert read_image(encode(PICTURE, "PNG"), 8).shape == (8, 8, 3)
    with pytest.raises(ValueError, match="as WEBP take too much memory"):
        read_image(encode(PICTURE, "WEBP"), 8)


def test_large_pictures_wait_for_one_another(monkeypatch):
    """Never more bytes in flight than the budget, and no thread for ever."""
    most, now, lock = 0, 0, threading.Lock()
    squeeze = images.squeeze

    def watched(image, image_size):
        nonlocal most, now
        with lock:
            now += image.width * image.height * 4
            most = max(most, now)
        result = squeeze(image, image_size)
        with lock:
            now -= image.width * image.height * 4
        return result

    monkeypatch.setattr(images, "squeeze", watched)
    monkeypatch.setattr(images, "IN_FLIGHT", images.Budget(2_000_000))
    data = encode(Image.new("RGBA", (400, 400)))
    with ThreadPoolExecutor(12) as pool:
        done = pool.map(read_image, [data] * 12, [32] * 12, timeout=20)
        assert len(list(done)) == 12
    assert 0 < most <= 2_000_000
