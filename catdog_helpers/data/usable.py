"""Which photographs may be used; why others are left out, and how many."""

import pandas as pd

from catdog_helpers.data.manifest import has_other_label

SPLITS = ("train", "validation", "test")
OTHER_LABEL = "identical to a picture of another class"
OTHER_SIDE = "a copy of a picture on another side of the given split"
SAME_FILE = "identical to another file"
REMEDIES = {
    OTHER_LABEL: "delete the wrong one of each two identical pictures",
    OTHER_SIDE: 'delete those copies, or call split(copies="identical")',
    SAME_FILE: "bring more different images",
}


def usable_rows(manifest: pd.DataFrame) -> pd.Series:
    """Return which images may be used: sound, unambiguous, no exact copy.

    Where copies are on two sides of a split that the data set brought along,
    those on the side of training are left out.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series.
    """
    return why_left_out(manifest) == ""


def why_left_out(manifest: pd.DataFrame) -> pd.Series:
    """Return for each image why it is left out.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Series of reasons; empty where an image may be used.
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
    """Count why images are left out.

    Args:
        reasons: What `why_left_out` returned, or a part of it.

    Returns:
        The most common reasons first, such as "10: empty file (0 bytes)".
    """
    counts = reasons[reasons != ""].value_counts()
    said = [f"{n:,}: {reason}" for reason, n in counts[:3].items()]
    if len(counts) > 3:
        said.append(f"{counts[3:].sum():,} for other reasons")
    return "; ".join(said)


def name_scene(usable: pd.DataFrame) -> str:
    """Name a group of near copies that holds more than a third of a class.

    Args:
        usable: The rows of a manifest that may be used.

    Returns:
        A few sentences with the numbers; empty if there is no such group.
    """
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
        'not copies, call split(copies="identical"), which keeps only '
        "identical ones together."
    )


def check_counts(classes: pd.Series, reasons: pd.Series) -> None:
    """Check that each class has an image for each part of a split.

    Args:
        classes: The class of each image.
        reasons: What `why_left_out` returned.

    Raises:
        ValueError: If not, with the numbers, the reasons and what to do.
    """
    counts = classes[reasons == ""].value_counts()
    counts = counts.reindex(classes.unique(), fill_value=0)
    few = counts[counts < len(SPLITS)].sort_values()[:9]
    said, remedies = [], set()
    for name, count in few.items():
        own = reasons[classes == name]
        why = f" ({count_reasons(own)})" if count < len(own) else ""
        said.append(f"{name!r}: {count} of {len(own):,} usable{why}")
        common = own[own != ""].mode()
        if not why:
            remedies.add("bring more images")
        else:
            unread = "repair or convert the files that are not read"
            remedies.add(REMEDIES.get(common[0], unread))
    if said:
        raise ValueError(
            "each class needs 3 usable images: to train, to validate and to "
            f"test. Received: {', '.join(said)}. To have more, "
            f"{', and '.join(sorted(remedies))}; or leave the class out"
        )
