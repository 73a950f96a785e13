"""What the folders around images say: the classes, and a split.

The rules, in this order:

1. A folder that holds nothing but one other folder is walked through.
2. A folder that holds the set once more, byte for byte, is left out.
3. Folders called like splits (see `find_splits`) are the parts of a split, and
   never classes. The classes are the folders inside, or, where there are
   none, the beginnings of the files' names. A part with none of the classes
   that are trained is left out: it has no labels.
4. Otherwise each folder is a class, with all that is in it. If two of them
   hold folders of the same name, it is the wrong level, and an error.
What is left out, or understood in an unusual way, is said in a note.
"""

from dataclasses import dataclass, field
from pathlib import Path

from catdog_helpers.data.labels import label_by_names
from catdog_helpers.data.names import find_splits, plain, same, says_nothing
from catdog_helpers.data.tree import Folder, Parts, double, grow


@dataclass
class Labels:
    """What was understood: class and split by image, levels, notes."""

    found: dict[Parts, tuple[str, str]] = field(default_factory=dict)
    levels: list[Folder] = field(default_factory=list)  # of class folders
    notes: list[str] = field(default_factory=list)
    left_out: set[Parts] = field(default_factory=set)  # and said so
    problem: str = ""  # why the files' names give no classes

    def leave_out(self, folder: Folder, why: str) -> None:
        """Leave out all images of a folder, and note it."""
        files = list(folder.all_files())
        self.left_out.update(files)
        self.notes.append(
            f"Images left out: all {len(files):,} in {folder.path}, as {why}"
        )


def label_by_folders(root: Path, images: list[Parts]) -> Labels:
    """Find class and split of images by the folders they lie in.

    Args:
        root: The folder with the images.
        images: Their paths in it, in parts.

    Returns:
        What was found; no classes if the folders say nothing.

    Raises:
        ValueError: If folders can be understood in two ways.
    """
    labels = Labels()
    top = _open(grow(root, images), labels)
    kinds = find_splits(
        top.folders, [n for n, f in top.folders.items() if f.folders]
    )
    splits = {split for split, _ in kinds.values()} - {"unlabelled"}
    others = [name for name in top.folders if name not in kinds]
    if splits and others and not (len(splits) > 1 and "train" in splits):
        raise _unclear_split(top, kinds, others)
    if not splits:
        for name in kinds:
            labels.leave_out(
                top.folders.pop(name), "by its name they have no labels"
            )
        _label_level(top, labels)
    else:
        for name in others:
            labels.leave_out(
                top.folders.pop(name),
                f"that is no part of the split into {', '.join(kinds)}",
            )
        _label_split(top, kinds, labels)
    return labels


def _open(folder: Folder, labels: Labels) -> Folder:
    """Walk through what only wraps; leave out what is there twice."""
    while True:
        inner = list(folder.folders.values())
        if len(inner) == 1 and inner[0].folders and not inner[0].files:
            folder = inner[0]
        elif again := double(folder):
            labels.leave_out(
                folder.folders.pop(again[0]),
                f"the same are in {again[1]}",
            )
        else:
            return folder


def _label_level(folder: Folder, labels: Labels) -> None:
    """Take the folders as classes, or else the names of the files."""
    inner = folder.folders
    flat = [f for f in [folder, *inner.values()] if f.files and not f.folders]
    unnamed = not inner or len(inner) == 1 or all(map(says_nothing, inner))
    if unnamed and len(flat) == max(1, len(inner)):
        files = [parts for f in flat for parts in f.files]
        found, labels.problem = label_by_names(files)
        if found:
            labels.found = {parts: (name, "") for parts, name in found.items()}
            labels.notes.append(_from_names(folder, found))
            return
    if _label_splits_inside(folder, labels):
        return
    for name, files in _classes(folder, labels).items():
        labels.found |= dict.fromkeys(files, (name, ""))


def _from_names(folder: Folder, found: dict) -> str:
    names = sorted(set(found.values()))
    more = f" and {len(names) - 5} others" if len(names) > 5 else ""
    return (
        f"The classes of the {len(found):,} images in {folder.path} are taken "
        f"from the files' names: {', '.join(names[:5])}{more}"
    )


def _label_splits_inside(folder: Folder, labels: Labels) -> bool:
    """Label folders of classes, each of which holds the parts of a split."""
    splits = {n: find_splits(f.folders) for n, f in folder.folders.items()}
    kinds = {split for found in splits.values() for split, _ in found.values()}
    inner = folder.folders.values()
    whole = all(set(f.folders) == set(splits[f.path.name]) for f in inner)
    parts = [part for f in inner for part in f.folders.values()]
    deeper = [name for part in parts for name in part.all_names()]
    mixed = any(f.files for f in inner)
    if deeper or mixed or not (whole and {"train"} < kinds):
        return False
    for name, found in splits.items():
        for part, (split, _) in found.items():
            files = folder.folders[name].folders[part].all_files()
            labels.found |= dict.fromkeys(files, (plain(name), split))
    labels.notes.append(
        f"In {folder.path} each class holds its own split, such as "
        f"{name}/{part}: understood so"
    )
    return True


