"""Read which class a photograph has from a list: a CSV file, or Oxford's."""

import csv
import os
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import pandas as pd

from catdog_helpers.data.names import plain

Parts = tuple[str, ...]  # of a path
COLUMNS = ("path", "label")


def read_labels(path: Path) -> pd.DataFrame:
    """Read a list of photographs: a CSV file as spreadsheets write it.

    Columns are separated by commas, semicolons or tabs; the text is UTF-8, or
    UTF-16 with its mark. Empty lines are skipped.

    Args:
        path: The file, with the columns `path` (relative to it, with slashes
            or backslashes) and `label`; others are skipped.

    Returns:
        Table with the columns `path` (absolute, with `/`), `class` and
        `split` (empty). A line that is there twice is taken once.

    Raises:
        ValueError: If it cannot be read, or a line lacks something.
    """
    rows, wrong, problem = set(), [], ""
    try:
        head, *lines = _lines(path)
        head = [cell.lower() for cell in head]
        if [head.count(name) for name in COLUMNS] != [1, 1]:
            problem = f"has the columns {', '.join(head)}"
            lines = []
    except (ValueError, OSError, csv.Error) as error:
        problem, lines = f"is no CSV in UTF-8 ({error})", []
    for cells in lines:
        row = dict(zip(head, cells, strict=False))
        file = _find(path.parent, row.get("path", ""))
        label = plain(row.get("label", ""))
        if file and label and not any(cells[len(head) :]):
            rows.add((file, label, ""))
        else:
            wrong.append(", ".join(cells))
    if wrong:
        problem = (
            f"has {len(wrong):,} lines without a file or a label, or with more "
            f"cells, such as {wrong[0]!r}"
        )
    if problem:
        raise ValueError(
            f"The list {' '.join(problem.split())}. Received: {path}. It needs "
            "one column path and one label, such as `path,label` and below it "
            "`pictures/1.jpg,cat`; paths are relative to the list."
        )
    columns = ["path", "class", "split"]
    return pd.DataFrame(sorted(rows), columns=columns, dtype=object)


def _lines(path: Path) -> list[list[str]]:
    """Return the cells of each line that has any, the header first."""
    data = path.read_bytes()
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = data.decode("utf-16" if utf16 else "utf-8-sig")
    if "\0" in text:
        raise ValueError("it holds NUL characters")
    lines = text.splitlines()
    if lines and lines[0].lower().startswith("sep="):  # for Excel
        del lines[0]
    head = next(filter(str.strip, lines), "")
    separator = max(",;\t", key=head.count)
    reader = csv.reader(
        lines, delimiter=separator, skipinitialspace=True, strict=True
    )
    cells = [[cell.strip() for cell in line] for line in reader]
    found = [line for line in cells if any(line)]
    if not found:
        raise ValueError("it is empty")
    return found


def _find(folder: Path, name: str) -> str:
    """Return the absolute path of a file; empty if there is none."""
    for spelled in (name, name.replace("\\", "/")):
        for form in (
            spelled,
            normalize("NFC", spelled),
            normalize("NFD", spelled),
        ):
            # Joining keeps a path that is absolute as it is.
            full = os.path.abspath(folder / form)
            if form and os.path.isfile(full):
                return Path(full).as_posix()
    return ""


def label_oxford(
    folder: Path, wrapping: Parts, images: list[Parts]
) -> dict[Parts, tuple[str, str]]:
    """Take classes from names and the split from Oxford-IIIT Pet's lists.

    Args:
        folder: The data set's folder.
        wrapping: Where the folders `images` and `annotations` are in it.
        images: Paths in parts.

    Returns:
        Class and split by path, of the images that the lists name.
    """
    splits, labels = {}, {}
    for name, split in (("trainval", "train"), ("test", "test")):
        path = folder.joinpath(*wrapping, "annotations", f"{name}.txt")
        for line in path.read_text("utf-8").splitlines():
            splits[line.partition(" ")[0]] = split
    for parts in images:
        stem = PurePosixPath(parts[-1]).stem
        if parts[:-1] == (*wrapping, "images") and stem in splits:
            labels[parts] = stem.rpartition("_")[0], splits[stem]
    return labels


def species_of(folder: str | Path) -> dict[str, str]:
    """Return the species of each breed, where the data set says it.

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
