"""Pick the number format that this machine computes fastest in."""

from pathlib import Path


def best_precision() -> str:
    """Pick the compute dtype for frozen layers by what the processor does.

    Returns:
        "float32", "bfloat16" or "float16".
    """
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text().split() if cpu.is_file() else []
    fast = {"avx512_bf16", "amx_bf16"} & set(flags)
    return "bfloat16" if fast else "float32"
