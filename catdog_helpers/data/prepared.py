"""Prepare a folder of photographs: decode each once, list what was found."""

import hashlib
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from tqdm.contrib.concurrent import thread_map

from catdog_helpers.data.copies import difference_hash, find_copies
from catdog_helpers.data.images import (
    DECODER,
    open_image,
    read_bytes,
    to_square,
)
from catdog_helpers.data.layout import index_images
from catdog_helpers.data.manifest import (
    images_key,
    read_manifest,
    write_manifest,
)
from catdog_helpers.machine.files import read_json, require_space, write_json

MAX_THREADS = 8


def prepare(
    folder: str | Path,
    dataset_dir: str | Path,
    image_size: int,
    *,
    workers: int | None = None,
) -> tuple[np.ndarray, pd.DataFrame]:
    """Decode every photograph once into one memory-mapped array.

    Nothing in `folder` is changed. The result is kept in
    `dataset_dir/prepared_<image_size>px` and used again until a file of the
    folder changes; the next call removes what a killed one left there.

    Args:
        folder: Where the photographs are, one folder per class.
        dataset_dir: Where the prepared data goes.
        image_size: Side of the square images in pixels.
        workers: Number of decoding threads, at most 8. Defaults to one per
            core. Large pictures wait for one another, whatever the number.

    Returns:
        images: Memory-mapped array of shape `(n, image_size, image_size, 3)`,
            `uint8`, one image per file (black where `status` is "rejected").
        manifest: One row per file, in the same order: `path`, `class`,
            `sha256`, `width`, `height`, `format`, `mode`, `status` ("ok" or
            "rejected"), `reason`, `group` (row of the first of its near
            copies), `duplicate` (of the first nearly identical picture) and
            `given_split`.

    Raises:
        ValueError: If the folder has no usable layout.
        OSError: If the disk is too full.
    """
    folder, dataset_dir = Path(folder), Path(dataset_dir)
    files = index_images(folder)
    listing = _listing(folder, files)
    target = dataset_dir / f"prepared_{image_size}px"
    dataset_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        old = read_json(target / "images.json")
        if not (target / "images.npy").is_file():
            old = {}  # damaged, and done again
        same_code = old.get("version") == DECODER
        if old.get("listing") == listing:
            pass
        elif same_code and _same(folder, files, target):
            write_json(target / "images.json", old | {"listing": listing})
        else:
            for leftover in dataset_dir.glob(f"{target.name}.partial-*"):
                shutil.rmtree(leftover)
            # Writing to a memory map on a full disk kills the process.
            require_space(dataset_dir, len(files) * image_size**2 * 3)
            partial = Path(f"{target}.partial-{uuid.uuid4().hex[:8]}")
            partial.mkdir()
            why = "files" if same_code else "code version"
            title = f"decode (changed: {why})" if old else "decode"
            manifest = _decode_all(
                folder, files, partial, image_size, workers, title
            )
            write_manifest(manifest, partial / "manifest.csv")
            key = images_key(manifest, image_size)
            record = {"listing": listing, "key": key, "version": DECODER}
            write_json(partial / "images.json", record)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
    images = np.load(target / "images.npy", mmap_mode="r")
    return images, read_manifest(target / "manifest.csv")


def _decode_all(folder, files, partial, image_size, workers, title):
    shape = (len(files), image_size, image_size, 3)
    images = np.lib.format.open_memmap(
        partial / "images.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    images = np.asarray(images)  # indexing a plain array is quicker

    def decode(row: int) -> dict:
        return decode_one(folder / files.path[row], images, row)

    # Threads are enough: Pillow and hashlib work without holding the GIL.
    n_threads = min(workers or os.cpu_count() or 1, MAX_THREADS)
    rows = thread_map(
        decode, range(len(files)), max_workers=n_threads, desc=title
    )
    manifest = files.rename(columns={"split": "given_split"})
    manifest = manifest.join(pd.DataFrame(rows, index=manifest.index))
    hashes = manifest.pop("hash").to_numpy(dtype=np.uint64)
    sound = np.flatnonzero(manifest.status == "ok")
    group, duplicate = find_copies(images, sound, hashes)
    return manifest.assign(group=group, duplicate=duplicate)


def decode_one(path, images: np.ndarray, row: int, read=read_bytes) -> dict:
    """Decode what `read(path)` returns into a row; return what was found."""
    found = dict.fromkeys(("width", "height", "hash"), 0) | {"status": "ok"}
    found |= dict.fromkeys(("sha256", "format", "mode", "reason"), "")
    try:
        data = read(path)
        found["sha256"] = hashlib.sha256(data).hexdigest()
        image = open_image(data)
        found |= {"format": image.format, "mode": image.mode}
        found["width"], found["height"] = image.size
        square = to_square(image, images.shape[1])
        images[row] = np.asarray(square)
        found["hash"] = difference_hash(square)
    except (ValueError, OSError) as error:
        reason = str(error).encode("utf-8", "backslashreplace").decode()
        found |= {"status": "rejected", "reason": reason}
    return found


def _listing(folder: Path, files: pd.DataFrame) -> str:
    """Hash names, sizes and times, which change when a file does."""
    digest = hashlib.sha256(f"{DECODER}".encode())
    for row in files.itertuples():
        path = os.path.join(folder, row.path)
        # A link that leads nowhere is listed as well, and then rejected.
        stat = os.stat(path, follow_symlinks=os.path.exists(path))
        entry = (row.path, row[2], row.split, stat.st_size, stat.st_mtime_ns)
        digest.update(repr(entry).encode())
    return digest.hexdigest()


def _same(folder: Path, files: pd.DataFrame, target: Path) -> bool:
    """Return whether files that look changed hold what was prepared."""
    known = read_manifest(target / "manifest.csv")
    columns = {"path": "path", "class": "class", "split": "given_split"}
    if not all(list(files[a]) == list(known[b]) for a, b in columns.items()):
        return False
    pairs = zip(known.path, known.sha256, strict=True)
    return all(_sha256(folder / path) == sha256 for path, sha256 in pairs)


def _sha256(path: Path) -> str:
    """Return the hash that `decode_one` records; "" for no regular file."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except (ValueError, OSError):
        return ""
