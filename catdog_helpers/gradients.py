"""The gradient of a number, by whichever framework Keras runs on."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops


def value_and_gradient(
    function: Callable,
) -> Callable[..., tuple[float, np.ndarray]]:
    """Make a function give its gradient along with its value.

    Args:
        function: From one or more float32 tensors to a scalar tensor, written
            with `keras.ops`, layers and models (call these with
            `training=False`). For a batch of images it should be the sum of
            their scores: each image's part is then its own gradient.

    Returns:
        A function of arrays to the value and its gradient with respect to
        the first array, of that array's shape. It is compiled at its first
        call with each shape, where the framework can: make it once, call it
        often.

    Raises:
        NotImplementedError: If Keras runs on a framework without gradients.
    """
    backend = keras.backend.backend()
    if backend not in _WITH_GRADIENT:
        raise NotImplementedError(
            f"gradients need one of the backends {', '.join(_WITH_GRADIENT)}. "
            f"Received: KERAS_BACKEND={backend}"
        )
    run = _WITH_GRADIENT[backend](function)

    def both(*arrays):
        # Tensors: an array would be a constant to tf.function, compiled anew
        tensors = [ops.convert_to_tensor(a, dtype="float32") for a in arrays]
        value, gradient = run(*tensors)
        return float(value), ops.convert_to_numpy(gradient)

    return both


def _tensorflow(function):
    import tensorflow as tf

    @tf.function
    def run(x, *others):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x, *others)
        return value, tape.gradient(value, x)

    return run


def _jax(function):
    import jax

    return jax.jit(jax.value_and_grad(function))


def _torch(function):
    import torch

    def run(x, *others):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = function(x, *others)
        return value.detach(), torch.autograd.grad(value, x)[0]

    return run


_WITH_GRADIENT = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
