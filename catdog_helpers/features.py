"""Run a frozen model once over the images and store its features."""

import hashlib
import json
import math
import os
import time
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from catdog_helpers.data.manifest import provenance
from catdog_helpers.machine.devices import (
    devices_told,
    n_devices,
    on_devices,
    use_devices,
)
from catdog_helpers.machine.engine import (
    choices,
    choose,
    figures,
    open_engine,
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
from catdog_helpers.machine.trials import same_random_state

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
        precision: One of `catdog_helpers.machine.engine.choices`: a number
            format, or "openvino". `None` takes what is stored, or else what
            a trial with this model shows to be the fastest here.

    Returns:
        Memory-mapped array of shape `(n, ...)`: row i belongs to `images[i]`.
        All other rows are zero and take no space on most disks.

    Raises:
        ValueError: If the images are not such an array, e.g. because they
            were divided by 255, which the base does itself; if a feature is
            too large for `dtype`, or all are too small.
        OSError: If the disk is too full.
    """
    same = _parts(model, images, rows) | {"mirrored": mirrored}
    folder = Path(images.filename).parent
    folder = folder if folder.name == "features" else folder / "features"
    folder.mkdir(exist_ok=True)
    place = partial(_place, folder, name, same, dtype)
    x = images[rows[:batch_size]].astype(np.float32)
    stored = [option for option in choices() if place(option)[0].is_file()]
    precision = precision or next(iter(stored), None)
    precision = precision or choose(model, x, len(rows), same["layers"])
    path, parts = place(precision)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            delete_partial_files(folder, 0, path.stem)  # of a killed run
            start = time.perf_counter()
            bar = f"extract {name}, {figures(same['layers'], x) or precision}"
            bar += _changed(folder, name, parts)
            with replacing(path) as new, explain_memory(batch_size):
                with same_random_state():
                    fast = on_devices(model, devices_told())
                    run = open_engine(fast, precision, x)
                batches = _batches(images, rows, batch_size, bar, mirrored)
                _run(model, run, images, batches, rows, new, dtype)
                seconds = time.perf_counter() - start
                record = {"key": _key(parts), "parts": parts}
                record["seconds"] = seconds
                write_json(path.with_suffix(".json"), record)
            backup(folder.parents[2])
    return np.load(path, mmap_mode="r")


def _parts(model, images, rows) -> dict:
    """Return hashes of what features depend on, apart from the options."""
    return {
        "images": provenance(images)["key"],
        "rows": _sha256(np.asarray(rows, dtype=np.int64).tobytes()),
        "weights": weights_sha256(model),
        "layers": layers_key(model),
    }


def _place(folder, name, same, dtype, precision: str) -> tuple[Path, dict]:
    """Return the file of features and all that they depend on."""
    kind = {"precision": precision, "dtype": dtype, "version": VERSION}
    parts = same | kind
    return folder / f"{name}-{_key(parts)[:16]}.npy", parts


def _key(parts: dict) -> str:
    return _sha256(json.dumps(parts).encode())


def _batches(images, rows, batch_size: int, bar: str, mirrored: bool):
    """Yield row numbers and inputs of each batch, with a progress bar."""
    step = batch_size * n_devices()
    for first in tqdm(range(0, len(rows), step), bar, unit=" batches"):
        batch = rows[first : first + step]
        x = images[batch].astype(np.float32)
        yield batch, x[:, :, ::-1] if mirrored else x


def _run(model, run, images, batches, rows, path: Path, dtype: str) -> None:
    """Write the features of some rows to a new file, whose others are zero."""
    try:
        # The model may take images of any size; its output then has no shape.
        shape = model.compute_output_shape((len(images), *images.shape[1:]))
        needed = len(rows) * math.prod(shape[1:]) * np.dtype(dtype).itemsize
        require_space(path.parent, needed)
        out = np.lib.format.open_memmap(path, "w+", dtype, shape)
        for batch, x in batches:
            (y,) = run(x)
            # NumPy has no bfloat16 of its own.
            out[batch] = as_dtype(y.astype(np.float32), dtype)
        out.flush()
    finally:
        use_devices(None)


def as_dtype(x: np.ndarray, dtype: str) -> np.ndarray:
    """Convert features to `dtype`, or raise ValueError if they do not fit."""
    with np.errstate(over="ignore"):
        stored = x.astype(dtype)
    if not np.isfinite(stored).all() or x.any() and not stored.any():
        raise ValueError(
            f"features of up to {np.abs(x).max():.3g} do not fit "
            f"{stored.dtype}: use dtype='float32' (random weights: notebook 08)"
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
