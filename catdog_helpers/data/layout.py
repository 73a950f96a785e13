"""Index a folder of images: which file, of which class, in which split."""

import os
import warnings
from itertools import count
from pathlib import Path, PurePosixPath

import pandas as pd

from catdog_helpers.data.archive import IMAGES, is_clutter, is_wanted
from catdog_helpers.data.labels import read_labels

SPLITS = {
    **dict.fromkeys(("train", "training", "training_set"), "train"),
    **dict.fromkeys(("validation", "valid", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "test_set"), "test"),
}


def index_images(folder: str | Path) -> pd.DataFrame:
    """List the image files of a folder, with class and given split.

    Understood are one folder a class, in any wrapping folders, or in folders
    named train, validation (val, valid) and test; folders inside a class
    belong to it. In the layout of Oxford-IIIT Pet the class is the breed in
    the file's name, and `annotations/*.txt` give the split (images that they
    do not name are left out). Files are known by extension only: `prepare`
    finds out which of them decode. Or a CSV file lists the images, with the
    columns `path` (relative to that file) and `label`.

    Args:
        folder: The folder or the CSV file, as `fetch` returns it.

    Returns:
        Table with the columns `path` (relative to `folder`, with `/`;
        absolute if a CSV names it),
        `class` and `split` ("", "train", "validation" or "test"), sorted by
        path.

    Raises:
        ValueError: If the folder does not hold two or more classes.
    """
    folder = Path(folder).resolve()
    if folder.suffix.lower() == ".csv" and folder.is_file():
        return _index_csv(folder)
    files = _list_files(folder)
    images = [parts for parts in files if _is_image(parts[-1])]
    lists = [p[:-2] for p in files if p[-2:] == ("annotations", "trainval.txt")]
    if lists:
        labels = _label_oxford(folder, lists[0], images)
        rest = []
    else:
        depth, labels = _label_by_folder(images)
        _check_folders(folder, depth, files, labels)
        rest = sorted(set(images) - set(labels))
    _check_classes(folder, images, labels)
    if rest:
        warnings.warn(
            f"{len(rest):,} images are left out, as they lie in no class "
            f"folder, such as {folder.joinpath(*rest[0])}",
            stacklevel=2,
        )
    rows = sorted(("/".join(parts), *label) for parts, label in labels.items())
    # As objects: with pyarrow installed, pandas' own strings hold no bytes
    # that are no text.
    return pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object)


def _index_csv(path: Path) -> pd.DataFrame:
    table = read_labels(path)
    labels = {i: (name, "") for i, name in enumerate(table["class"])}
    _check_classes(path, list(labels), labels)
    return table


def species_of(folder: str | Path) -> dict[str, str]:
    """Tell the species of each breed, where the data set says it.

    Args:
        folder: The folder, as `fetch` returns it.

    Returns:
        Class name to "cat" or "dog", from the column SPECIES of Oxford-IIIT
        Pet's lists. Empty for any other data set.
    """
    found = {}
    for path in Path(folder).rglob("annotations/trainval.txt"):
        for line in path.read_text("utf-8").splitlines():
            name, _, species, *_ = line.split()
            found[name.rpartition("_")[0]] = ["cat", "dog"][int(species) - 1]
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGES)


def _list_files(folder: Path) -> list[tuple[str, ...]]:
    """Return each file's path, in parts, without hidden files and clutter."""
    found = []
    for root, folders, names in os.walk(folder, followlinks=True):
        if Path(root).resolve() in Path(root).parents:  # a link in a circle
            names = folders[:] = []
        folders[:] = [name for name in folders if not is_clutter(name)]
        parts = Path(root).relative_to(folder).parts
        found += [(*parts, name) for name in names if not is_clutter(name)]
    return found


def _label_oxford(folder: Path, wrapping: tuple, images: list) -> dict:
    split_of, labels = {}, {}
    for name, split in (("trainval", "train"), ("test", "test")):
        path = folder.joinpath(*wrapping, "annotations", f"{name}.txt")
        for line in path.read_text("utf-8").splitlines():
            split_of[line.partition(" ")[0]] = split
    for parts in images:
        stem = PurePosixPath(parts[-1]).stem
        if parts[:-1] == (*wrapping, "images") and stem in split_of:
            labels[parts] = stem.rpartition("_")[0], split_of[stem]
    return labels


