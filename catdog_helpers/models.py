"""The network that is trained from scratch, and the layers of any network."""

import math
from collections.abc import Callable, Iterator, Sequence

import keras
from keras import layers

WIDTHS = (32, 64, 128, 256)


def build_cnn(
    image_size: int, n_classes: int, *, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """Build a small residual network with random weights.

    Images above 100 px are first averaged down to at most that. Global
    average pooling lets the same weights take images of any size: training
    may begin with small ones, which cost less.

    Args:
        image_size: Side of the images that the network is meant for, pixels.
        n_classes: Number of classes, 2 or more.
        widths: Filters of each stage; each has half the resolution of the
            one before.

    Returns:
        Model from raw RGB images `(batch, height, width, 3)` in [0, 255] to
        probabilities `(batch, n_classes)`, float32.
    """
    inputs = keras.Input((None, None, 3))
    pool = math.ceil(image_size / 100)
    x = layers.AveragePooling2D(pool)(inputs) if pool > 1 else inputs
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    x = _conv_block(x, widths[0], strides=2)
    for width in widths[1:]:
        x = layers.MaxPooling2D()(x)
        x = _conv_block(x, width)
        shortcut = x
        x = _conv_block(x, width)
        x = layers.Add()([shortcut, _conv_block(x, width, activation=None)])
        x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(n_classes, activation="softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="scratch_cnn")


def leaves(layer) -> Iterator[keras.Layer]:
    """List the layers of a model, of models inside it, and so on.

    Args:
        layer: A model, or a layer, which is its own only leaf.

    Yields:
        Layers that are no models, in their order.
    """
    inside = getattr(layer, "layers", None)
    if inside is None:
        yield layer
    for inner in inside or ():
        yield from leaves(inner)


def copy_layers(model, change: Callable[[keras.Layer], dict]):
    """Copy a model, with its weights, and change how its layers are made.

    Args:
        model: A functional or sequential `keras.Model`.
        change: Gives what is different in a layer's configuration.

    Returns:
        An uncompiled copy, with the same weights and layer names.
    """

    def copy(layer):
        if not isinstance(layer, keras.Layer):  # an operation
            return layer
        return type(layer).from_config(layer.get_config() | change(layer))

    clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    clone.set_weights(model.get_weights())
    for old, new in zip(model.layers, clone.layers, strict=True):
        if not old.trainable:  # a model's own flag is no part of the copy
            new.trainable = False
    return clone


def _conv_block(x, width, *, strides=1, activation="relu"):
    # Batch normalisation has a shift of its own, hence no bias before it.
    x = layers.Conv2D(
        width, 3, strides=strides, padding="same", use_bias=False
    )(x)
    # Short runs have few steps: averages over 10 batches, not over 100.
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.Activation(activation)(x) if activation else x
