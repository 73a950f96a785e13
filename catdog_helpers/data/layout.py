"""Index a folder of images: which file, of which class, in which split."""

import warnings
from collections import Counter
from pathlib import Path

import pandas as pd

from catdog_helpers.data.folders import Labels, Parts, label_by_folders
from catdog_helpers.data.lists import label_oxford, read_labels, species_of
from catdog_helpers.data.names import like_verdicts, same
from catdog_helpers.data.walk import (
    COMPANIONS,
    DOCUMENTS,
    is_clutter,
    is_image_file,
    is_image_name,
    walk,
)

__all__ = ["index_images", "species_of"]
CSV_HINT = (
    "Or list the images in a CSV file with the columns path and label, such as "
    "`images/1.jpg,cat`, and give that file."
)


def index_images(folder: str | Path) -> pd.DataFrame:
    """List the image files of a folder, with class and given split.

    There may be one folder for each class, in any wrapping folders, or in
    folders called like splits (train, seg_test, valid_images); folders inside
    a class belong to it. Where images are in no folders of classes, and all
    their names hold a class and a number (`cat.0.jpg`), these are taken. In
    the layout of Oxford-IIIT Pet the class is the breed in the file's name,
    and `annotations/*.txt` give the split (images that they do not name are
    left out). Or a CSV file lists the images, with the columns `path`
    (relative to that file) and `label`. `data/README.md` has the rules.

    Files are known by extension, others by their first bytes: `prepare` finds
    out which of them decode. What is left out, or understood in an unusual
    way, is said in a warning.

    Args:
        folder: The folder or the CSV file, as `fetch` returns it.

    Returns:
        Table with the columns `path` (relative to `folder`, with `/`;
        absolute if a CSV names it), `class` and `split` ("", "train",
        "validation" or "test"), sorted by path.

    Raises:
        ValueError: If the folder does not hold two or more classes, or can be
            understood in two ways.
    """
    folder = Path(folder).resolve()
    if folder.suffix.lower() == ".csv" and folder.is_file():
        table = read_labels(folder)
        advice = "It must list two or more classes."
        _check_classes(folder, {(name, "") for name in table["class"]}, advice)
        return table
    if not folder.exists():
        raise ValueError(f"There is no such folder. Received: {folder}.")
    images, oxford, notes = _list_files(folder)
    if oxford is None:
        labels = label_by_folders(folder, images)
    else:
        found = label_oxford(folder, oxford, images)
        labels = Labels(folder, found, left_out=set(images) - set(found))
    _check_empty(labels)
    advice = "It must hold a folder of images for each of two or more classes."
    if labels.problem:
        advice += f" The files' names hold no classes: {labels.problem}."
    pairs = set(labels.found.values())
    advice += f" {CSV_HINT}"
    problem = "The images are in no class folders" if images else ""
    _check_classes(folder, pairs, advice, problem or "There are no images")
    rest = sorted(set(images) - set(labels.found) - labels.left_out)
    rest = _note(
        folder, "Images left out, as they lie in no class folder", rest
    )
    for note in notes + labels.notes + rest:
        warnings.warn(note, stacklevel=2)
    rows = sorted(("/".join(p), *label) for p, label in labels.found.items())
    # As objects: with pyarrow installed, pandas' own strings hold no bytes
    # that are no text.
    return pd.DataFrame(rows, columns=["path", "class", "split"], dtype=object)


def _list_files(folder: Path) -> tuple[list[Parts], Parts | None, list[str]]:
    """Return the images, the folder of Oxford's lists, if any, and notes."""
    named, odd, other, notes, oxford = [], [], [], [], None
    for path, reason in walk(folder, follow_links=True):
        parts = Path(path).relative_to(folder).parts
        if reason:
            notes.append(
                f"Folder left out, as it cannot be opened: {path} ({reason})"
            )
        elif is_image_name(path):
            named.append(parts)
        elif not path.lower().endswith(COMPANIONS):
            (odd if is_image_file(path) else other).append(parts)
        elif parts[-2:] == ("annotations", "trainval.txt"):
            oxford = parts[:-2] if oxford is None else oxford
    taken = "Files taken for images by their first bytes, not by their names"
    notes = [
        *_note(folder, taken, odd),
        *_note(folder, "Files left out, as they are no images", other),
        *notes,
    ]
    return named + odd, oxford, notes


def _note(folder: Path, what: str, files: list[Parts]) -> list[str]:
    first = [f"such as {folder.joinpath(*parts)}" for parts in files[:1]]
    return [f"{what}: {len(files):,}, {example}" for example in first]


def _check_empty(labels: Labels) -> None:
    """Raise ValueError for a folder without images among those of classes."""
    for level, names in labels.levels.items():
        for path in sorted(level.iterdir()):
            if path.name in names or is_clutter(path.name) or path.is_file():
                continue
            inside = [name for name, _ in walk(path)]
            if not any(
                is_image_name(name) or name.lower().endswith(DOCUMENTS)
                for name in inside
            ):
                raise ValueError(
                    f"A class has no images. Received: {path}. Fill that "
                    "folder, or move it away."
                )


def _check_classes(
    source: Path,
    pairs: set[tuple],
    advice: str,
    none: str = "There are no images",
) -> None:
    """Raise ValueError unless there are two classes or more, in each split."""
    classes = sorted({name for name, _ in pairs})
    splits = {split for _, split in pairs}
    missing = {(n, s) for n in classes for s in splits} - pairs
    alike = Counter(map(same, classes))
    twins = [name for name in classes if alike[same(name)] > 1]
    if not classes:
        problem = none
    elif twins:
        problem = f"Class names differ in case only, or in spaces, {twins}"
        advice = "Rename the folders, or the labels, of one class alike."
    elif verdicts := like_verdicts(classes):
        problem = f"Classes are called like verdicts of `predict`, {verdicts}"
        advice = "Rename their folders, or their labels."
    elif len(classes) == 1:
        problem = f"There is only one class, {classes[0]!r}"
    elif missing:
        problem = "Class {!r} has no images in {!r}".format(*min(missing))
        advice = (
            "Move some of its images there, or move that class, or that part "
            "of the split, away."
        )
    elif splits - {""} and "train" not in splits:
        problem = f"There is no 'train' beside {' and '.join(sorted(splits))}"
        advice = "Rename the part to train on 'train', or give one part."
    else:
        return
    raise ValueError(f"{problem}. Received: {source}. {advice}")
