"""Count and name what `prepare` found in a folder of photographs."""

import pandas as pd


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
    }
    counts = {
        name: manifest[found].groupby("class").size()
        for name, found in findings.items()
    }
    table = pd.DataFrame(counts).T.fillna(0).astype(int)
    return table.assign(total=table.sum(axis=1))


def is_odd(manifest: pd.DataFrame) -> pd.Series:
    """Tell which sound files are not what their names or habits say.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series: not JPEG inside a `.jpg`, or not in RGB colours.
    """
    named_jpeg = manifest.path.str.lower().str.endswith((".jpg", ".jpeg"))
    disguised = named_jpeg & (manifest.format != "JPEG")
    return (manifest.status == "ok") & (disguised | (manifest["mode"] != "RGB"))


def has_other_label(manifest: pd.DataFrame) -> pd.Series:
    """Tell which files have a copy under another class.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series.
    """
    labels = manifest.groupby("group")["class"].transform("nunique")
    return (manifest.status == "ok") & (labels > 1)
