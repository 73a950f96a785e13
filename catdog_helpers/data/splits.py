"""Split photographs into train, validation and test, once for all notebooks."""

import hashlib
import warnings
from collections import Counter

import numpy as np
import pandas as pd

from catdog_helpers.data.manifest import (
    SPLITS,
    check_counts,
    count_reasons,
    duplicates,
    name_scene,
    why_left_out,
)


def split(
    manifest: pd.DataFrame,
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    seed: int = 0,
    copies: str = "near",
) -> pd.DataFrame:
    """Divide the sound photographs among training, validation and test.

    Stratified: each class has the same share in every split, and at least one
    image where the split has places enough. Near copies go to the same side,
    whatever their classes; of identical files one is used; nearly identical
    pictures that carry different labels are left out. The order comes from a
    hash of the seed and the file's content, so the same files and seed give
    the same split wherever they lie, and another `train` leaves the test
    images as they are. A group of near copies that holds more than a third
    of a class is named in a warning.

    Args:
        manifest: What `prepare` returned. A split that the data set brought
            along is respected; what it lacks is cut from its neighbour.
        train: Images in total over all classes. Defaults to all others.
        validation: Likewise. Defaults to a fifth of the images.
        test: Likewise. Defaults to a fifth of the images.
        seed: Another number gives another split.
        copies: Which copies stay on one side: "near" ones, or "identical"
            (or nearly identical) ones only. Choose the second for pictures
            that are all alike, such as the frames of a fixed camera; the test
            then shows how well the model knows this scene, not others.

    Returns:
        The manifest with two more columns: `label`, the class's number in
        alphabetical order, and `split`, empty where an image is not used.
        Its column `group` numbers the copies that were kept together.

    Raises:
        ValueError: If there are not enough images, with the numbers.
    """
    if copies not in ("near", "identical"):
        raise ValueError(
            f"copies must be 'near' or 'identical'. Received: {copies!r}"
        )
    if copies == "identical":
        manifest = manifest.assign(group=duplicates(manifest))
    reasons = why_left_out(manifest)
    check_counts(manifest["class"], reasons)
    usable = manifest[reasons == ""]
    scene = name_scene(usable)
    try:
        result = _divide(manifest, usable, (train, validation, test), seed)
    except ValueError as error:
        left_out = count_reasons(reasons)
        left_out = left_out and f" (left out: {left_out})"
        raise ValueError(f"{scene and scene + ' '}{error}{left_out}") from None
    if scene:
        warnings.warn(scene, stacklevel=2)
    return result


def _divide(manifest, usable, wanted, seed) -> pd.DataFrame:
    """Deal whole groups of copies to test, then validation, then training."""
    open_to = _open_to(usable)
    sizes = _sizes(usable, open_to, *wanted)
    order = [_hash(f"{seed} {sha256}") for sha256 in usable.sha256]
    left = usable.assign(order=order).sort_values("order")
    class_names = sorted(manifest["class"].unique())
    label = manifest["class"].map(class_names.index)
    result = manifest.assign(label=label, split="")
    for part in reversed(SPLITS):  # what is dealt later moves nothing before
        pool = left[open_to[part][left.index]]
        # Copies, which stay together, may leave fewer than "all others".
        most = sizes[part] if wanted[0] or part != "train" else len(pool)
        shares = _shares(pool["class"], min(sizes[part], most))
        chosen = _deal(pool, shares.reindex(class_names, fill_value=0))
        for name in class_names:
            members = set(pool.index[pool["class"] == name])
            # Copies that do not fit may leave a place or two open.
            few = len(members) < shares.get(name, 0)
            if few or members.isdisjoint(chosen):
                raise ValueError(
                    f"class {name!r} cannot give its share of "
                    f"{shares.sum():,} images for {part} from the "
                    f"{len(members):,} it has left: choose another "
                    f"{part.upper()}, or bring more images of it"
                )
        result.loc[chosen, "split"] = part
        left = left.drop(chosen)
    return result


def split_rows(manifest: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """Return the rows of each split.

    Args:
        manifest: What `split` returned, or that of `load_run`.

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


def _deal(pool: pd.DataFrame, shares: pd.Series) -> list[int]:
    """Choose whole groups of copies, so many images of each class at most.

    If all groups of a class are larger than its share, the smallest is chosen.
    """
    chosen, room = [], shares.to_dict()
    classes = pool["class"].to_dict()
    groups = pool.groupby("group", sort=False).groups
    for name, share in shares.items():
        own = pool.group[pool["class"] == name].unique()
        own = [group for group in own if group in groups]
        for group in own:
            needed = Counter(classes[row] for row in groups[group])
            if all(n <= room[other] for other, n in needed.items()):
                _take(groups.pop(group), classes, chosen, room)
        if share and own and room[name] == share:
            smallest = min(own, key=lambda group: len(groups[group]))
            _take(groups.pop(smallest), classes, chosen, room)
    return chosen


def _take(rows, classes: dict, chosen: list, room: dict) -> None:
    chosen += list(rows)
    for row in rows:
        room[classes[row]] -= 1
