"""Order, labels and augmentation of the batches."""

import keras
import numpy as np
import pytest

from catdog_helpers.batches import Batches, random_crops


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
def test_labels_stay_with_their_images(images, augment):
    batches = Batches(
        images, LABELS, batch_size=3, shuffle=True, augment=augment
    )
    for x, y in epoch_of(batches):
        np.testing.assert_array_equal(x[:, 0, 0, 0] * 7, y)


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


def test_augmented_images_are_crops_and_mirrored_crops(images):
    batches = Batches(images, LABELS, augment=True, scale=(0.5, 0.9), size=16)
    x, _ = batches[0]
    assert x.shape == (10, 16, 16, 3)
    assert x.dtype == np.uint8
    mirrored = 0
    for row, image in enumerate(x.astype(int)):
        assert (image[..., 0] == row).all()
        lines, columns = image[:, 0, 1], image[0, :, 2]
        assert (image[..., 1] == lines[:, None]).all()
        assert (image[..., 2] == columns).all()
        assert (np.diff(lines) >= 0).all()
        mirrored += columns[0] > columns[-1]
        rising = np.sort(columns)
        assert (np.diff(columns) >= 0).all() or (columns == rising[::-1]).all()
        area = np.ptp(lines + 0.0) * np.ptp(columns + 0.0) / 23**2
        assert 0.3 < area < 1
    assert 0 < mirrored < 10


def test_crops_keep_to_the_image_and_to_their_scale():
    crops = random_crops(2000, (0.6, 1.0), np.random.default_rng(0))
    top, left, height, width = crops.T
    assert crops.min() >= 0
    assert (top + height).max() <= 1 + 1e-9
    assert (left + width).max() <= 1 + 1e-9
    assert 0.5 < (height * width).min() < (height * width).max() <= 1
    assert np.ptp(top) > 0.2


def test_size_alone_resamples_the_whole_image(images):
    x, _ = Batches(images, LABELS, size=12)[0]
    np.testing.assert_array_equal(x, images[:, 1::2, 1::2])


def test_serves_memory_mapped_features(tmp_path):
    features = np.random.default_rng(0).random((10, 2, 2, 5), np.float32)
    np.save(tmp_path / "features.npy", features)
    stored = np.load(tmp_path / "features.npy", mmap_mode="r")
    x, y = Batches(stored, LABELS, [4, 9], shuffle=True)[0]
    np.testing.assert_array_equal(x, features[y // 7])
    assert x.dtype == np.float32


class Recorder(keras.Model):
    """A model that learns nothing and keeps the labels it was served."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, inputs):
        return inputs

    def train_step(self, data):
        self.seen += list(np.array(data[1]))
        return {"loss": 0.0}


def test_fit_serves_each_epoch_in_an_order_of_its_own(images):
    options = {"batch_size": 4, "shuffle": True}
    model = Recorder()
    model.compile(loss="mse", run_eagerly=True)
    batches = Batches(images, LABELS, **options)
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    # `fit` ends an epoch before its first one, to start from a clean state.
    assert batches.epoch == 4
    served = np.split(np.array(model.seen), 3)
    for epoch, labels in enumerate(served, start=1):
        expected = Batches(images, LABELS, epoch=epoch, **options)
        np.testing.assert_array_equal(labels, np.array(rows_of(expected)) * 7)
