"""What the names of folders and files say: a split, a class, or nothing."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

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
GENERIC = frozenset(GENERIC.split())
CAMERA = GENERIC.union(CAMERA.split())


def plain(name: str) -> str:
    """Return a name as Unicode's composed form, so that equal ones are equal.

    Disks and archives of macOS hold decomposed names: `a` and a diaeresis.
    """
    return unicodedata.normalize("NFC", name)


def forms(name: str) -> tuple[str, ...]:
    """Return a name as it is, composed, and decomposed."""
    both = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return (name, *both)


def same(name: str) -> str:
    """Return what two names share that a reader takes for the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _words(name: str) -> list[str]:
    """Return the words and numbers of a name: `trainSet_2` has three."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain(name))
    return re.findall(r"[^\W\d_]+\d*|\d+", name)


def _bare(word: str) -> str:
    return word.lower().rstrip("0123456789")


def split_of(name: str) -> tuple[str, str]:
    """Return which split a folder's name names, and what else it says.

    Args:
        name: Such as `train`, `seg_test`, `cats_val_2`.

    Returns:
        "train", "validation", "test", "unlabelled" or "" if no word of the
        name, or words of different splits, say so; and the other words that
        say something, such as `cats`. Numbers say something only beside
        other words.
    """
    splits, rest = set(), []
    for word in _words(name):
        found = [
            split
            for split, words in SPLIT_WORDS.items()
            if re.fullmatch(f"({words}){TAIL}", _bare(word))
        ]
        splits |= set(found)
        if not found and _bare(word) not in GENERIC:
            rest.append(word)
    if splits == {"train", "validation"}:  # as in `train_val`
        splits = {"train"}
    if all(word.isdigit() for word in rest):
        rest = []
    return splits.pop() if len(splits) == 1 else "", "_".join(rest)


def find_splits(
    names: Iterable[str], holding: Collection[str] = ()
) -> dict[str, tuple[str, str]]:
    """Find those among neighbouring folders that are parts of a split.

    A name that says nothing but the split is one (`train`, `test1`,
    `seg_pred`, `valid_images`). With another word it is one only if a
    neighbour has the same word with another split (`cats_train` beside
    `cats_val`), or if every neighbour names a split; and never beside a name
    that says the same split and nothing else (`train_masks` beside `train`).
    So `training_shoes` beside `test_tube` or `boots` are classes. A folder
    of folders that has the other word alone is what is trained (`rps` beside
    `rps-test-set`).

    Args:
        names: Of all folders in one folder.
        holding: Those that hold folders themselves.

    Returns:
        By name: the split and the other words.
    """
    found = {name: split_of(name) for name in names}
    for name in set(holding) & set(found):
        split, rest = found[name]
        parts = [n for n in found if found[n][1] == rest and found[n][0]]
        kinds = {found[part][0] for part in parts} - {"unlabelled"}
        alike = rest and set(parts) & set(holding)
        if not split and alike and kinds and "train" not in kinds:
            found[name] = ("train", rest)
    exact = {split for split, rest in found.values() if not rest}
    together = {}
    for split, rest in found.values():
        together.setdefault(rest.casefold(), set()).add(split)
    shared = {
        rest for rest in together if rest and len(together[rest] - {""}) > 1
    }
    every = all(split for split, _ in found.values()) and (exact or shared)
    return {
        name: (split, rest)
        for name, (split, rest) in found.items()
        if split
        and (
            not rest
            or (split not in exact and (every or rest.casefold() in shared))
        )
    }


def says_nothing(name: str) -> bool:
    """Return whether a folder is called `images`, `batch_2` or the like."""
    words = [_bare(word) for word in _words(name) if not word.isdigit()]
    return bool(words) and GENERIC.issuperset(words)


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


def classes_in(stems: list[str], few: int = 3) -> tuple[dict[str, str], str]:
    """Find the classes in the names of files, if all have one.

    Args:
        stems: The files' names without extension.
        few: Files of each class at least.

    Returns:
        Class by stem, empty if the names hold no classes: one has none, or
        there are fewer than two, or too few files of one. And the reason.
    """
    found = {stem: class_in(stem) for stem in stems}
    without = [stem for stem, label in found.items() if not label]
    counts = Counter(found.values())
    rare = [label for label in counts if counts[label] < few]
    if without:
        first = without[0]
        problem = f"{len(without):,} lack a word or number, such as {first!r}"
    elif len(counts) < 2:
        problem = f"all begin with {next(iter(counts), '')!r}"
    elif rare:
        problem = f"too few begin with {rare[0]!r}"
    else:
        return found, ""
    return {}, problem
