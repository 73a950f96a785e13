"""Pretrained convolutional bases that take raw RGB."""

import os
import socket
from pathlib import Path
from typing import NamedTuple

from catdog_helpers.machine.failures import first_line
from catdog_helpers.saving import read_keras

SAMPLE_BASE = Path(__file__).parent / "data/sample/narrow_vgg16.keras"


class Base(NamedTuple):
    """A row of the table: all that differs from base to base."""

    module: str  # of keras.applications; has the base's preprocess_input
    image_size: int  # a good side in pixels for cats and dogs
    cut: str  # layer whose output the opened part starts from


# The cut leaves the last block (or stage) behind it. ".input" stands where
# Keras gives the layer at the cut no name of its own.
BASES = {
    "VGG16": Base("vgg16", 150, "block4_pool"),
    "VGG19": Base("vgg19", 150, "block4_pool"),
    "ResNet50": Base("resnet", 192, "conv4_block6_out"),
    "InceptionV3": Base("inception_v3", 192, "mixed7"),
    "Xception": Base("xception", 192, "block14_sepconv1.input"),
    "MobileNetV2": Base("mobilenet_v2", 192, "block_12_add"),
    "EfficientNetV2B0": Base("efficientnet_v2", 192, "block5e_add"),
    "ConvNeXtTiny": Base(
        "convnext", 192, "convnext_tiny_downsampling_block_2.input"
    ),
    # VGG16 one eighth as wide, trained on drawings: for the drawn sample.
    "sample": Base("", 96, "block4_pool"),
}


def load_base(
    base: str | Path,
    weights: str | Path | None = "imagenet",
    *,
    image_size: int | None = None,
    resolution: int | None = None,
):
    """Load a frozen convolutional base that takes raw RGB images.

    Its own preprocessing is part of the model, so that nobody can forget it
    or take another's.

    Args:
        base: A name in `BASES`, or the path of a saved Keras model that takes
            raw RGB in [0, 255] and gives a feature map.
        weights: "imagenet" (downloaded by Keras; for a saved model and for
            "sample" this means: as saved), the path of a weights file, or
            `None` for random weights, the control.
        image_size: Side of the images in pixels. Defaults to the table's.
        resolution: Side, in pixels, to which the model itself enlarges the
            images; `None` leaves them as they are. Small animals gain by it:
            Touvron et al. 2019, arXiv:1906.06423.

    Returns:
        A `keras.Model` from `(batch, image_size, image_size, 3)`, RGB in
        [0, 255], to `(batch, height, width, channels)`, frozen.

    Raises:
        ValueError: If there is no such base, or the weights do not fit.
        FileNotFoundError: If a file is missing.
        ConnectionError: If ImageNet weights cannot be downloaded.
    """
    path = SAMPLE_BASE if str(base) == "sample" else Path(base)
    if str(base) in BASES and BASES[str(base)].module:
        image_size = image_size or BASES[str(base)].image_size
        model = _build(str(base), weights, resolution or image_size)
    elif path.suffix == ".keras":
        model = _load(path, weights)
    else:
        raise ValueError(
            f"`base` must be one of {', '.join(BASES)} or the path of a "
            f".keras file. Received: {str(base)!r}"
        )
    if weights not in (None, "imagenet"):
        _load_weights(model, Path(weights))
    if resolution not in (None, image_size):
        model = _enlarging(model, image_size, resolution)
    model.trainable = False
    return model


def default_cut(base: str | Path) -> str | None:
    """Give the layer at which a base is cut unless told otherwise.

    Args:
        base: As for `load_base`.

    Returns:
        The table's cut; `None` for a saved model, whose frozen features alone
        are used.
    """
    return BASES[str(base)].cut if str(base) in BASES else None


def weights_name(base: str | Path, weights: str | Path | None) -> str:
    """Name a base's weights as results and plots show them.

    Args:
        base: As for `load_base`.
        weights: As for `load_base`.

    Returns:
        "random", "imagenet", "as saved" (in a base of one's own), or the
        file's name.
    """
    named = str(base) in BASES and BASES[str(base)].module
    if weights == "imagenet" and not named:
        return "as saved"
    return "random" if weights is None else Path(weights).name


def _build(base: str, weights, side: int):
    import keras

    inputs = keras.Input((side, side, 3), name="image")
    module = getattr(keras.applications, BASES[base].module)
    arguments = {"include_top": False, "input_tensor": None}
    arguments["input_tensor"] = module.preprocess_input(inputs)
    arguments["weights"] = "imagenet" if weights == "imagenet" else None
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # Keras's own download has no time-out
    try:
        model = getattr(keras.applications, base)(**arguments)
    except Exception as error:  # get_file raises a bare Exception
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(_no_weights(str(error))) from None
    finally:
        socket.setdefaulttimeout(timeout)
    return keras.Model(inputs, model.outputs[0], name=base.lower())


def _load(path: Path, weights):
    import keras

    if not path.is_file():
        raise FileNotFoundError(f"there is no saved base model at {path}")
    model = read_keras(path)
    shapes = model.inputs[0].shape, model.outputs[0].shape
    if len(shapes[0]) != 4 or shapes[0][-1] != 3 or len(shapes[1]) != 4:
        raise ValueError(
            f"{path.name} must turn RGB images into a feature map. Received: "
            f"a model from {shapes[0]} to {shapes[1]}"
        )
    # A loaded Sequential has called its layers several times: no graph to cut.
    copy = keras.models.clone_model(model)
    if weights is not None:
        copy.set_weights(model.get_weights())
    return copy


def _enlarging(model, image_size: int | None, resolution: int):
    """Copy a model, with a layer before its first that enlarges the images."""
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


def _load_weights(model, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file at {path}")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = first_line(error)
        raise ValueError(
            f"{path.name} does not fit {model.name} without its top: {reason}"
        ) from None


def _no_weights(reason: str) -> str:
    url = next(
        (w.rstrip(":") for w in reason.split() if w.startswith("http")), ""
    )
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    return (
        f"ImageNet weights could not be downloaded ({reason}). Put {url} at "
        f"{home / 'models' / url.rpartition('/')[2]} by hand, or set WEIGHTS "
        "to the path of a weights file, or to None for random weights"
    )
