"""Build, cut, join and run networks."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from keras.layers import InputLayer

from catdog_helpers.machine.networks import leaves

WIDTHS = (32, 64, 128, 256)


def build_cnn(
    image_size: int, n_classes: int, *, widths: Sequence[int] = WIDTHS
) -> keras.Model:
    """Build a small residual network with random weights.

    Images above 100 px are first reduced to at most that by averaging. Global
    average pooling lets the same weights take images of any size, so that
    training may begin with small ones, which cost less.

    Args:
        image_size: Side of the images in pixels.
        n_classes: Number of classes, 2 or more.
        widths: Number of filters of each stage; each stage has half the
            resolution of the one before.

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


def _conv_block(x, width, *, strides=1, activation="relu"):
    # Batch normalisation has its own shift, so the convolution needs no bias.
    x = layers.Conv2D(
        width, 3, strides=strides, padding="same", use_bias=False
    )(x)
    # Short runs have few steps, so the averages span 10 batches, not 100.
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.Activation(activation)(x) if activation else x


def build_head(input_shape: tuple[int, ...], n_classes: int):
    """Build a classification head for bottleneck features.

    Args:
        input_shape: Shape of one image's features, `(n_features,)`.
        n_classes: Number of classes, 2 or more.

    Returns:
        An uncompiled `keras.Model` named "head", from features to
        probabilities.
    """
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dropout(0.5),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(n_classes, activation="softmax", dtype="float32"),
        ],
        name="head",
    )


def join(*parts):
    """Join parts of a base and a head into one model.

    Args:
        *parts: Models, each of which takes the output of the one before. The
            last is the head; the feature maps before it are averaged over
            the image.

    Returns:
        An uncompiled `keras.Model`. It shares its layers with the parts.
    """
    *base, head = parts
    pooling = layers.GlobalAveragePooling2D(name="pooling")
    return keras.Sequential(
        [keras.Input(base[0].input_shape[1:]), *base, pooling, head]
    )


def cut_base(base_model, cut: str | None):
    """Cut a base in two at one tensor.

    `back(front(x))` equals `base_model(x)`: the layers are shared, not copied.

    Args:
        base_model: What `load_base` returned.
        cut: Name of the layer whose output is the cut, or "<name>.input" for
            a layer's input. With `None`, the whole base is the front, and the
            back returns its input.

    Returns:
        front, back: Two `keras.Model`s.

    Raises:
        ValueError: If there is no such layer, or a connection bypasses it.
    """
    inputs, outputs = base_model.inputs[0], base_model.outputs[0]
    tensor = outputs if cut is None else _tensor_at(base_model, cut)
    front = keras.Model(inputs, tensor, name="front")
    if tensor is outputs:
        same = [keras.Input(tensor.shape[1:]), keras.layers.Identity()]
        back = keras.Sequential(same, name="back")
    else:
        back = _back(base_model, tensor, cut)
    # A new model counts as trainable, and Keras skips an assignment that
    # changes nothing: without this, `back.trainable = True` had no effect.
    front.trainable = back.trainable = base_model.trainable
    return front, back


def unfreeze(model) -> None:
    """Make all layers trainable except batch normalisation.

    Its averages must not change. Compile the model afterwards, or `fit` does
    not use the change.

    Args:
        model: Changed in place, e.g. the back of a base.
    """
    model.trainable = False  # or Keras skips the next line as no change
    model.trainable = True
    for layer in leaves(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def _back(base_model, tensor, cut: str):
    """Build the model behind a tensor, if nothing bypasses the tensor."""
    starts = {x.name for x in base_model.layers if isinstance(x, InputLayer)}
    try:
        back = keras.Model(tensor, base_model.outputs[0], name="back")
        around = starts & {layer.name for layer in back.layers}
    except ValueError:  # Keras 3.15 and later check it themselves
        around = starts
    if around:
        raise ValueError(
            "`cut` must be the only connection through the base: a path leads "
            f"around {cut!r}"
        )
    return back


def _tensor_at(base_model, cut: str):
    """Return the tensor at a cut."""
    name, _, side = cut.partition(".")
    names = [layer.name for layer in base_model.layers]
    if name not in names or side not in ("", "input"):
        raise ValueError(
            f"`cut` must name a layer of the base. Received: {cut!r}; its last "
            f"layers are {', '.join(names[-8:])}"
        )
    layer = base_model.get_layer(name)
    return layer.input if side else layer.output


def run_rows(
    model, images: np.ndarray, rows: np.ndarray, *, batch_size: int = 32
) -> np.ndarray:
    """Run a model over some rows of an array, batch by batch.

    Args:
        model: A `keras.Model` with one output, such as probabilities.
        images: Shape `(n, ...)`: images or features.
        rows: Row numbers.
        batch_size: Rows at a time; changes only speed and memory.

    Returns:
        One row of the output for each of `rows`, float32.
    """
    run = model.predict_on_batch
    return in_batches(run, images, rows, batch_size=batch_size)[0]


def in_batches(run, images, rows=None, *, batch_size=32) -> list[np.ndarray]:
    """Run a function over batches; return one array for each of its outputs."""
    rows = np.arange(len(images)) if rows is None else rows
    starts = range(0, len(rows), batch_size)
    batches = (np.float32(images[rows[i : i + batch_size]]) for i in starts)
    outputs = (y if isinstance(y, list) else [y] for y in map(run, batches))
    return [np.concatenate(part) for part in zip(*outputs, strict=True)]
