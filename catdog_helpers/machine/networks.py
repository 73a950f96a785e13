"""Open a network; list, hash and copy its layers; add to it."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from catdog_helpers.machine.failures import first_line

MAX_MEMBER = 100_000_000  # bytes that are read at once


def read_keras(path: Path):
    """Load a `.keras` file, or raise ValueError with one line."""
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file can raise nearly anything
        reason = first_line(error)
        missing = re.search(r"module (keras_\w+)\S* cannot be", str(error))
        other = _saved_by(path)
        if missing:
            package = missing[1].replace("_", "-")
            reason = f"it needs a package: pip install {package}"
        elif other not in ("", keras.__version__):
            reason += f" (saved by Keras {other}, here is {keras.__version__})"
        raise ValueError(f"{path} is no Keras model: {reason}") from None


def _saved_by(path: Path) -> str:
    """Return which version of Keras saved a file; empty if it is unknown."""
    with suppress(Exception):
        return json.loads(read_member(path, "metadata.json"))["keras_version"]
    return ""


def read_member(path: Path, name: str) -> bytes | None:
    """Read a member of a zip file; `None` if there is no such member."""
    with suppress(Exception), zipfile.ZipFile(path) as file:
        if file.getinfo(name).file_size <= MAX_MEMBER:
            return file.read(name)
    return None


def leaves(layer) -> Iterator:
    """Yield the layers of a model in order, and those of models inside it."""
    inside = getattr(layer, "layers", None)
    if inside is None:
        yield layer
    for inner in inside or ():
        yield from leaves(inner)


def copy_layers(model, change: Callable[..., dict]):
    """Copy a model with its weights and names, but not compiled.

    Args:
        model: A functional or sequential `keras.Model`.
        change: Function from a layer to the entries of its configuration that
            differ in the copy.
    """
    import keras

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


def weights_sha256(model) -> str:
    """Hash a model's weights, as 64 hexadecimal digits.

    The hash of a `.keras` file would not do: it contains the time of saving.
    """
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(f"{weight.shape}{weight.dtype}".encode())
        digest.update(weight.tobytes())
    return digest.hexdigest()


def layers_key(model) -> str:
    """Hash what a model's layers compute, apart from their weights."""
    return hashlib.sha256(json.dumps(_layers(model)).encode()).hexdigest()


def _layers(model) -> list:
    """List what the layers compute, without the names that Keras makes up."""
    import keras

    unimportant = {"name", "dtype", "trainable"}
    unimportant |= {"kernel_initializer", "bias_initializer"}
    found = []
    for layer in getattr(model, "operations", model.layers):
        if getattr(layer, "layers", None):
            found += _layers(layer)
        elif isinstance(layer, keras.Layer):
            config = layer.get_config().items()
            config = [item for item in config if item[0] not in unimportant]
            found.append([type(layer).__name__, repr(config)])
        else:
            found.append(type(layer).__name__)
    return found


def with_features(model):
    """Add the pooled features to the outputs of a classifier.

    Args:
        model: A `keras.Model` of this series, or its part behind stored
            features.

    Returns:
        A `keras.Model` with the same layers and two outputs: features
        `(batch, n_features)` and probabilities.
    """
    import keras

    if not isinstance(model, keras.Sequential):
        pooling = keras.layers.GlobalAveragePooling2D
        inputs, features = model.inputs[0], model.layers[-1].input
        pooled = [x.output for x in model.layers if isinstance(x, pooling)]
        nested = [x for x in model.layers if hasattr(x, "layers")]
        nested = [x for x in nested if len(x.output_shape) == 2]
        if pooled:
            features = pooled[-1]
        elif nested:  # e.g. a model that averages two views
            features, _ = with_features(nested[0])(inputs)
        return keras.Model(inputs, [features, model.outputs[0]])
    tensors = [keras.Input(model.input_shape[1:])]
    for layer in _unnested(model):
        tensors.append(layer(tensors[-1]))
    # The first without height and width
    features = next(x for x in tensors if len(x.shape) == 2)
    return keras.Model(tensors[0], [features, tensors[-1]])


def _unnested(model):
    """Yield a Sequential's layers, and those of Sequentials in it."""
    for layer in model.layers:
        if hasattr(layer, "layers") and hasattr(layer, "add"):
            yield from _unnested(layer)
        else:
            yield layer


def with_resizing(model, image_size: int | None, resolution: int):
    """Copy a model that takes images, with a layer in front that enlarges them.

    Args:
        model: A `keras.Model` with one input.
        image_size: Side of the images in pixels, or `None` for any.
        resolution: Side that the model computes with.

    Returns:
        The copy, with the same weights.
    """
    import keras

    inputs = keras.Input((image_size, image_size, 3), name="image")
    enlarged = keras.layers.Resizing(resolution, resolution)(inputs)

    def call(layer, x, *args, **kwargs):
        return layer(enlarged if x is inputs else x, *args, **kwargs)

    # A Sequential, too, becomes a graph.
    graph = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    copy = keras.models.clone_model(graph, inputs, call_function=call)
    copy.set_weights(model.get_weights())
    return copy


@contextmanager
def without_optimizer(model) -> Iterator[None]:
    """Hide the optimizer, whose state can be twice as large as the weights."""
    if not model.compiled:
        yield
        return
    state = vars(model)  # set there, neither Keras nor TensorFlow tracks it
    kept = {name: state[name] for name in ("compiled", "optimizer")}
    state.update(compiled=False, optimizer=None)
    try:
        yield
    finally:
        state.update(kept)
