"""List the layers of a model, and copy a model with changed layers."""

from collections.abc import Callable, Iterator

import keras


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
