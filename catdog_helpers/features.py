"""Run a frozen model once over the images and store its features."""

import hashlib
import json
import math
import os
import random
import time
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from catdog_helpers.data.manifest import provenance
from catdog_helpers.machine.devices import (
    for_training,
    n_devices,
    run_batch,
    use_devices,
)
from catdog_helpers.machine.failures import explain_memory
from catdog_helpers.machine.files import (
    delete_partial_files,
    read_json,
    replacing,
    require_space,
    write_json,
)
from catdog_helpers.machine.networks import layers_key, weights_sha256
from catdog_helpers.machine.persist import backup
from catdog_helpers.machine.precision import best_precision

VERSION = 2  # to be raised when the same model and images give other features


def extract_features(
    model,
    images: np.ndarray,
    rows: np.ndarray,
    *,
    name: str,
    mirrored: bool = False,
    batch_size: int = 32,
    dtype: str = "float16",
    precision: str | None = None,
) -> np.ndarray:
    """Run a frozen model over images, or read the features from disk.

    They are stored beside the images, in a file named after the hash of all
    that they depend on: images, rows, layers, weights, mirroring, precision,
    dtype. If they are computed again, the progress bar says which of these
    has changed.

    Args:
        model: A frozen `keras.Model`.
        images: Memory-mapped array of shape `(n, ...)`: prepared images, or
            features that this function returned.
        rows: Which of the n images to run, in rising order.
        name: The beginning of the file's name.
        mirrored: Whether to flip the images left to right first.
        batch_size: Images at a time; changes only speed and memory.
        dtype: The number format of the file; "float16" halves its size.
        precision: The number format to compute in; `None` for
            `best_precision`.

    Returns:
        Memory-mapped array of shape `(n, ...)`: row i belongs to `images[i]`.
        All other rows are zero and take no space on most disks.

    Raises:
        ValueError: If images are not raw RGB, or a feature is too large for
            `dtype`, or all are too small.
        OSError: If the disk is too full.
    """
    if images.shape[3:] == (3,):
        check_raw_rgb(images[rows[:8]])
    precision = precision or best_precision(model)
    options = {"mirrored": mirrored, "precision": precision, "dtype": dtype}
    parts = _parts(model, images, rows) | options | {"version": VERSION}
    key = _sha256(json.dumps(parts).encode())
    folder = Path(images.filename).parent
    folder = folder if folder.name == "features" else folder / "features"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{key[:16]}.npy"
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            delete_partial_files(folder, 0, path.stem)  # of a killed run
            start = time.perf_counter()
            bar = f"extract {name}, {precision}{_changed(folder, name, parts)}"
            with replacing(path) as partial, explain_memory(batch_size):
                steps = {"batch_size": batch_size, "bar": bar}
                _run(model, images, rows, partial, **steps, **options)
                seconds = time.perf_counter() - start
                record = {"key": key, "parts": parts, "seconds": seconds}
                write_json(path.with_suffix(".json"), record)
            backup(folder.parents[2])
    return np.load(path, mmap_mode="r")


def check_raw_rgb(images: np.ndarray) -> None:
    """Check that images are raw, as a base with its own preprocessing needs.

    Args:
        images: Some images, shape `(n, height, width, 3)`. Integers pass;
            floats must look like RGB in [0, 255].

    Raises:
        ValueError: If they were divided by 255 or preprocessed already.
    """
    if np.issubdtype(images.dtype, np.integer):
        return
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and 1.5 < high <= 255):
        raise ValueError(
            "images must be raw RGB in [0, 255], as the base has its "
            "preprocessing inside: do not divide or preprocess them. "
            f"Received: values from {low:.3g} to {high:.3g}"
        )


def _parts(model, images, rows) -> dict:
    """Return hashes of what features depend on, apart from the options."""
    return {
        "images": provenance(images)["key"],
        "rows": _sha256(np.asarray(rows, dtype=np.int64).tobytes()),
        "weights": weights_sha256(model),
        "layers": layers_key(model),
    }


def _run(
    model, images, rows, path, *, batch_size, bar, mirrored, precision, dtype
) -> None:
    """Write the features of some rows to a new file, whose others are zero."""
    try:
        fast = _copy_for_speed(model, precision)
        # The model may take images of any size; its output then has no shape.
        shape = fast.compute_output_shape((len(images), *images.shape[1:]))
        needed = len(rows) * math.prod(shape[1:]) * np.dtype(dtype).itemsize
        require_space(path.parent, needed)
        out = np.lib.format.open_memmap(path, "w+", dtype, shape)
        step = batch_size * n_devices()
        for first in tqdm(range(0, len(rows), step), bar, unit=" batches"):
            batch = rows[first : first + step]
            x = images[batch].astype(np.float32)
            y = run_batch(fast, x[:, :, ::-1] if mirrored else x)
            # NumPy has no bfloat16 of its own.
            out[batch] = as_dtype(y.astype(np.float32), dtype)
        out.flush()
    finally:
        use_devices(None)


def _copy_for_speed(model, precision: str):
    """Copy a model to the fastest format and leave the random state as it was.

    The layers of a copy draw seeds; later trainings must not depend on them.
    """
    state = random.getstate()
    fast = for_training(model, precision)
    random.setstate(state)
    return fast


def as_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Convert features to `dtype`, or raise ValueError if they do not fit."""
    with np.errstate(over="ignore"):
        stored = x.astype(dtype)
    if not np.isfinite(stored).all() or x.any() and not stored.any():
        raise ValueError(
            f"features of up to {np.abs(x).max():.3g} do not fit "
            f"{stored.dtype}: use dtype='float32' (random weights: notebook 06)"
        )
    return stored


def _changed(folder: Path, name: str, parts: dict) -> str:
    """Return what differs from the newest features of that name, as text."""
    keys = f"{name}-{'[0-9a-f]' * 16}.json"
    records = sorted(folder.glob(keys), key=os.path.getmtime)
    if not records:
        return ""
    old = read_json(records[-1]).get("parts", {})
    changed = [part for part in parts if old.get(part) != parts[part]]
    return f" (changed: {', '.join(changed)})" if changed else ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
