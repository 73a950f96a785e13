"""Write the split where all notebooks look for it, and read it there."""

from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.prepared import (
    images_key,
    read_manifest,
    write_manifest,
)
from catdog_helpers.data.splits import SPLITS, split_rows, split_sha256
from catdog_helpers.features import provenance
from catdog_helpers.guards import check_split
from catdog_helpers.saving import read_json, write_json


def save_split(
    out: str | Path,
    images: np.ndarray,
    manifest: pd.DataFrame,
    *,
    dataset: str,
    folder: str | Path,
    seed: int,
) -> dict:
    """Write the split where every other notebook looks for it.

    Args:
        out: Directory of the run.
        images: The memory-mapped array that `prepare` returned.
        manifest: What `split` returned.
        dataset: Name or address the photographs came from.
        folder: Where their files lie.
        seed: What `split` was called with.

    Returns:
        The content of `dataset.json`: where the images are, class names,
        image size, number of images of each split, hash of the split.

    Raises:
        ValueError: If a picture or its copies are on two sides of the split.
    """
    class_names = sorted(manifest["class"].unique())
    check_split(manifest, class_names)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, out / "manifest.csv")
    info = {
        "dataset": str(dataset),
        "folder": str(Path(folder).resolve()),
        "images": str(Path(images.filename).resolve()),
        "image_size": images.shape[1],
        "class_names": class_names,
        "seed": seed,
        "split_sha256": split_sha256(manifest),
    }
    rows = zip(SPLITS, split_rows(manifest), strict=True)
    info |= {f"n_{name}": len(members) for name, members in rows}
    write_json(out / "dataset.json", info)
    return info


def load_split(out: str | Path) -> tuple[np.ndarray, pd.DataFrame, dict]:
    """Read what notebook 01 wrote.

    Args:
        out: Directory of the run.

    Returns:
        images: Memory-mapped array of shape `(n, size, size, 3)`, `uint8`.
        manifest: One row per image, in the same order.
        info: What `save_split` returned.

    Raises:
        FileNotFoundError: If notebook 01 has not run.
        ValueError: If the files do not belong together, or a picture or its
            copies are on two sides of the split.
    """
    path = Path(out) / "dataset.json"
    info, table = read_json(path), path.with_name("manifest.csv")
    for needed in (info.get("images", path), table):
        if "images" not in info or not Path(needed).is_file():
            raise FileNotFoundError(
                f"{needed} is missing or damaged: run notebook "
                "01_download_data first"
            )
    manifest = read_manifest(table)
    images = np.load(info["images"], mmap_mode="r")
    fits = provenance(images)["key"] == images_key(manifest, images.shape[1])
    if not fits or split_sha256(manifest) != info["split_sha256"]:
        raise ValueError(
            f"{path.parent}: manifest.csv, dataset.json and the prepared "
            "images do not belong together: run notebook 01_download_data"
        )
    check_split(manifest, info["class_names"])
    return images, manifest, info
