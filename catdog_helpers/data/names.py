"""What the names of folders and files say: a split, a class, or nothing."""

import re
import unicodedata
from collections.abc import Iterable

SPLIT_WORDS = {
    "train": "train|training|trn|trainval",
    "validation": "val|valid|validation|validate|dev|eval|evaluation",
    "test": "test|tests|testing|tst|holdout",
    "unlabelled": "pred|predict|predictions?|unlabell?ed|unsup|submission",
}
TAIL = "(sets?|data|images?|imgs?)?"  # as in `trainset`
# They say nothing of what is in the pictures.
GENERIC = """
    set sets data dataset datasets image images img imgs photo photos picture
    pictures pic pics folder split part batch seg single jpg jpeg png raw
    resized small large full final new all original orig copy aug augmented
    labeled labelled sample samples cropped processed clean px x
"""
# What cameras, phones and programs call a picture
CAMERA = """
    dsc dscn dscf dcim pxl mvimg imag cimg sam p pano burst vid gopr gx mg
    screenshot screen shot scan whatsapp wa signal telegram at frame file
    download unnamed untitled thumb thumbnail id no nr page am pm
"""
# Verdicts of `predict`, which no class may be called like
NOT_SURE, UNREADABLE = "not sure", "unreadable"
# What is said of a model wherever it is used, if drawings were its data
DRAWINGS = "trained on drawings; it knows nothing of photographs"
GENERIC = frozenset(GENERIC.split())
CAMERA = GENERIC.union(CAMERA.split())


def plain(name: str) -> str:
    """Return a name as Unicode's composed form, so that equal ones are equal.

    Disks and archives of macOS hold decomposed names: `a` and a diaeresis.
    """
    return unicodedata.normalize("NFC", name)


def same(name: str) -> str:
    """Return what two names share that a reader takes for the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def says_nothing(name: str) -> bool:
    """Return whether a folder is called `images`, `batch_2` or the like."""
    words = [_bare(word) for word in _words(name) if not word.isdigit()]
    return bool(words) and GENERIC.issuperset(words)


def find_splits(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Find those among neighbouring folders that are parts of a split.

    A name that says nothing but the split is one (`train`, `test1`,
    `seg_pred`, `valid_images`). With another word it is one only if a
    neighbour has the same word with another split (`cats_train` beside
    `cats_val`), and never beside a name that says the same split and nothing
    else (`train_masks` beside `train`). So `training_shoes` beside `test_tube`
    or `boots` are classes.

    Args:
        names: Of all folders in one folder.

    Returns:
        By name: the split and the other words.
    """
    found = {name: _split_of(name) for name in names}
    exact = {split for split, rest in found.values() if not rest}
    together = {}
    for split, rest in found.values():
        together.setdefault(rest.casefold(), {""}).add(split)

    def is_part(split: str, rest: str) -> bool:
        shared = len(together[rest.casefold()]) > 2 and split not in exact
        return bool(split) and (not rest or shared)

    return {name: pair for name, pair in found.items() if is_part(*pair)}


def class_in(stem: str) -> str:
    """Return the class that a file's name may begin or end with.

    Args:
        stem: The name without extension: `cat.0`, `great_pyrenees_12`,
            `0001-dog`, `cat (3)`.

    Returns:
        The words beside the number; empty if there is no number, or if the
        words are those of a camera (`IMG_0001`).
    """
    digits = r"[\s._()\-\[\]]*\d[\d\s._()\-\[\]]*"
    label = re.sub(f"^{digits}|{digits}$", "", plain(stem))
    words = set(re.findall(r"[^\W\d_]+", label.lower()))
    if label == plain(stem) or not words or words <= CAMERA:
        return ""
    return label.strip(" ._-()[]")


def like_verdicts(classes: list[str]) -> list[str]:
    """Return the classes that a verdict of `predict` would be mistaken for."""
    known = set(map(same, classes))
    both = {f"{a} or {b}" for a in known for b in known}
    verdicts = {NOT_SURE, UNREADABLE, *both}
    return [name for name in classes if same(name) in verdicts]


def _words(name: str) -> list[str]:
    """Return the words and numbers of a name: `trainSet_2` has three."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain(name))
    return re.findall(r"[^\W\d_]+\d*|\d+", name)


def _bare(word: str) -> str:
    return word.lower().rstrip("0123456789")


def _split_of(name: str) -> tuple[str, str]:
    """Return the split that a name names, "" if none or several; and the rest.

    The rest are the words that say something, numbers only beside others.
    """
    splits, rest = set(), []
    for word in _words(name):
        found = [
            split
            for split, words in SPLIT_WORDS.items()
            if re.fullmatch(f"({words}){TAIL}", _bare(word))
        ]
        splits.update(found)
        if not found and _bare(word) not in GENERIC:
            rest.append(word)
    if splits == {"train", "validation"}:  # as in `train_val`
        splits = {"train"}
    if all(word.isdigit() for word in rest):
        rest = []
    return splits.pop() if len(splits) == 1 else "", "_".join(rest)
