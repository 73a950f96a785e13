"""The number formats that the hardware has, and models that compute in them."""

from pathlib import Path

import keras
from keras.layers import InputLayer

from catdog_helpers.machine.networks import copy_layers, leaves

GPU_TENSOR_CORES = {8: "bfloat16", 7: "float16"}  # by compute capability
CPU_FLAGS = {"avx512_bf16", "amx_bf16"}  # as Linux names them


def formats() -> list[str]:
    """Return the number formats that may be the fastest on this machine.

    Which one is the fastest depends on the model as well: see
    `catdog_helpers.machine.engine`.

    Returns:
        "float32"; with a GPU, also the 16-bit format of its tensor cores:
        bfloat16 from compute capability 8.0 (Ampere), float16 from 7.0
        (Volta; the T4 has 7.5); on a CPU with AVX512-BF16 or AMX, bfloat16
        under TensorFlow, whose oneDNN uses them.
    """
    if capability := gpu_capability():
        fast = (f for k, f in GPU_TENSOR_CORES.items() if k <= capability)
        return ["float32", *list(fast)[:1]]
    if keras.backend.backend() == "tensorflow" and CPU_FLAGS & {
        *cpu_info().split()
    }:
        return ["float32", "bfloat16"]
    return ["float32"]


def with_precision(model: keras.Model, precision: str):
    """Copy a model to one that computes in another precision.

    Weights stay float32, and so do probabilities: the softmax at the end.

    Args:
        model: A functional or sequential `keras.Model`.
        precision: "float32", "bfloat16" or "float16".

    Returns:
        An uncompiled copy, with the same weights and layer names; the model
        itself if it computes so already.

    Raises:
        ValueError: If there is no such precision.
    """
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(
            "`precision` must be float32, bfloat16 or float16. "
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
    if precision == "float16":  # `compile` then scales the loss: small
        copy.dtype_policy = policy  # gradients would be zero
    return copy


def cpu_info() -> str:
    """Return what Linux knows of the processor; empty on other systems."""
    info = Path("/proc/cpuinfo")
    return info.read_text() if info.is_file() else ""


def gpu_capability() -> int:
    """Return the first GPU's compute capability, its whole part; else 0."""
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
    except (KeyError, ValueError):  # a GPU of another maker says nothing
        return 0
