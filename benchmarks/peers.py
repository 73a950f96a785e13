"""What others do, done as fast as it goes their way: the other side."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def decode_in_a_loop(paths, image_size: int, interpolation: str) -> None:
    """Read photographs as tutorials do, one after the other."""
    images = np.empty((len(paths), image_size, image_size, 3), np.uint8)
    for i, path in enumerate(paths):
        side = (image_size, image_size)
        image = keras.utils.load_img(path, "rgb", side, interpolation)
        images[i] = keras.utils.img_to_array(image)


def directory_batches(folder, image_size: int):
    """Return augmented batches from files, decoded again in each epoch."""
    augment = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1)]
    )
    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=(image_size, image_size), verbose=False
    )
    batches = batches.map(
        lambda x, y: (augment(x, training=True), y), tf.data.AUTOTUNE
    )
    return _ahead(batches)


def _ahead(batches):
    """Prefetch on all cores; the tuning of that would delay an epoch's end."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def build_ancestor_cnn(image_size: int):
    """Build the network whose best validation accuracy was 0.845.

    Convolutions of 16, 64 and 128, 512 dense units: 19,024,513 weights at
    150 px, as its notebook printed.
    """
    stages = [
        layer
        for width in (16, 64, 128)
        for layer in (
            layers.Conv2D(width, 3, activation="relu"),
            layers.MaxPooling2D(),
        )
    ]
    model = keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            *stages,
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    return model


def ancestor_batches(images: np.ndarray, labels: np.ndarray):
    """Return the ancestor's batches of 30: rotated, shifted, sheared, zoomed.

    All four are one matrix, as in its `ImageDataGenerator`, and one look-up
    of pixels; TensorFlow does it on all cores, ahead of the training.
    """
    rng = np.random.default_rng(0)

    def draw():
        while True:
            rows = rng.integers(len(images), size=30)
            matrices = [_random_matrix(rng, images.shape[1]) for _ in rows]
            yield images[rows], labels[rows], np.float32(matrices)

    def change(x, y, matrices):
        x = tf.cast(x, tf.float32) / 255
        x = tf.raw_ops.ImageProjectiveTransformV3(
            images=x,
            transforms=matrices,
            output_shape=tf.shape(x)[1:3],
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="NEAREST",
        )
        return tf.image.random_flip_left_right(x), y

    shape = (30, *images.shape[1:])
    signature = (
        tf.TensorSpec(shape, tf.uint8),
        tf.TensorSpec((30,), tf.int64),
        tf.TensorSpec((30, 8), tf.float32),
    )
    batches = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return _ahead(batches.map(change, tf.data.AUTOTUNE))


def _random_matrix(rng, side: int) -> np.ndarray:
    """Draw the eight numbers of a transform about the image's middle."""
    angle = np.deg2rad(rng.uniform(-50, 50))
    shear = np.deg2rad(rng.uniform(-0.2, 0.2))  # of Keras: in degrees
    zoom = rng.uniform(0.7, 1.3, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, -sin], [sin, cos]])
    matrix = matrix @ [[1, -np.sin(shear)], [0, np.cos(shear)]] @ np.diag(zoom)
    middle = np.full(2, side / 2)
    shift = middle - matrix @ middle + rng.uniform(-0.2, 0.2, 2) * side
    (a, b), (c, d) = matrix
    return np.array([a, b, shift[0], c, d, shift[1], 0, 0])