def _label_by_folder(images: list) -> tuple[int, dict]:
    """Return how deep the class folders lie, and class and split by image."""
    inner = images
    for depth in count():  # pass folders that wrap all the others
        inner = [parts for parts in inner if len(parts) > depth + 1]
        tops = {parts[depth] for parts in inner}
        if len(tops) != 1 or min(map(len, inner)) == depth + 2:
            break
    split_of = {top: SPLITS.get(top.lower(), "") for top in tops}
    given = set(split_of.values()) - {""}
    if "train" not in given or len(given) == 1:
        return depth, {parts: (parts[depth], "") for parts in inner}
    return depth + 1, {
        parts: (parts[depth + 1], split_of[parts[depth]])
        for parts in inner
        if len(parts) > depth + 2 and split_of[parts[depth]]
    }


def _check_folders(folder: Path, depth: int, files: list, labels: dict) -> None:
    """Raise ValueError for an empty class, or folders one level too high."""
    filled = set()
    for parts in files:  # one image fills a folder: the others need no look
        top = parts[: depth + 1]
        if top not in filled and is_wanted(PurePosixPath(*parts)):
            filled.add(top)
    for root in sorted({parts[:depth] for parts in labels}):
        for path in sorted(folder.joinpath(*root).iterdir()):
            seen = path.is_dir() and not is_clutter(path.name)
            if seen and (*root, path.name) not in filled:
                raise ValueError(
                    f"A class has no images. Received: {path}. Fill that "
                    "folder, or move it away."
                )
    inside = {}
    for parts in labels:
        below = parts[depth + 1] if len(parts) > depth + 2 else ""
        inside.setdefault(parts[: depth + 1], set()).add(below)
    names, *others = inside.values() or [{""}]
    alike = others and all(other == names for other in others)
    if alike and len(names) > 1 and "" not in names:
        raise ValueError(
            f"All classes hold the same folders, {sorted(names)}: this seems "
            f"one level too high. Received: {folder}. Give one further down, "
            f"such as {folder.joinpath(*min(inside))}, or put the images of "
            "each class directly into its folder."
        )


def _check_classes(folder: Path, images: list, labels: dict) -> None:
    """Raise ValueError unless there are two classes or more, in each split."""
    pairs = set(labels.values())
    classes = sorted({name for name, _ in pairs})
    missing = {(n, s) for n in classes for _, s in pairs} - pairs
    if not folder.exists():
        problem = "There is no such folder"
    elif not images:
        problem = "There are no images"
    elif not classes:
        problem = "The images are in no class folders"
    elif len(classes) == 1:
        problem = f"There is only one class, {classes[0]!r}"
    elif len({name.casefold() for name in classes}) < len(classes):
        problem = f"Class names differ in case only, {classes}"
    elif missing:
        problem = "Class {!r} has no images in {!r}".format(*min(missing))
    else:
        return
    raise ValueError(
        f"{problem}. Received: {folder}. It must hold a folder of images for "
        f"each of two or more classes.{_hint(folder, images)}"
        if folder.is_dir() or not folder.exists()
        else f"{problem}. Received: {folder}. It must list two or more classes."
    )


def _hint(folder: Path, images: list) -> str:
    """Name the folder that may be meant: one further down, or the one above."""
    inside = {}
    for parts in images:
        for depth in range(1, len(parts) - 1):
            inside.setdefault(parts[:depth], set()).add(parts[depth])
    below = [parts for parts, names in inside.items() if len(names) > 1]
    beside = (p for p in folder.parent.glob("*/*") if _is_image(p.name))
    if below:
        return f" Did you mean {folder.joinpath(*min(below, key=len))}?"
    if len({path.parent for path in beside}) > 1:
        return f" Did you mean {folder.parent}?"
    return ""
