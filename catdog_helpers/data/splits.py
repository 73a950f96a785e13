"""Split photographs into train, validation and test, once for all notebooks."""

import hashlib

import numpy as np
import pandas as pd

from catdog_helpers.data.manifest import has_other_label

SPLITS = ("train", "validation", "test")


def split(
    manifest: pd.DataFrame,
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Divide the sound photographs among training, validation and test.

    Stratified: each class has the same share in every split, and at least one
    image where the split has places enough. Near copies go
    to the same side; of identical files one is used; copies that carry
    different labels are left out. The order comes from a hash of the seed and
    the file's content, so the same files and seed give the same split
    wherever they lie, and another `train` leaves the test images as they are.

    Args:
        manifest: What `prepare` returned. A split that the data set brought
            along is respected; what it lacks is cut from its neighbour.
        train: Images in total over all classes. Defaults to all others.
        validation: Likewise. Defaults to a fifth of the images.
        test: Likewise. Defaults to a fifth of the images.
        seed: Another number gives another split.

    Returns:
        The manifest with two more columns: `label`, the class's number in
        alphabetical order, and `split`, empty where an image is not used.

    Raises:
        ValueError: If there are not enough images, with the numbers.
    """
    usable = manifest[usable_rows(manifest)]
    _check_counts(usable["class"], manifest["class"])
    open_to = _open_to(usable)
    sizes = _sizes(usable, open_to, train, validation, test)
    order = [_hash(f"{seed} {sha256}") for sha256 in usable.sha256]
    left = usable.assign(order=order).sort_values("order")
    class_names = sorted(manifest["class"].unique())
    label = manifest["class"].map(class_names.index)
    result = manifest.assign(label=label, split="")
    for part in reversed(SPLITS):  # what is dealt later moves nothing before
        pool = left[open_to[part][left.index]]
        # Copies, which stay together, may leave fewer than "all others".
        most = sizes[part] if train or part != "train" else len(pool)
        shares = _shares(pool["class"], min(sizes[part], most))
        for name in class_names:
            members = pool[pool["class"] == name]
            chosen = _deal(members, shares.get(name, 0))
            _check(name, members, chosen, part, shares)
            result.loc[chosen, "split"] = part
            left = left.drop(chosen)
    return result


def usable_rows(manifest: pd.DataFrame) -> pd.Series:
    """Tell which images may be used: sound, unambiguous, no exact copy.

    Where copies stand on two sides of a split that the data set brought
    along, those on the side of training are left out.

    Args:
        manifest: What `prepare` returned.

    Returns:
        Boolean series.
    """
    sound = manifest[manifest.status == "ok"]
    sound = sound[~has_other_label(sound)]
    side = sound.given_split.map(["", *SPLITS].index)
    sound = sound[side == side.groupby(sound.group).transform("max")]
    sound = sound.drop_duplicates("sha256")
    return manifest.index.to_series().isin(sound.index)


def split_rows(manifest: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Give the rows of each split.

    Args:
        manifest: What `split` or `load_split` returned.

    Returns:
        train, validation, test: Row numbers into images, features and labels.
    """
    return tuple(np.flatnonzero(manifest.split == name) for name in SPLITS)


def split_sha256(manifest: pd.DataFrame) -> str:
    """Name a split by its content: which file, which class, which side.

    Args:
        manifest: What `split` returned.

    Returns:
        64 hexadecimal digits. Two results can be compared if theirs agree.
    """
    used = manifest[manifest.split != ""]
    columns = zip(used.sha256, used["class"], used.split, strict=True)
    return _hash("\n".join(sorted(map(" ".join, columns))))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _open_to(usable: pd.DataFrame) -> dict[str, pd.Series]:
    """Which images may go to each split, given the data set's own split.

    A part that the data set lacks is cut from the part beside it: test from
    validation, validation from train.
    """
    given = usable.given_split
    donors = {part: [part, ""] for part in SPLITS}
    brought = set(given) - {""}
    if brought and "test" not in brought:
        donors["test"] += ["validation" if "validation" in brought else "train"]
    if brought and "validation" not in brought:
        donors["validation"] += ["train"]
    return {part: given.isin(donors[part]) for part in SPLITS}


def _sizes(usable, open_to, train, validation, test) -> dict[str, int]:
    given = usable.given_split.value_counts()
    # A place for each class, if a third is left for training.
    places = min(usable["class"].nunique(), len(usable) // 3)
    fifth = max(len(usable) // 5, places)
    if test is None:
        test = given.get("test", given.get("validation", 0) // 2 or fifth)
    if validation is None and "validation" in given:
        validation = given["validation"] - (0 if "test" in given else test)
    elif validation is None:
        validation = fifth
    if train is None:
        train = open_to["train"].sum()
        train -= 0 if "validation" in given else validation
        train -= 0 if {"validation", "test"} & set(given.index) else test
    sizes = {"train": train, "validation": validation, "test": test}
    if min(sizes.values()) < 1 or sum(sizes.values()) > len(usable):
        raise ValueError(
            f"cannot split {len(usable):,} usable images into {train:,} train, "
            f"{validation:,} validation and {test:,} test: choose smaller "
            "TRAIN, VALIDATION, TEST, or bring more images"
        )
    return {part: int(size) for part, size in sizes.items()}


def _shares(classes: pd.Series, size: int) -> pd.Series:
    """Share `size` images out among the classes in proportion."""
    fraction = classes.value_counts(normalize=True).sort_index()
    whole = np.floor(fraction * size).astype(int)
    # The largest remainders get the images that rounding left over.
    remainder = (fraction * size - whole).sort_values(kind="stable")
    whole[remainder.index[::-1][: size - whole.sum()]] += 1
    while size >= len(whole) and not whole.min():  # the largest give theirs
        whole[[whole.idxmin(), whole.idxmax()]] += [1, -1]
    return whole


def _check_counts(usable: pd.Series, classes: pd.Series) -> None:
    counts = usable.value_counts().reindex(classes.unique(), fill_value=0)
    if few := counts[counts < len(SPLITS)].sort_values()[:9].to_dict():
        raise ValueError(
            "each class needs 3 usable images: to train, to validate and to "
            f"test. Received: {few}. Bring more images, or leave the class out"
        )


def _deal(members: pd.DataFrame, share: int) -> list[int]:
    """Choose whole groups of copies, so many images at most, but one group."""
    chosen, groups = [], members.groupby("group", sort=False).groups
    for rows in groups.values():
        if len(chosen) + len(rows) <= share:
            chosen += list(rows)
    if share and groups and not chosen:  # all are larger
        chosen = list(min(groups.values(), key=len))
    return chosen


def _check(name: str, members, chosen: list, part: str, shares) -> None:
    # A group of copies that does not fit may leave a place or two open.
    if not chosen or len(members) < shares[name]:
        raise ValueError(
            f"class {name!r} cannot give its share of {shares.sum():,} images "
            f"for {part} from the {len(members):,} it has left: choose another "
            f"{part.upper()}, or bring more images of it"
        )
