"""The dials of `make run`: what each takes, and how notebooks get them."""

import ast
import difflib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlparse

import nbformat

ROOT = Path(__file__).resolve().parent.parent
# What the drawn sample is run with unless told otherwise
SAMPLE_DIALS = {"BASE": "sample", "TRAIN": 300, "VALIDATION": 100, "TEST": 600}
SAMPLE_DIALS |= {"BASES": "none", "SEEDS": 2, "SCRATCH_STEPS": 60}
DATASETS = ("sample", "sample_breeds", "small", "full", "oxford_pets")


class DialError(ValueError):
    """A dial that does not exist, or a value that it cannot take."""


def parse_dials(arguments: Iterable[str]) -> dict[str, str | int | None]:
    """Check `NAME=VALUE` arguments and add the defaults.

    Args:
        arguments: For example `["DATASET=photos.zip", "SEED=1"]`. Relative
            paths are taken from the working directory.

    Returns:
        The value of each dial given, and of `DATASET`, `BASE`, `IMAGE_SIZE`,
        `NOTEBOOKS` and `OUT`.

    Raises:
        DialError: If a name or a value makes no sense.
    """
    dials = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        try:
            if name not in DIALS:
                raise DialError(f"is not a dial. {_choices(name, DIALS)}.")
            if not text:
                raise DialError("has no value.")
            dials[name] = DIALS[name](text)
        except DialError as error:
            raise DialError(f"{name} {error} Received: {argument}") from None
    dials.setdefault("DATASET", "sample")
    if dials["DATASET"] == "sample":
        dials = SAMPLE_DIALS | dials
    elif dials["DATASET"] == "sample_breeds":
        dials.setdefault("BASE", "sample")
    dials.setdefault("BASE", "VGG16")
    row = _bases().get(dials["BASE"])
    dials.setdefault("IMAGE_SIZE", row.image_size if row else 192)
    dials.setdefault("NOTEBOOKS", [1, 2, 3, 4, 5])
    dials.setdefault("OUT", str(ROOT / "runs" / run_name(dials)))
    return dials


def run_name(dials: dict[str, str | int | None]) -> str:
    """Name a run after its data and base.

    Args:
        dials: At least `DATASET` and `BASE`; paths and addresses are named
            by their last part without its suffix.

    Returns:
        `<dataset>-<base>`, with `-random` if `WEIGHTS` is `None`.
    """
    names = []
    for value in (dials["DATASET"], dials["BASE"]):
        path = urlparse(value).path if "://" in value else value
        suffix = r"(\.(zip|tar|tgz|gz|bz2|xz|keras))+$"
        name = re.sub(suffix, "", Path(path).name, flags=re.IGNORECASE)
        names.append(re.sub(r"[^\w.-]+", "-", name).strip("-.") or "data")
    random = "WEIGHTS" in dials and dials["WEIGHTS"] is None
    return "-".join(names + ["random"] * random)


def inject(notebook: nbformat.NotebookNode, values: dict) -> set[str]:
    """Add a cell below the one tagged `parameters`, with other values.

    Args:
        notebook: Changed in place.
        values: By name; only those which that cell assigns are added.

    Returns:
        The names that were added.
    """
    for index, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            names = {
                node.id
                for node in ast.walk(ast.parse(cell.source))
                if isinstance(node, ast.Name)
                and isinstance(node.ctx, ast.Store)
            } & values.keys()
            lines = [f"{n} = {v!r}" for n, v in values.items() if n in names]
            new = nbformat.v4.new_code_cell("\n".join(lines))
            new.metadata["tags"] = ["injected-parameters"]
            notebook.cells.insert(index + 1, new)
            return names
    return set()


def _choices(word: str, known: Iterable[str]) -> str:
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, 1)
    hint = f"Did you mean {lower[near[0]]}? " if near else ""
    return f"{hint}Known: {', '.join(lower.values())}"


