"""Put a pretrained base and a classification head together."""

import keras
from keras import layers


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
        *parts: Models, each taking what the one before it gives; the last is
            the head, before which feature maps are averaged over the image.

    Returns:
        An uncompiled `keras.Model`. It shares its layers with the parts.
    """
    *base, head = parts
    pooling = layers.GlobalAveragePooling2D(name="pooling")
    return keras.Sequential(
        [keras.Input(base[0].input_shape[1:]), *base, pooling, head]
    )
