"""Say in one line what stopped a long computation, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

# TensorFlow and JAX say RESOURCE_EXHAUSTED, PyTorch "out of memory".
SIGNS = ("resource_exhausted", "resourceexhausted", "out of memory")
SIGNS += ("can't allocate memory",)  # PyTorch on a CPU


@contextmanager
def explain_memory(batch_size: int) -> Iterator[None]:
    """Turn any framework's "out of memory" into one line with a way out.

    Args:
        batch_size: What the computation inside the `with` block used.

    Raises:
        MemoryError: In place of what the framework raised.
    """
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__} {error}".lower()
        known = isinstance(error, MemoryError)
        if not (known or any(sign in text for sign in SIGNS)):
            raise
        half = max(1, batch_size // 2)
        raise MemoryError(
            f"out of memory with {batch_size} images at a time: try "
            f"a batch size of {half}, or smaller images. What is on disk "
            "already is used again"
        ) from None


def first_line(error: Exception) -> str:
    """Give an error's first line, or its kind if it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
