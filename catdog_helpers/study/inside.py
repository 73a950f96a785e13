"""Take a trained model apart: feature map, features, logits."""

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops
from sklearn.neighbors import NearestNeighbors

from catdog_helpers.features import extract_features
from catdog_helpers.machine.networks import leaves


def cut_model(model) -> tuple[keras.Model, Callable]:
    """Split a model where its last feature map is averaged over the image.

    The layers are shared, not copied.

    Args:
        model: A model of this series: built by `build_cnn`, or joined by
            `join` from a base, however nested, and a head.

    Returns:
        to_map: `keras.Model` from raw RGB images in [0, 255] to the feature
            map `(batch, height, width, channels)` before the pooling.
        to_logits: Function from such maps to the logits `(batch, n_classes)`,
            what the final softmax turns into probabilities.

    Raises:
        ValueError: If the model is built in another way.
    """
    pooling = layers.GlobalAveragePooling2D
    found = [i for i, x in enumerate(model.layers) if isinstance(x, pooling)]
    after = model.layers[found[-1] :] if found else []
    head = [leaf for layer in after for leaf in leaves(layer)]
    last = head[-1] if head else None
    if getattr(last, "activation", None) is not keras.activations.softmax:
        raise ValueError(
            "`model` must end in GlobalAveragePooling2D and a head whose last "
            "layer is Dense with softmax, as in notebooks 02 to 04. Received: "
            f"{', '.join(type(x).__name__ for x in model.layers[-4:])}"
        )

    def to_logits(x):
        for leaf in head[:-1]:
            x = leaf(x, training=False)
        return ops.matmul(ops.cast(x, "float32"), last.kernel) + last.bias

    before = model.layers[: -len(after)]
    if not isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], after[0].input), to_logits
    shape = keras.Input(model.input_shape[1:])
    return keras.Sequential([shape, *before]), to_logits


def pooled_features(model, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the features from which a model's head draws its answer.

    What `extract_features` kept for another model with the same frozen front
    is reused, and what is new is kept.

    Args:
        model: As for `cut_model`.
        images: Memory-mapped images that `prepare` returned.
        rows: Which of them to run, in rising order.

    Returns:
        Memory-mapped array of shape `(n, n_features)`, float16, zero in rows
        that were not asked for.
    """
    to_map, _ = cut_model(model)
    parts = [part for part in to_map.layers if isinstance(part, keras.Model)]
    if parts and parts[0].name == "front":
        front, *parts = parts
        images = extract_features(front, images, rows, name="front")
    else:
        parts = [to_map]
    pooled = keras.Sequential([*parts, layers.GlobalAveragePooling2D()])
    return extract_features(pooled, images, rows, name="features")


def nearest_images(
    features: np.ndarray, queries: np.ndarray, rows: np.ndarray, n: int = 5
) -> np.ndarray:
    """Find the images whose features point in the most similar direction.

    Args:
        features: Shape `(n_images, n_features)`, e.g. of `pooled_features`.
        queries: Row numbers of the images to find others for.
        rows: Row numbers to search; a query among them finds itself first.
        n: How many to find; fewer if `rows` are fewer.

    Returns:
        Row numbers of shape `(n_queries, n)`, the nearest first: least cosine
        distance.
    """
    kept = np.asarray(features[rows], dtype="float32")
    search = NearestNeighbors(metric="cosine").fit(kept)
    wanted = np.asarray(features[queries], dtype="float32")
    n = min(n, len(kept))
    return np.asarray(rows)[search.kneighbors(wanted, n, return_distance=False)]


def without_preprocessing(model):
    """Copy a base without the layers before its first weights.

    Args:
        model: A base, or the front of one, with its own preprocessing.

    Returns:
        A `keras.Model` with the same weights, to which raw pixels go as they
        are; layers that resize or pad the image stay.
    """
    weighted = {layer.name for layer in model.layers if layer.weights}
    stay = layers.Resizing, layers.ZeroPadding2D
    begun = []  # the network proper, from its first layer that has weights

    def call(layer, x, *args, **kwargs):
        begun.extend({layer.name} & weighted)
        if begun or isinstance(layer, stay):
            return layer(x, *args, **kwargs)
        return x

    copy = keras.models.clone_model(model, call_function=call)
    copy.set_weights(model.get_weights())
    return copy


def restore_statistics(model, x: np.ndarray) -> bool:
    """Give batch normalisation the statistics of its inputs, if it has none.

    In some weights files the statistics are folded into the other weights:
    each mean is 0 and each variance 1. With the mean m and the variance v of
    a layer's input and its scale s, the new gamma is s * sqrt(v + epsilon)
    and the new beta is beta + s * (m - old mean), so that the model gives
    the same answers as before.

    Args:
        model: A part of a base, changed in place.
        x: What is put into it, shape `(n, height, width, channels)`.

    Returns:
        Whether it had such layers, and all their statistics were folded.
    """
    kind = layers.BatchNormalization
    normed = [layer for layer in model.layers if isinstance(layer, kind)]
    variances = [ops.convert_to_numpy(y.moving_variance) for y in normed]
    # 1 - epsilon in weights that were folded with care
    folded = [np.allclose(variance, 1, atol=0.01) for variance in variances]
    if not normed or not all(folded):
        return False
    see = keras.Model(model.inputs[0], {y.name: y.input for y in normed})
    inputs = see.predict(x, verbose=0)
    for layer in normed:
        seen = inputs[layer.name]
        gamma, beta, old_mean, old_variance = layer.get_weights()
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        mean, variance = seen.mean((0, 1, 2)), seen.var((0, 1, 2))
        gamma = scale * np.sqrt(variance + layer.epsilon)
        beta = beta + scale * (mean - old_mean)
        layer.set_weights([gamma, beta, mean, variance])
    return True
