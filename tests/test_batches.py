"""Order, labels and augmentation of the batches."""

import contextlib

import keras
import numpy as np
import pytest

from catdog_helpers.batches import Batches


@pytest.fixture
def images():
    """Ten images whose pixels tell their row, their line and their column."""
    pixels = np.zeros((10, 24, 24, 3), np.uint8)
    pixels[..., 0] = np.arange(10)[:, None, None]
    pixels[..., 1] = np.arange(24)[:, None]
    pixels[..., 2] = np.arange(24)
    return pixels


LABELS = np.arange(10) * 7


def epoch_of(batches):
    return [batches[k] for k in range(len(batches))]


def rows_of(batches):
    return [int(row) for x, _ in epoch_of(batches) for row in x[:, 0, 0, 0]]


def test_serves_rows_in_order_with_their_labels(images):
    batches = Batches(images, LABELS, [8, 2, 5, 1, 3], batch_size=2)
    assert len(batches) == 3
    assert [len(x) for x, _ in epoch_of(batches)] == [2, 2, 1]
    assert rows_of(batches) == [8, 2, 5, 1, 3]
    np.testing.assert_array_equal(batches[0][1], [56, 14])
    np.testing.assert_array_equal(batches[0][0], images[[8, 2]])


def test_shuffle_serves_every_row_once_and_another_order_each_epoch(images):
    batches = Batches(images, LABELS, batch_size=4, shuffle=True)
    first = rows_of(batches)
    batches.on_epoch_end()
    second = rows_of(batches)
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("augment", [False, True])
def test_labels_stay_with_their_images(augment):
    # Contrast and tint cannot make black white.
    black_and_white = np.zeros((10, 8, 8, 3), np.uint8)
    black_and_white[1::2] = 255
    batches = Batches(
        black_and_white, LABELS, batch_size=3, shuffle=True, augment=augment
    )
    for x, y in epoch_of(batches):
        np.testing.assert_array_equal(x[:, 4, 4, 0] > 128, y % 2 == 1)


def test_a_batch_depends_on_seed_epoch_and_number_alone(images):
    options = {"batch_size": 4, "shuffle": True, "augment": True}
    forwards = Batches(images, LABELS, seed=3, **options)
    backwards = Batches(images, LABELS, seed=3, **options)
    expected = [forwards[k][0] for k in range(3)]
    actual = [backwards[k][0] for k in (2, 1, 0)][::-1]
    for one, other in zip(expected, actual, strict=True):
        np.testing.assert_array_equal(one, other)
    forwards.on_epoch_end()
    later = Batches(images, LABELS, seed=3, epoch=1, **options)
    np.testing.assert_array_equal(forwards[1][0], later[1][0])
    assert not np.array_equal(forwards[0][0], expected[0])
    other_seed = Batches(images, LABELS, seed=4, **options)
    assert not np.array_equal(other_seed[0][0], expected[0])


def test_augmented_images_are_mirrored_crops(images):
    bright = images * np.uint8(4) + np.uint8(70)  # no tint reaches 0 or 255
    x, _ = Batches(bright, LABELS, augment=True, size=16)[0]
    assert x.shape == (10, 16, 16, 3)
    assert x.dtype == np.uint8
    mirrored, shares = 0, []
    for image in x.astype(int):
        lines, columns = image[:, 0, 1], image[0, :, 2]
        assert (image[..., 1] == lines[:, None]).all()
        assert (image[..., 2] == columns).all()
        assert (np.diff(lines) >= 0).all()
        steps = np.diff(columns)
        assert (steps >= 0).all() or (steps <= 0).all()
        mirrored += columns[0] > columns[-1]
        shares.append(np.ptp(lines) * np.ptp(columns) / (4 * 23) ** 2)
    assert 0 < mirrored < 10
    assert 0.2 < min(shares) < 0.8 < max(shares) < 1.5


def test_augmentation_varies_contrast_and_tint():
    grey = np.full((200, 8, 8, 3), [60, 128, 196], np.uint8)
    x, _ = Batches(grey, np.zeros(200), batch_size=200, augment=True)[0]
    change = np.abs(x[:, 0, 0].astype(int) - [60, 128, 196])
    assert 15 < change.max() < 30
    assert change[:, 1].max() <= 13


@pytest.mark.parametrize(("scale", "low", "high"), [(1, 0.6, 2), (0.1, 0, 0.5)])
def test_scale_sets_the_smallest_rectangle(images, scale, low, high):
    bright = images * np.uint8(4) + np.uint8(70)
    x, _ = Batches(bright, LABELS, augment=True, scale=(scale, scale))[0]
    lines = np.ptp(x[..., 1], axis=(1, 2)) / 4 / 23
    assert low < lines.min()
    assert lines.max() < high


def test_size_alone_resamples_the_whole_image(images):
    x, _ = Batches(images, LABELS, size=12)[0]
    np.testing.assert_array_equal(x, images[:, 1::2, 1::2])


def test_fit_serves_each_epoch_in_an_order_of_its_own(images):
    options = {"batch_size": 4, "shuffle": True}
    seen = []

    def note(labels, _):
        with contextlib.suppress(Exception):  # JAX traces it once, unserved
            seen.extend(np.array(labels).ravel())
        return keras.ops.zeros(keras.ops.shape(labels))

    model = keras.Sequential([keras.layers.GlobalAveragePooling2D()])
    model.compile("sgd", note, run_eagerly=True)
    batches = Batches(images, LABELS, **options)
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    # `fit` ends an epoch before its first one, to start from a clean state.
    assert batches.epoch == 4
    for epoch, labels in enumerate(np.split(np.array(seen), 3), start=1):
        expected = Batches(images, LABELS, epoch=epoch, **options)
        np.testing.assert_array_equal(labels, np.array(rows_of(expected)) * 7)


def test_mirrored_rows_come_by_an_even_chance():
    stored = np.zeros((400, 3), "float16")
    options = {"mirrored": stored + 1, "batch_size": 400}
    batches = Batches(stored, np.arange(400), **options)
    x, y = batches[0]
    assert x.dtype == np.float32
    assert 0.4 < x.mean() < 0.6
    assert set(x.mean(axis=1)) == {0, 1}
    np.testing.assert_array_equal(y, np.arange(400))
    np.testing.assert_array_equal(x, batches[0][0])
    batches.on_epoch_end()
    assert (x != batches[0][0]).any()


@pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="TensorFlow alone waits"
)
@pytest.mark.parametrize("vectors", [False, True])
def test_no_epoch_waits_for_the_tuning_of_its_input(images, vectors):
    from keras.src.trainers.data_adapters import py_dataset_adapter

    x = images[:, 0, 0] if vectors else images
    adapter = py_dataset_adapter.PyDatasetAdapter(Batches(x, LABELS))
    tuned = adapter.get_tf_dataset().options().autotune.enabled
    assert (tuned is False) == (not vectors)
