"""Pretrained convolutional bases that take raw RGB."""

import socket
from pathlib import Path
from typing import NamedTuple

from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.networks import read_keras, with_resizing
from catdog_helpers.machine.presets import HUB, load_preset

SAMPLE_BASE = Path(__file__).parent / "data/sample/narrow_vgg16.keras"
DEFAULT_SIZE = 192  # pixels, for a saved base that takes images of any size


class Base(NamedTuple):
    """A row of the table: all that differs between bases."""

    module: str  # of keras.applications; has the base's preprocess_input
    image_size: int  # a good side in pixels for cats and dogs
    cut: str  # layer whose output the opened part starts from


# The last block (or stage) lies behind the cut. ".input" is used where the
# layer before the cut has no fixed name.
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
    # VGG16 at one eighth of its width, trained on drawings: for the sample
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

    Its own preprocessing is part of the model, so that it cannot be forgotten
    or confused with another's.

    Args:
        base: A name in `BASES`, or the path of a saved Keras model from raw
            RGB in [0, 255] to a feature map, or "hub:" and the preset of a
            backbone of KerasHub, which enlarges the images to its own size.
        weights: "imagenet" (downloaded by Keras; for a saved model and for
            "sample" the weights it was saved with), the path of a weights
            file, or `None` for random weights, the control.
        image_size: Side of the images in pixels. Defaults to that of the
            saved model or of the table.
        resolution: Side, in pixels, to which the model enlarges the images;
            `None` leaves them as they are. It helps with small animals:
            Touvron et al. 2019, arXiv:1906.06423.

    Returns:
        A `keras.Model` from `(batch, image_size, image_size, 3)`, RGB in
        [0, 255], to `(batch, height, width, channels)`, frozen.

    Raises:
        ValueError: If there is no such base, the weights do not fit, or a
            saved model takes images of another size.
        FileNotFoundError: If a file is missing.
        ConnectionError: If ImageNet weights cannot be downloaded.
        ImportError: If KerasHub is needed and not installed.
    """
    path = SAMPLE_BASE if str(base) == "sample" else Path(base)
    if str(base) in BASES and BASES[str(base)].module:
        image_size = image_size or BASES[str(base)].image_size
        model = _build(str(base), weights, resolution or image_size)
    elif str(base).startswith(HUB):
        model = load_preset(str(base), resolution, random=weights is None)
        resolution = model.input_shape[1] or resolution
        image_size = image_size or resolution
    elif path.suffix == ".keras":
        model = _load(path, weights)
    else:
        raise ValueError(
            f"`base` must be one of {', '.join(BASES)}, hub: and the name of a "
            f"preset, or the path of a .keras file. Received: {str(base)!r}"
        )
    if weights not in (None, "imagenet"):
        _load_weights(model, Path(weights))
    _check_size(model, path.name, resolution or image_size)
    if resolution not in (None, image_size):
        model = with_resizing(model, image_size, resolution)
    model.trainable = False
    return model


def default_cut(base: str | Path) -> str | None:
    """Return the layer at which a base is usually cut.

    Args:
        base: As for `load_base`.

    Returns:
        The table's cut; `None` for a saved model, of which only the frozen
        features are used.
    """
    return BASES[str(base)].cut if str(base) in BASES else None


def weights_name(base: str | Path, weights: str | Path | None) -> str:
    """Return the name of a base's weights for results and plots.

    Args:
        base: As for `load_base`.
        weights: As for `load_base`.

    Returns:
        "random", "imagenet", "as saved" (for a saved model), or the file's
        name.
    """
    named = str(base) in BASES and BASES[str(base)].module
    if weights == "imagenet" and not named:
        return "as saved"
    return "random" if weights is None else Path(weights).name


def _build(base: str, weights, side: int):
    """Build a base of `keras.applications` with its preprocessing."""
    import keras

    inputs = keras.Input((side, side, 3), name="image")
    module = getattr(keras.applications, BASES[base].module)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)  # Keras's own download has no time-out
    try:
        model = getattr(keras.applications, base)(
            include_top=False,
            input_tensor=module.preprocess_input(inputs),
            weights="imagenet" if weights == "imagenet" else None,
        )
    except Exception as error:  # get_file raises a bare Exception
        if "URL fetch failure" not in str(error):
            raise
        raise ConnectionError(
            f"ImageNet weights could not be downloaded ({error}). Set WEIGHTS "
            "to the path of a weights file, or to None for random weights"
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
    return keras.Model(inputs, model.outputs[0], name=base.lower())


def _load(path: Path, weights):
    """Load a saved base; without `weights`, its own are replaced at random."""
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
    # A loaded Sequential has called its layers several times, and such a
    # graph cannot be cut.
    copy = keras.models.clone_model(model)
    if weights is not None:
        copy.set_weights(model.get_weights())
    return copy


def _check_size(model, name: str, side: int | None) -> None:
    """Raise ValueError if a saved model takes images of another size only."""
    fixed = model.input_shape[1:3]
    if side and any(n not in (None, side) for n in fixed):
        raise ValueError(
            f"{name} takes images of {fixed[0]} x {fixed[1]} pixels only: set "
            f"IMAGE_SIZE or RESOLUTION to that. Received: {side}"
        )


def _load_weights(model, path: Path) -> None:
    """Load a weights file, or raise an error of one line."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file at {path}")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = first_line(error)
        raise ValueError(
            f"{path.name} does not fit {model.name} without its top: {reason}"
        ) from None
