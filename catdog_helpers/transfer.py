"""Cut a pretrained base in two, and put a classification head on it."""

import keras
from keras import layers
from keras.layers import InputLayer

from catdog_helpers.models import leaves


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


def split_base(base_model, cut: str | None):
    """Cut a base in two at one tensor.

    `back(front(x))` equals `base_model(x)`: the layers are shared, not copied.

    Args:
        base_model: What `load_base` returned.
        cut: Name of the layer whose output is the cut, or
            "<name>.input" for a layer's input. `None`: all of it is front,
            and back passes on what it gets.

    Returns:
        front, back: Two `keras.Model`s.

    Raises:
        ValueError: If there is no such layer, or the cut is no clean one.
    """
    inputs, outputs = base_model.inputs[0], base_model.outputs[0]
    tensor = outputs if cut is None else _tensor_at(base_model, cut)
    front = keras.Model(inputs, tensor, name="front")
    if tensor is outputs:
        same = [keras.Input(tensor.shape[1:]), keras.layers.Identity()]
        back = keras.Sequential(same, name="back")
    else:
        back = _back(base_model, tensor, cut)
    # Else `back.trainable = True` would do nothing: under TensorFlow, Keras
    # skips what is no change, and a new model counts as trainable.
    front.trainable = back.trainable = base_model.trainable
    return front, back


def unfreeze(model) -> None:
    """Open all layers but batch normalisation, whose averages must stay.

    Compile afterwards: only then does `fit` know of it.

    Args:
        model: Changed in place, e.g. the back of a base.
    """
    model.trainable = False  # else Keras skips what looks like no change
    model.trainable = True
    for layer in leaves(model):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def _back(base_model, tensor, cut: str):
    starts = {x.name for x in base_model.layers if isinstance(x, InputLayer)}
    try:
        back = keras.Model(tensor, base_model.outputs[0], name="back")
        around = starts & {layer.name for layer in back.layers}
    except ValueError:  # Keras before 3.15 says nothing
        around = starts
    if around:
        raise ValueError(
            "`cut` must be the only way through the base: a path leads "
            f"around {cut!r}"
        )
    return back


def _tensor_at(base_model, cut: str):
    name, _, side = cut.partition(".")
    names = [layer.name for layer in base_model.layers]
    if name not in names or side not in ("", "input"):
        raise ValueError(
            f"`cut` must name a layer of the base. Received: {cut!r}; its last "
            f"layers are {', '.join(names[-8:])}"
        )
    layer = base_model.get_layer(name)
    return layer.input if side else layer.output