def _classes(folder: Folder, labels: Labels) -> dict[str, list[Parts]]:
    """Return the images of each class by the names of its folders."""
    where, beside = {}, set(map(same, folder.folders))
    for name, inner in folder.folders.items():
        for deeper in inner.all_names():
            other = where.setdefault(same(deeper), name)
            if other != name or same(deeper) in beside:
                raise _too_high(folder, deeper, name, other)
    labels.levels.append(folder)
    deep = [f for f in folder.folders.values() if len(f.folders) > 1]
    if deep:
        first = min(deep[0].folders)
        labels.notes.append(
            f"Classes that hold several folders: {len(deep)}, such as "
            f"{deep[0].path} with {first!r}. All images in them are taken for "
            "that class"
        )
    classes = {}
    for name, inner in folder.folders.items():
        classes.setdefault(plain(name), []).extend(inner.all_files())
    return classes


def _too_high(folder: Folder, deeper: str, name: str, other: str):
    beside = f"in {other!r} and in {name!r}"
    if other == name:
        beside = f"beside {name!r} and in it"
    sizes = {f.path: len(list(f.all_files())) for f in folder.folders.values()}
    largest = max(sizes, key=sizes.get)
    return ValueError(
        f"There are folders called {deeper!r} {beside}: this seems one level "
        f"too high. Received: {folder.path}. If the classes are further down, "
        f"give one folder, such as {largest}, or bring them together: one "
        "folder for each class. If not, put the images of each class "
        "directly into its folder."
    )


def _unclear_split(top: Folder, kinds: dict, others: list[str]) -> ValueError:
    name = next(n for n, (split, _) in kinds.items() if split != "unlabelled")
    return ValueError(
        f"The folder {name!r} is called like a part of a split, but "
        f"{others[0]!r} beside it is not. Received: {top.path}. If {name!r} is "
        f"a class, rename it, such as 'class_{name}'. If not, move it away, or "
        "put the classes that are beside it into a folder 'train'."
    )


def _label_split(top: Folder, kinds: dict, labels: Labels) -> None:
    """Label the parts of a split, with the classes that are trained."""
    parts = {name: _open(top.folders[name], labels) for name in kinds}
    others = {rest.casefold() for _, rest in kinds.values()}
    inner = any(part.folders for part in parts.values())
    if len(others) > 1 and "" not in others and not inner:
        _label_pairs(top, kinds, labels)
        return
    by_name = sorted(kinds, key=lambda name: kinds[name][0] != "train")
    known = set()
    for name in by_name:  # what is trained comes first
        split, part = kinds[name][0], parts[name]
        classes = {} if split == "unlabelled" else _of_part(part, labels, known)
        if split == "train" or not known:
            known |= {same(label) for label in classes}
        if not classes or not known & {same(label) for label in classes}:
            why = "they have no labels"
            if len(part.folders) > 1 and split != "unlabelled":
                why = (
                    f"no class that is trained is called {min(part.folders)!r}"
                )
            labels.leave_out(part, f"{why}; `predict` can take this folder")
            continue
        for label, files in classes.items():
            labels.found |= dict.fromkeys(files, (label, split))
    if len({split for _, split in labels.found.values()}) == 1:
        for parts, (label, _) in labels.found.items():
            labels.found[parts] = label, ""


def _of_part(part: Folder, labels: Labels, known: set) -> dict:
    """Return the images of each class in a part of a split."""
    inner = list(part.folders.values())
    one = len(inner) == 1 and same(inner[0].path.name) not in known
    flat = inner[0] if one and not inner[0].folders else part
    if flat is part and inner:
        return _classes(part, labels)
    found, problem = label_by_names(flat.files, known)
    labels.problem = labels.problem or problem
    classes = {}
    for parts, label in found.items():
        classes.setdefault(label, []).append(parts)
    if found:
        labels.notes.append(_from_names(flat, found))
    elif one and not known:
        return _classes(part, labels)
    return classes


def _label_pairs(top: Folder, kinds: dict, labels: Labels) -> None:
    """Label folders whose names say the class and the split."""
    for name, (split, label) in kinds.items():
        files = top.folders[name].files
        labels.found |= dict.fromkeys(files, (label, split))
    labels.notes.append(
        f"The folders in {top.path} are taken for class and split, such as "
        f"{name!r} for class {label!r} in {split!r}"
    )
