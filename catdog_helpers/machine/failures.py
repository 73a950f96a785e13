"""Report in one line what went wrong, in text that can be printed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

# TensorFlow and JAX say RESOURCE_EXHAUSTED, PyTorch "out of memory".
SIGNS = ("resource_exhausted", "resourceexhausted", "out of memory")
SIGNS += ("can't allocate memory",)  # PyTorch on a CPU
# What could forge a line, move the cursor or turn the text around: control
# characters, line separators, and marks of the direction of writing.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@contextmanager
def explain_memory(batch_size: int) -> Iterator[None]:
    """Turn any framework's "out of memory" into one line with a way out."""
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
            f"`batch_size` {half}, or smaller images. What is on disk "
            "already is used again"
        ) from None


def first_line(error: Exception) -> str:
    """Return an error's first line, or its type if it has no text."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def printable(name: str) -> str:
    """Return a file's name with escapes for bytes that are not UTF-8."""
    try:
        raw = os.fsencode(name)
    except UnicodeEncodeError:  # not a name that this file system could have
        raw = name.encode("utf-8", "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def one_line(text: object) -> str:
    """Return text with escapes for what would not stay on its line."""
    return CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode(), str(text)
    )
