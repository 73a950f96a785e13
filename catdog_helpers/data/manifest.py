"""Count and name what `prepare` found in a folder of photographs."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.images import DECODER
from catdog_helpers.machine.files import read_json, replacing


def summarize(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count what `prepare` found, class by class.

    Args:
        manifest: What `prepare` returned.

    Returns:
        One row per finding, one column per class and a total.
    """
    findings = {
        "files": manifest.status != "",
        "rejected: do not decode": manifest.status == "rejected",
        "sound": manifest.status == "ok",
        "sound but odd (kept)": is_odd(manifest),
        "copies of another file": manifest.group != manifest.index,
        "copies with another label": has_other_label(manifest),
        "near copies with another label (kept)": _has_other_class(
            manifest, manifest.group
        )
        & ~has_other_label(manifest),
    }
    counts = {
        name: manifest[found].groupby("class").size()
        for name, found in findings.items()
    }
    table = pd.DataFrame(counts).T.fillna(0).astype(int)
    return table.assign(total=table.sum(axis=1))


def is_odd(manifest: pd.DataFrame) -> pd.Series:
    """Return which sound files are unusual ones.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series: not JPEG inside a `.jpg`, or not in RGB colours.
    """
    named_jpeg = manifest.path.str.lower().str.endswith((".jpg", ".jpeg"))
    disguised = named_jpeg & (manifest.format != "JPEG")
    return (manifest.status == "ok") & (disguised | (manifest["mode"] != "RGB"))


def has_other_label(manifest: pd.DataFrame) -> pd.Series:
    """Return which files have an identical picture under another class.

    Only pictures that are identical, or so nearly that no part of them
    differs, are evidence of a wrong label. Near copies, such as the frames of
    a fixed camera, may well show different things.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series.
    """
    return _has_other_class(manifest, duplicates(manifest))


def duplicates(manifest: pd.DataFrame) -> pd.Series:
    """Return the column `duplicate`, or `group` where there is none."""
    return manifest.get("duplicate", manifest.group)


def _has_other_class(manifest: pd.DataFrame, group: pd.Series) -> pd.Series:
    """Return which sound files share their group with another class."""
    labels = manifest["class"].groupby(group).transform("nunique")
    return (manifest.status == "ok") & (labels > 1)


def images_key(manifest: pd.DataFrame, image_size: int) -> str:
    """Hash what `images.npy` depends on: the files' bytes, order and size."""
    text = f"{DECODER} {image_size} {' '.join(manifest.sha256)}"
    return hashlib.sha256(text.encode()).hexdigest()


def write_manifest(manifest: pd.DataFrame, path: str | Path) -> None:
    """Write a manifest atomically; file names may hold bytes that are no text.

    Args:
        manifest: What `prepare` or `split` returned.
        path: The CSV file.
    """
    with replacing(path) as partial:
        manifest.to_csv(partial, index=False, errors="surrogateescape")


def read_manifest(path: str | Path) -> pd.DataFrame:
    """Read a manifest that `prepare` or `save_split` wrote.

    Args:
        path: The CSV file.

    Returns:
        One row per file; empty cells are empty strings.
    """
    text = ["path", "class", "sha256", "format", "mode", "status", "reason"]
    dtypes = dict.fromkeys([*text, "given_split", "split"], object)
    return pd.read_csv(
        path,
        dtype=dtypes,
        keep_default_na=False,
        encoding_errors="surrogateescape",
    )


def provenance(array: np.ndarray) -> dict:
    """Return where a memory-mapped array comes from.

    Args:
        array: Prepared images or extracted features.

    Returns:
        `key`, the hash of what it depends on; for features also `parts` of
        that hash and `seconds` that it took to compute them.

    Raises:
        ValueError: If it is not such an array, but a copy in memory.
    """
    if getattr(array, "filename", None) is None:
        raise ValueError(
            "images must be the array that `prepare` returned, not a "
            "rescaled copy: the base does its own preprocessing. Received: "
            f"{array.dtype} from {array.min():.3g} to {array.max():.3g}"
        )
    return read_json(Path(array.filename).with_suffix(".json"))