def _path(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _dataset(text: str) -> str:
    if text in DATASETS or text.startswith("https://"):
        return text
    if "://" in text:
        raise DialError("takes addresses that start with https:// only.")
    if not os.path.exists(_path(text)):
        raise DialError(
            "must be a known name, an https address, or a zip, tar, CSV or "
            f"folder that exists. {_choices(text, DATASETS)}."
        )
    return _path(text)


def _bases() -> dict:
    from catdog_helpers.bases import BASES

    return BASES


def _base(text: str) -> str:
    bases = _bases()
    if text in bases:
        return text
    if not (text.endswith(".keras") and os.path.isfile(_path(text))):
        raise DialError(
            "must be a known name or a .keras file that exists. "
            f"{_choices(text, bases)}."
        )
    return _path(text)


def _base_list(text: str) -> str:
    if text in ("all", "none"):
        return text
    entries = []
    for entry in text.split(","):
        base, colon, weights = entry.partition(":")
        entries.append(_base(base) + colon + (weights and _weights(weights)))
    return ",".join(entries)


def _backend(text: str) -> str:
    from catdog_helpers.machine.backend import BACKENDS

    return _one_of({name: name for name in BACKENDS})(text)


def _model(text: str) -> str:
    if not (text.endswith(".keras") and os.path.isfile(_path(text))):
        raise DialError("must be a .keras file that exists.")
    return _path(text)


def _weights(text: str) -> str | None:
    if text in ("None", "none"):
        return None
    if text != "imagenet" and not os.path.isfile(_path(text)):
        raise DialError("must be imagenet, None, or a file that exists.")
    return text if text == "imagenet" else _path(text)


def _out(text: str) -> str:
    if os.path.exists(_path(text)) and not os.path.isdir(_path(text)):
        raise DialError("must be a folder, or not exist yet.")
    return _path(text)


def _engine(text: str) -> str | None:
    from catdog_helpers.scale.workers import check_engine

    engine = _one_of({"None": None, "ray": "ray"})(text)
    try:
        check_engine(engine)
    except ImportError as error:
        raise DialError(f"cannot be had: {error}.") from None
    return engine


def _one_of(values: dict) -> Callable:
    def parse(text: str):
        if text not in values:
            raise DialError(f"must be one of {', '.join(values)}.")
        return values[text]

    return parse


def _numbers(text: str) -> list[int]:
    """Read "1-6,9" as the notebooks' numbers."""
    spans = []
    if re.fullmatch(r"[1-9](-[1-9])?(,[1-9](-[1-9])?)*", text):
        ends = [part.partition("-") for part in text.split(",")]
        spans = [range(int(a), int(b or a) + 1) for a, _, b in ends]
    if not spans or not all(spans):  # one that falls is empty
        raise DialError(
            "must be numbers and rising ranges of 1 to 9, such as 1-6,9."
        )
    return sorted({number for span in spans for number in span})


def _whole(least: int, most: int = 2**32 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if re.fullmatch(r"[0-9]{1,10}", text) else -1
        if not least <= number <= most:
            raise DialError(f"must be a whole number, {least} to {most}.")
        return number

    return parse


DIALS = {
    "DATASET": _dataset,
    "BASE": _base,
    "WEIGHTS": _weights,
    "BASES": _base_list,
    "RESOLUTION": _whole(32, 1024),
    "CUT": str,
    "IMAGE_SIZE": _whole(32, 1024),
    "TRAIN": _whole(1),
    "VALIDATION": _whole(1),
    "TEST": _whole(1),
    "EPOCHS": _whole(1),
    "BATCH_SIZE": _whole(1),
    "DEVICES": _whole(1),
    "ENGINE": _engine,
    "PRECISION": _one_of({x: x for x in ("float32", "bfloat16", "float16")}),
    "REUSE": _one_of({"True": True, "False": False}),
    "SEEDS": _whole(1),
    "SCRATCH_STEPS": _whole(1),
    "RANGE_TEST": _one_of({"True": True, "False": False}),
    "SEED": _whole(0),
    "NOTEBOOKS": _numbers,
    "OUT": _out,
    "PERSIST": _out,
    "SOLUTION": _one_of({"True": True, "False": False}),
    "CATDOG_MODEL": _model,
    "BACKEND": _backend,
}
