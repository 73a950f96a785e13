"""Run a frozen model once over the images and keep what it gives."""

import hashlib
import json
import math
import os
import random
import time
from pathlib import Path

import keras
import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from catdog_helpers.data.manifest import provenance
from catdog_helpers.guards import check_raw_rgb
from catdog_helpers.machine.devices import (
    all_devices,
    n_devices,
    run_batch,
    spread,
)
from catdog_helpers.machine.failures import explain_memory
from catdog_helpers.machine.files import require_space, write_json
from catdog_helpers.machine.persist import backup
from catdog_helpers.machine.precision import best_precision, with_precision
from catdog_helpers.saving import weights_sha256

VERSION = 2  # raise it when the same model and images would give others


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
    """Run a frozen model over images, or take what is on disk from last time.

    The result is kept beside the images, under a name that is a hash of all
    that it depends on: images, rows, layers, weights, mirroring, precision,
    dtype. What is computed anew says which of these changed.

    Args:
        model: A frozen `keras.Model`.
        images: Memory-mapped array of shape `(n, ...)`: prepared images, or
            features that this function returned.
        rows: Which of the n to run, in rising order.
        name: What to call the file.
        mirrored: Flip the images left to right first.
        batch_size: Images at a time; changes only speed and memory.
        dtype: Of the file. "float16" halves it.
        precision: To compute in; `None` for `best_precision`.

    Returns:
        Memory-mapped array of shape `(n, ...)`: row i belongs to `images[i]`.
        Rows that were not asked for are zero and take no room on most disks.

    Raises:
        ValueError: If images are not raw RGB, or a feature is too large for
            `dtype`, or all are too small.
        OSError: If the disk is too full.
    """
    if images.shape[3:] == (3,):
        check_raw_rgb(images[rows[:8]])
    precision = precision or best_precision(model)
    parts = {
        "images": provenance(images)["key"],
        "rows": _sha256(np.asarray(rows, dtype=np.int64).tobytes()),
        "weights": weights_sha256(model),
        "layers": layers_key(model),
        "mirrored": mirrored,
        "precision": precision,
        "dtype": dtype,
        "version": VERSION,
    }
    key = _sha256(json.dumps(parts).encode())
    folder = Path(images.filename).parent
    folder = folder if folder.name == "features" else folder / "features"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{key[:16]}.npy"
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            start = time.perf_counter()
            bar = f"extract {name}, {precision}{_changed(folder, name, parts)}"
            options = {"mirrored": mirrored, "batch_size": batch_size}
            partial = path.with_suffix(".partial")
            with explain_memory(batch_size), all_devices():
                fast = _fast(model, precision)
                _run(fast, images, rows, partial, dtype, bar=bar, **options)
            seconds = time.perf_counter() - start
            record = {"key": key, "parts": parts, "seconds": seconds}
            write_json(path.with_suffix(".json"), record)
            os.replace(partial, path)
            backup(folder.parents[2])
    return np.load(path, mmap_mode="r")


def _fast(model, precision: str):
    """Copy a model for speed, and leave the random state as it was.

    A copy's layers draw seeds; what is trained next must not depend on it.
    """
    state = random.getstate()
    fast = with_precision(model, precision)
    fast = spread(fast) if n_devices() > 1 else fast
    random.setstate(state)
    return fast


def _run(
    model, images, rows, partial, dtype, *, mirrored, batch_size, bar
) -> None:
    # The model may take images of any size: its own output has no shape then.
    shape = model.compute_output_shape((len(images), *images.shape[1:]))
    needed = len(rows) * math.prod(shape[1:]) * np.dtype(dtype).itemsize
    require_space(partial.parent, needed)
    out = np.lib.format.open_memmap(partial, "w+", dtype, shape)
    step = batch_size * n_devices()
    for first in tqdm(range(0, len(rows), step), bar, unit=" batches"):
        batch = rows[first : first + step]
        x = images[batch].astype(np.float32)
        x = run_batch(model, x[:, :, ::-1] if mirrored else x)
        x = x.astype(np.float32)  # NumPy has no bfloat16 of its own
        try:
            out[batch] = as_dtype(x, dtype)
        except ValueError:
            partial.unlink()
            raise
    out.flush()


def as_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Store features in fewer bits; raise ValueError if they do not fit."""
    with np.errstate(over="ignore"):
        stored = x.astype(dtype)
    if not np.isfinite(stored).all() or x.any() and not stored.any():
        raise ValueError(
            f"features of up to {np.abs(x).max():.3g} do not fit "
            f"{stored.dtype}: use dtype='float32' (random weights: notebook 06)"
        )
    return stored


def layers_key(model) -> str:
    """Hash what a model's layers compute, but for their weights."""
    return _sha256(json.dumps(_layers(model)).encode())


def _layers(model) -> list:
    """What the layers compute, but for their weights and made-up names."""
    unimportant = {"name", "dtype", "trainable"}
    unimportant |= {"kernel_initializer", "bias_initializer"}
    found = []
    for layer in getattr(model, "operations", model.layers):
        if getattr(layer, "layers", None):
            found += _layers(layer)
        elif isinstance(layer, keras.Layer):
            config = layer.get_config().items()
            config = [item for item in config if item[0] not in unimportant]
            found.append([type(layer).__name__, repr(config)])
        else:
            found.append(type(layer).__name__)
    return found


def _changed(folder: Path, name: str, parts: dict) -> str:
    """Say what differs from the newest features of that name."""
    keys = f"{name}-{'[0-9a-f]' * 16}.json"
    records = sorted(folder.glob(keys), key=os.path.getmtime)
    if not records:
        return ""
    old = json.loads(records[-1].read_text())["parts"]
    changed = [part for part in parts if old.get(part) != parts[part]]
    return f" (changed: {', '.join(changed)})" if changed else ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
