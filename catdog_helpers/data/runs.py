"""Write the split where all notebooks look for it, and read it there."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from catdog_helpers.data.manifest import (
    SPLITS,
    images_key,
    provenance,
    read_manifest,
    write_manifest,
)
from catdog_helpers.data.splits import split_rows, split_sha256
from catdog_helpers.machine.failures import first_line
from catdog_helpers.machine.files import read_json, write_json
from catdog_helpers.machine.persist import backup, restore

REMEDY = "run notebook 01_download_data"
COUNTS = ("image_size", *(f"n_{name}" for name in SPLITS))
KEYS = dict.fromkeys(("dataset", "folder", "images", "split_sha256"), str)
KEYS |= {"class_names": list, "seed": int, **dict.fromkeys(COUNTS, int)}
COLUMNS = {"path", "class", "sha256", "status", "group", "label", "split"}
COLUMNS |= {"given_split", "reason", "format", "mode"}


class Run(NamedTuple):
    """The data of a run, as `load_run` returns it.

    Attributes:
        images: Memory-mapped array of shape `(n, size, size, 3)`, `uint8`.
        labels: Shape `(n,)`, the class number of each image.
        train: Row numbers of the training images.
        validation: Row numbers of the validation images.
        test: Row numbers of the test images.
        class_names: In alphabetical order: class number 0, 1, and so on.
        info: The content of `dataset.json`: see `save_split`.
        manifest: One row per image, in the same order.
    """

    images: np.ndarray
    labels: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    class_names: list[str]
    info: dict
    manifest: pd.DataFrame


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
        ValueError: If a picture or its copies are on two sides of the split,
            or `out` holds the run of another data set.
    """
    class_names = sorted(manifest["class"].unique())
    check_split(manifest, class_names)
    out = Path(out)
    _check_same_data(out, folder, manifest)
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
    backup_run(out, info)
    return info


def load_run(out: str | Path) -> Run:
    """Read the data that notebook 01 prepared and split.

    What `backup` has kept and what is missing here is fetched back first.

    Args:
        out: Directory of the run.

    Returns:
        A `Run`.

    Raises:
        FileNotFoundError: If notebook 01 has not run.
        ValueError: If the files do not belong together, or a picture or its
            copies are on two sides of the split.
    """
    path = Path(out) / "dataset.json"
    restore(out)
    info, table = _read_info(path), path.with_name("manifest.csv")
    restore(*_data_dir(info))
    for needed in (info["images"], table):
        if not Path(needed).is_file():
            raise FileNotFoundError(f"{needed} is missing or damaged: {REMEDY}")
    manifest = _read_table(table)
    try:
        images = np.load(info["images"], mmap_mode="r")
        fits = provenance(images)["key"] == images_key(
            manifest, images.shape[1]
        )
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{info['images']} is damaged: {REMEDY}") from None
    if not fits or split_sha256(manifest) != info["split_sha256"]:
        raise ValueError(
            f"{path.parent}: manifest.csv, dataset.json and the prepared "
            f"images do not belong together: {REMEDY}"
        )
    check_split(manifest, info["class_names"])
    rows, labels = split_rows(manifest), manifest.label.to_numpy()
    return Run(images, labels, *rows, info["class_names"], info, manifest)


def _read_info(path: Path) -> dict:
    """Read `dataset.json`, and check its keys, types and ranges."""
    info = read_json(path)
    if not info:
        raise FileNotFoundError(f"{path} is missing or damaged: {REMEDY}")
    for key, kind in KEYS.items():
        value = info.get(key)
        right = type(value) is kind
        if right and key in COUNTS:
            right = value > 0
        elif right and kind is list:
            right = len(value) > 1 and {*map(type, value)} == {str}
        if not right:
            raise _unexpected(path, f"{key} = {value!r}")
    return info


def _read_table(path: Path) -> pd.DataFrame:
    """Read `manifest.csv`, and check its columns and the labels in it."""
    try:
        manifest = read_manifest(path)
    except (ValueError, OSError) as error:
        raise _unexpected(path, first_line(error)) from None
    if missing := sorted(COLUMNS - set(manifest)):
        raise _unexpected(path, f"no column {missing[0]}")
    for name in ("label", "group"):
        if manifest[name].dtype.kind != "i":
            raise _unexpected(path, f"no whole numbers in {name}")
    return manifest


def _unexpected(path: Path, what: str) -> ValueError:
    return ValueError(
        f"{path} is not what notebook 01 writes. Received: {what}. To write it "
        f"anew, {REMEDY}"
    )


def _check_same_data(out: Path, folder: str | Path, manifest) -> None:
    """Raise ValueError if a run of another data set is in `out`."""
    old = read_json(out / "dataset.json").get("folder")
    new = str(Path(folder).resolve())
    if old in (None, new):
        return
    try:  # the same pictures in another place are the same data set
        known = set(read_manifest(out / "manifest.csv").sha256)
    except (AttributeError, ValueError, OSError):
        known = set()
    if not known & set(manifest.sha256[manifest.sha256 != ""]):
        raise ValueError(
            f"{out} holds the run of another data set, {old}. Received: {new}. "
            "Choose another OUT, or move that folder away to begin anew"
        )


def backup_run(out: str | Path, info: dict) -> None:
    """Back up a run, and the data that its `dataset.json` names."""
    backup(out, *_data_dir(info))


def _data_dir(info: dict) -> list[Path]:
    """Return the folder of all data sets: <data>/<name>/prepared/images."""
    return [Path(info["images"]).parents[2]] if "images" in info else []


def check_split(manifest: pd.DataFrame, class_names: list[str]) -> None:
    """Check that no picture is on two sides, and that labels fit the names.

    Args:
        manifest: What `split` returned.
        class_names: As `dataset.json` and the models' cards have them.

    Raises:
        ValueError: If a picture or a near copy of it is on two sides of the
            split, a file is used twice, or classes are not numbered in
            alphabetical order.
    """
    used = manifest[manifest.split != ""]
    wrong = used.groupby("group").split.transform("nunique") > 1
    wrong |= used.sha256.duplicated(keep=False)
    if wrong.any():
        raise ValueError(
            "a picture or its copies are on two sides of the split, or used "
            f"twice. Received: {', '.join(used.path[wrong][:2])}"
        )
    names = sorted(manifest["class"].unique())
    in_order = manifest["class"].map(names.index).equals(manifest.label)
    if list(class_names) != names or not in_order:
        raise ValueError(
            f"classes must be numbered as in {names} everywhere. Received: "
            f"{list(class_names)}, or labels of another order"
        )
