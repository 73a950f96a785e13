"""Copies are found, exact and near, and nothing else is taken for one."""

import io

import numpy as np
import pytest
from conftest import picture
from PIL import Image

from catdog_helpers.data.copies import difference_hash, group_copies
from catdog_helpers.data.images import read_image

SIDE = 64


def through_jpeg(image: np.ndarray, quality: int, side: int) -> np.ndarray:
    buffer = io.BytesIO()
    resized = Image.fromarray(image).resize((side, side))
    resized.save(buffer, "JPEG", quality=quality)
    return read_image(buffer.getvalue(), SIDE)


def group(images, rows=None):
    hashes = np.array(
        [difference_hash(Image.fromarray(x)) for x in images], dtype=np.uint64
    )
    rows = np.arange(len(images)) if rows is None else np.array(rows, int)
    groups = group_copies(hashes, np.stack(images), rows)
    return groups.tolist()


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


def test_a_brighter_copy_is_found():
    image = picture(0, SIDE)
    brighter = np.minimum(image.astype(int) + 8, 255).astype("uint8")
    assert group([image, brighter]) == [0, 0]


def test_different_pictures_are_no_copies():
    images = [picture(seed, SIDE) for seed in range(200)]
    assert group(images) == list(range(200))


def test_plain_pictures_of_different_colours_are_no_copies():
    """Their hashes agree: without edges it is the colours that tell."""
    plain = [np.full((SIDE, SIDE, 3), v, "uint8") for v in (0, 60, 120)]
    assert len({difference_hash(Image.fromarray(x)) for x in plain}) == 1
    assert group(plain) == [0, 1, 2]


def test_same_bytes_are_copies_and_copies_of_copies_too():
    images = [picture(seed, SIDE) for seed in range(4)]
    near = through_jpeg(images[1], 80, SIDE)
    images = [*images[:3], images[0], near, images[1]]
    assert group(images) == [0, 1, 2, 0, 1, 1]


def test_rows_left_out_stay_alone():
    image = picture(0, SIDE)
    assert group([image] * 4, rows=[1, 3]) == [0, 1, 2, 1]
    assert group([image] * 2, rows=[]) == [0, 1]
