"""KerasHub's backbones as bases: from raw RGB to a feature map."""

import numpy as np


def load_preset(preset: str, side: int, *, random: bool = False):
    """Load a backbone of KerasHub with its own preprocessing.

    Args:
        preset: As for `keras_hub.models.Backbone.from_preset`, such as
            "dinov2_small", "hf://timm/resnet50.a1_in1k", or a folder.
        side: Side of the images in pixels.
        random: Whether to leave the weights as they are drawn.

    Returns:
        A `keras.Model` from raw RGB in [0, 255] to `(batch, height, width,
        channels)`.

    Raises:
        ImportError: If KerasHub is not installed.
        ValueError: If there is no such preset, or it takes other images.
        ConnectionError: If it cannot be downloaded.
    """
    try:
        import keras_hub
    except ImportError:
        raise ImportError(
            f"the base hub:{preset} needs a package: pip install keras-hub"
        ) from None
    shape = {"image_shape": (side, side, 3)}
    converter = keras_hub.layers.ImageConverter.from_preset(preset)
    backbone = keras_hub.models.Backbone.from_preset(
        preset, load_weights=not random, **shape
    )
    return to_base(backbone, converter, side)


def to_base(backbone, converter, side: int):
    """Put a converter before a backbone, and lay its patches out as a map.

    Args:
        backbone: A `keras_hub.models.Backbone` for images of this side.
        converter: Its `ImageConverter`, whose scale and offset are used; the
            images have their size already.
        side: Side of the images in pixels.

    Returns:
        As `load_preset`.

    Raises:
        ValueError: If it gives neither a map nor tokens.
    """
    import keras

    inputs = keras.Input((side, side, 3), name="image")
    scale, offset = (
        np.broadcast_to(value, 3).tolist()
        for value in (converter.scale or 1.0, converter.offset or 0.0)
    )
    x = backbone(keras.layers.Rescaling(scale, offset)(inputs))
    if isinstance(x, dict):  # a pyramid: the last level is the deepest
        x = x[sorted(x)[-1]]
    if len(x.shape) == 3:  # tokens of the image, then those of its patches
        cells = side // int(np.max(backbone.patch_size))
        prefix = x.shape[1] - cells**2
        x = keras.layers.Cropping1D((prefix, 0))(x)
        x = keras.layers.Reshape((cells, cells, x.shape[-1]))(x)
    if len(x.shape) != 4:
        raise ValueError(
            "a base must give a feature map or tokens. Received: "
            f"{type(backbone).__name__} with the output {x.shape}"
        )
    return keras.Model(inputs, x, name=backbone.name)
