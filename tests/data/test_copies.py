"""Copies are found, exact and near, and nothing else is taken for one."""

import io
import time

import numpy as np
import pytest
from conftest import picture
from PIL import Image, ImageEnhance
from sklearn.datasets import load_digits

from catdog_helpers.data.copies import MANY, difference_hash, find_copies
from catdog_helpers.data.images import read_image

SIDE = 64


def through_jpeg(image: np.ndarray, quality: int, side: int) -> np.ndarray:
    buffer = io.BytesIO()
    resized = Image.fromarray(image).resize((side, side))
    resized.save(buffer, "JPEG", quality=quality)
    return read_image(buffer.getvalue(), SIDE)


def find(images, rows=None):
    rows = np.arange(len(images)) if rows is None else np.array(rows, int)
    hashes = [difference_hash(Image.fromarray(image)) for image in images]
    hashes = np.array(hashes, np.uint64)
    found = find_copies(np.stack(images), rows, hashes)
    return [numbers.tolist() for numbers in found]


def group(images, rows=None):
    return find(images, rows)[0]


def test_hash_has_64_bits_and_changes_under_mirroring():
    image = picture(0, SIDE)
    assert 0 < difference_hash(Image.fromarray(image)) < 2**64
    mirrored = difference_hash(Image.fromarray(image[:, ::-1]))
    assert (difference_hash(Image.fromarray(image)) ^ mirrored).bit_count() > 20


@pytest.mark.parametrize(
    ("quality", "side"), [(30, SIDE), (75, SIDE), (90, 48), (90, 200), (75, 90)]
)
def test_recompressed_and_resized_copies_are_found(quality, side):
    for seed in range(20):
        image = picture(seed, SIDE)
        copy = through_jpeg(image, quality, side)
        assert not np.array_equal(copy, image)
        assert group([picture(99, SIDE), image, copy]) == [0, 1, 1], seed


def enhanced(kind, factor):
    return lambda image: kind(image).enhance(factor)


RECOLOURED = {
    "brighter": enhanced(ImageEnhance.Brightness, 1.2),
    "darker": enhanced(ImageEnhance.Brightness, 0.7),
    "contrast": enhanced(ImageEnhance.Contrast, 1.3),
    "colourful": enhanced(ImageEnhance.Color, 1.5),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "cropped": lambda image: image.crop((1, 1, 63, 63)).resize((64, 64)),
}


@pytest.mark.parametrize("change", RECOLOURED.values(), ids=list(RECOLOURED))
def test_recoloured_and_cropped_copies_are_near_but_not_identical(change):
    found = 0
    for seed in range(20):
        image = picture(seed, SIDE)
        copy = np.asarray(change(Image.fromarray(image)))
        groups, duplicates = find([picture(99, SIDE), image, copy])
        found += groups == [0, 1, 1]
        assert duplicates in ([0, 1, 2], [0, 1, 1])
        if np.abs(image.astype(int) - copy).max() > 60:
            assert duplicates == [0, 1, 2]
    assert found >= 19


def frames(n, seed=0, noise=3.0):
    """Return pictures of a fixed camera, with noise."""
    rng = np.random.default_rng(seed)
    noisy = picture(seed, SIDE) + rng.normal(0, noise, (n, SIDE, SIDE, 3))
    return noisy.clip(0, 255).astype("uint8")


@pytest.mark.parametrize("n", [6, 60])
def test_frames_are_near_and_what_a_small_part_tells_apart_is_no_copy(n):
    images = frames(n)
    for i in range(0, n, 2):  # an animal of 4 % of the picture
        images[i, 10 + i % 30 :, 20:][:13, :13] = (20, 15, 10)
    groups, duplicates = find(images)
    assert groups == [0] * n
    for i, first in enumerate(duplicates):
        assert i % 2 == first % 2, (i, first)
    if n > MANY:  # only the same pixels would count
        assert duplicates == list(range(n))


def test_handwritten_digits_are_no_evidence_of_wrong_labels():
    """Real pictures that are alike: 1,797 of ten classes."""
    digits = load_digits()
    scaled = np.repeat(np.repeat(digits.images / 16 * 255, 4, 1), 4, 2)
    images = np.repeat(scaled.astype("uint8")[..., None], 3, 3)
    groups, duplicates = find(images)
    assert duplicates == list(range(len(images)))
    assert np.bincount(groups).max() < 0.4 * np.bincount(digits.target).min()


def test_identical_frames_of_a_long_series_are_duplicates():
    images = frames(30)
    images[20] = images[3]
    assert find(images)[1] == [*range(20), 3, *range(21, 30)]


def test_a_short_chain_stays_together_and_a_long_one_is_cut():
    """As a burst: each picture is near the next, the ends are not alike."""
    a, b = (picture(seed, SIDE).astype(float) for seed in (1, 2))
    for n, together in ((12, True), (60, False)):
        share = np.linspace(0, 1, n)
        images = [((1 - x) * a + x * b).astype("uint8") for x in share]
        groups = group(images)
        assert (len(set(groups)) == 1) == together
        assert len(set(groups)) < n / 3


def test_thousands_of_plain_pictures_take_seconds():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (5000, 1, 1, 3), dtype="uint8")
    start = time.perf_counter()
    groups, duplicates = find(np.broadcast_to(colours, (5000, 16, 16, 3)))
    assert time.perf_counter() - start < 20
    spread = np.abs(colours - colours[groups].astype(int)).mean((1, 2, 3))
    assert spread.max() <= 28  # both are near the same one
    same = colours[duplicates] == colours
    assert same.all()


def test_different_pictures_are_no_copies():
    images = [picture(seed, SIDE) for seed in range(200)]
    assert group(images) == list(range(200))


def test_plain_pictures_of_different_colours_are_no_copies():
    """Their hashes agree: without edges it is the colours that tell."""
    plain = [np.full((SIDE, SIDE, 3), v, "uint8") for v in (0, 60, 120)]
    assert len({difference_hash(Image.fromarray(x)) for x in plain}) == 1
    assert group(plain) == [0, 1, 2]
    faint = [x + np.arange(SIDE, dtype="uint8")[:, None] // 16 for x in plain]
    assert group(faint) == [0, 1, 2]


def test_same_bytes_are_copies_and_copies_of_copies_too():
    images = [picture(seed, SIDE) for seed in range(4)]
    near = through_jpeg(images[1], 80, SIDE)
    images = [*images[:3], images[0], near, images[1]]
    assert find(images) == [[0, 1, 2, 0, 1, 1]] * 2


def test_rows_left_out_stay_alone():
    image = picture(0, SIDE)
    assert group([image] * 4, rows=[1, 3]) == [0, 1, 2, 1]
    assert group([image] * 2, rows=[]) == [0, 1]
