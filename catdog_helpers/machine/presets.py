"""KerasHub's backbones as bases: from raw RGB to a feature map."""

import numpy as np

HUB = "hub:"  # before the name of a preset of KerasHub


def load_preset(base: str, side: int | None = None, *, random: bool = False):
    """Load a backbone of KerasHub with its own preprocessing.

    Args:
        base: "hub:" and a preset for `Backbone.from_preset`, such as
            "hub:dinov2_small", "hub:hf://timm/resnet50.a1_in1k"; or a folder.
        side: Side of the images in pixels. Defaults to the preset's; few
            transformers take another.
        random: Whether to leave the weights as they are drawn.

    Returns:
        A `keras.Model` from raw RGB in [0, 255] to `(batch, height, width,
        channels)`.

    Raises:
        ImportError: If KerasHub is not installed.
        ValueError: If the backbone gives no feature map.
    """
    try:
        import keras_hub
    except ImportError:
        raise ImportError(
            f"the base {base} needs a package: pip install keras-hub"
        ) from None
    preset = base.removeprefix(HUB)
    other = {"image_shape": (side, side, 3)} if side else {}
    converter = keras_hub.layers.ImageConverter.from_preset(preset)
    backbone = keras_hub.models.Backbone.from_preset(
        preset, load_weights=not random, **other
    )
    return to_base(backbone, converter)


def to_base(backbone, converter):
    """Put a converter before a backbone, and lay its patches out as a map.

    Args:
        backbone: A `keras_hub.models.Backbone`.
        converter: Its `ImageConverter`, of which scale and offset are used:
            the images have their size already.

    Returns:
        As `load_preset`.

    Raises:
        ValueError: As `load_preset`.
    """
    import keras

    shape = backbone.inputs[0].shape[1:]
    inputs = keras.Input(shape, name="image")
    given = (converter.scale, 1.0), (converter.offset, 0.0)
    scale, offset = (
        np.broadcast_to(usual if value is None else value, 3).tolist()
        for value, usual in given
    )
    x = keras.layers.Rescaling(scale, offset)(inputs)
    named = isinstance(backbone.input, dict)
    x = backbone(dict.fromkeys(backbone.input, x) if named else x)
    if len(x.shape) == 3:  # tokens of the whole image, then one for each patch
        cells = shape[0] // int(np.max(backbone.patch_size))
        x = keras.layers.Cropping1D((x.shape[1] - cells**2, 0))(x)
        x = keras.layers.Reshape((cells, cells, x.shape[-1]))(x)
    if len(x.shape) != 4:
        raise ValueError(
            "a base must give a feature map or tokens. Received: "
            f"{type(backbone).__name__} with the output {x.shape}"
        )
    return keras.Model(inputs, x, name=backbone.name)
