"""Compute in the number format that is fastest on this hardware."""

import os
from pathlib import Path

import keras
from keras.layers import InputLayer

from catdog_helpers.machine.networks import copy_layers, leaves

GPU_TENSOR_CORES = {8: "bfloat16", 7: "float16"}  # by compute capability
CPU_FLAGS = {"avx512_bf16", "amx_bf16"}  # as Linux names them


def best_precision(model: keras.Model | None = None) -> str:
    """Return the precision that this machine computes fastest in.

    GPUs: bfloat16 from compute capability 8.0 (Ampere), float16 from 7.0
    (Volta; the T4 has 7.5), whose tensor cores support them. CPUs: bfloat16
    with AVX512-BF16 or AMX under TensorFlow, whose oneDNN uses them. On such
    a CPU it doubled the speed of VGG16 but reduced that of MobileNetV2, since
    there is no fast depthwise convolution in bfloat16.

    Args:
        model: The model to run; `None` stands for one without depthwise
            convolutions.

    Returns:
        What `use_backend` was told, else "float32", "bfloat16" or "float16".
    """
    if chosen := os.environ.get("CATDOG_PRECISION"):
        return chosen
    capability = _gpu_capability()
    if capability:
        known = (f for k, f in GPU_TENSOR_CORES.items() if k <= capability)
        return next(known, "float32")
    fast = keras.backend.backend() == "tensorflow" and _cpu_has_bfloat16()
    return "bfloat16" if fast and not _is_depthwise(model) else "float32"


def with_precision(model: keras.Model, precision: str | None = None):
    """Copy a model so that it computes in another precision.

    Weights remain float32, and so does the softmax at the end.

    Args:
        model: A functional or sequential `keras.Model`.
        precision: "float32", "bfloat16", "float16", or `None` for
            `best_precision`.

    Returns:
        An uncompiled copy, with the same weights and layer names; the model
        itself if it already computes in this precision.

    Raises:
        ValueError: If there is no such precision.
    """
    precision = precision or best_precision(model)
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(
            "`precision` must be float32, bfloat16, float16 or None. "
            f"Received: {precision!r}"
        )
    policy = precision if precision == "float32" else f"mixed_{precision}"

    def wanted(layer) -> str:
        softmax = layer.get_config().get("activation") == "softmax"
        return "float32" if softmax else policy

    computing = [x for x in leaves(model) if not isinstance(x, InputLayer)]
    if all(layer.dtype_policy.name == wanted(layer) for layer in computing):
        return model
    copy = copy_layers(model, lambda layer: {"dtype": wanted(layer)})
    if precision == "float16":
        # `compile` then scales the loss; small gradients would become zero.
        copy.dtype_policy = policy
    return copy


def _is_depthwise(model) -> bool:
    """Return whether a model has depthwise or grouped convolutions."""
    slow = (keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    found = leaves(model) if model is not None else ()
    return any(
        isinstance(layer, slow) or getattr(layer, "groups", 1) > 1
        for layer in found
    )


def _cpu_has_bfloat16() -> bool:
    """Return whether Linux lists instructions for bfloat16."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and bool(CPU_FLAGS & set(info.read_text().split()))


def _gpu_capability() -> int:
    """Return the integer part of the first GPU's compute capability, or 0."""
    backend = keras.backend.backend()
    try:
        if backend == "tensorflow":
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
            details = tf.config.experimental.get_device_details
            found = details(gpus[0])["compute_capability"][0] if gpus else 0
        elif backend == "torch":
            import torch

            here = torch.cuda.is_available()
            found = torch.cuda.get_device_capability()[0] if here else 0
        else:
            import jax

            device = jax.devices()[0]
            found = getattr(device, "compute_capability", "0").split(".")[0]
        return int(found)
    except (KeyError, ValueError):  # GPUs of other makers have none
        return 0
