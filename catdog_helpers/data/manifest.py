"""Count what `prepare` found in a folder, and why files are left out."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from catdog_helpers.data.images import DECODER
from catdog_helpers.machine.files import read_json, replacing

SPLITS = ("train", "validation", "test")
OTHER_LABEL = "identical to a picture of another class"
OTHER_SIDE = "a copy of a picture on another side of the given split"
SAME_FILE = "identical to another file"
REMEDIES = {
    OTHER_LABEL: "delete the wrong one of each two identical pictures",
    OTHER_SIDE: 'delete those copies, or call split(copies="identical")',
    SAME_FILE: "bring more different images",
}


def summarize(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count what `prepare` found, class by class.

    Args:
        manifest: What `prepare` returned.

    Returns:
        One row per finding, one column per class and a total.
    """
    wrong = has_other_label(manifest)
    near = _has_other_class(manifest, manifest.group) & ~wrong
    findings = {
        "files": manifest.status != "",
        "rejected: do not decode": manifest.status == "rejected",
        "sound": manifest.status == "ok",
        "sound but odd (kept)": is_odd(manifest),
        "copies of another file": manifest.group != manifest.index,
        "copies with another label": wrong,
        "near copies with another label (kept)": near,
    }
    table = pd.DataFrame(findings).groupby(manifest["class"]).sum().T
    table = table.rename_axis(columns=None).astype(int)
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


def why_left_out(manifest: pd.DataFrame) -> pd.Series:
    """Return for each image why it is left out; "" where it may be used.

    Where copies are on two sides of a split that the data set brought along,
    those on the side of training are left out.
    """
    reasons = manifest.reason.where(manifest.status != "ok", "")
    # A file that was rejected without a reason is left out all the same.
    reasons = reasons.mask((manifest.status != "ok") & (reasons == ""), "?")
    reasons = reasons.mask(has_other_label(manifest), OTHER_LABEL)
    sound = manifest[reasons == ""]
    side = sound.given_split.map(["", *SPLITS].index)
    wrong = side != side.groupby(sound.group).transform("max")
    reasons[sound.index[wrong]] = OTHER_SIDE
    sound = sound[~wrong]
    reasons[sound.index[sound.duplicated("sha256")]] = SAME_FILE
    return reasons


def count_reasons(reasons: pd.Series) -> str:
    """Count the most common reasons: "10: empty file (0 bytes)"."""
    counts = reasons[reasons != ""].value_counts()[:3]
    return "; ".join(f"{n:,}: {reason}" for reason, n in counts.items())


def name_scene(usable: pd.DataFrame) -> str:
    """Name a group of near copies that holds more than a third of a class."""
    sizes = usable.groupby(["class", "group"]).size()
    totals = usable["class"].value_counts()
    share = sizes / totals.loc[sizes.index.get_level_values(0)].to_numpy()
    large = share[(share > 1 / 3) & (sizes >= 3)]
    if large.empty:
        return ""
    name, group = large.idxmax()
    paths = usable.path[(usable.group == group) & (usable["class"] == name)]
    first, last = paths.iloc[[0, -1]]
    return (
        f"{len(paths):,} of {totals[name]:,} {name!r} photographs are nearly "
        f"the same picture, such as {first} and {last}: frames of a fixed "
        "camera? Near copies stay on one side of the split. If they are "
        'not copies, call split(copies="identical"), in notebook 1 COPIES, '
        "which keeps only identical ones together."
    )


def check_counts(classes: pd.Series, reasons: pd.Series) -> None:
    """Raise ValueError if a class lacks an image for a part of a split."""
    counts = (reasons == "").groupby(classes).sum()
    few = counts[counts < len(SPLITS)].sort_values()[:9]
    said, remedies = [], set()
    for name, count in few.items():
        own = reasons[classes == name]
        why, remedy = "", "bring more images"
        if count < len(own):
            why = f" ({count_reasons(own)})"
            remedy = "repair or convert the files that are not read"
            remedy = REMEDIES.get(own[own != ""].mode()[0], remedy)
        said.append(f"{name!r}: {count} of {len(own):,} usable{why}")
        remedies.add(remedy)
    if said:
        raise ValueError(
            "each class needs 3 usable images: to train, to validate and to "
            f"test. Received: {', '.join(said)}. To have more, "
            f"{', and '.join(sorted(remedies))}; or leave the class out"
        )


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
