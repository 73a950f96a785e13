"""The dials of `make run`: what there is to set, and what each one takes.

A dial is a name that a notebook assigns in its cell tagged `parameters` (for
the reader) or `settings` (for the tools), with the comment behind it; `TOOLS`
adds those that no notebook has.

    python tools/dials.py

writes the list of all dials, docs/dials.md.
"""

import ast
import difflib
import functools
import json
import os
import re
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "dials.md"
TAGS = {"parameters", "settings"}
ASSIGNED = re.compile(r"(?m)^([A-Z][A-Z_]*) = (.+?)(?:  # (.+))?$")
WHOLE = ("DEVICES", "RESOLUTION", "TRAIN", "VALIDATION", "TEST")
PATHS = ("OUT", "DATA", "PERSIST", "PHOTOS", "NEW", "CATDOG_MODEL")
CHOICES = {
    "BACKEND": ("tensorflow", "jax", "torch"),
    "PRECISION": ("float32", "bfloat16", "float16"),
    "COPIES": ("near", "identical"),
}
# Those of no notebook: what each one sets, and its default.
TOOLS = {
    "NOTEBOOKS": ("numbers, ranges or parts of names: 1-6,lab", "1-5"),
    "BACKEND": (", ".join(CHOICES["BACKEND"]), "the first one installed"),
    "PRECISION": (", ".join(CHOICES["PRECISION"]), "the fastest here"),
    "DEVICES": ("how many GPUs share each batch", "1"),
    "PERSIST": ("a folder that outlives the session, for backups", "none"),
}
# What the notebooks share, in the words of this page.
SHARED = {
    "DATASET": "a name, the path of a folder, zip, tar or CSV, an address",
    "IMAGE_SIZE": "side of the square images in pixels",
    "TRAIN": "training images over all classes",
    "VALIDATION": "validation images over all classes",
    "TEST": "test images over all classes",
    "BASE": "pretrained base: a name, the path of a saved model, or auto",
    "WEIGHTS": "imagenet, the path of a file, or None: random",
    "EPOCHS": "passes over the training images, at most",
    "BATCH_SIZE": "images in each step",
    "LEARNING_RATE": "of the optimizer, at its highest",
    "SEED": "seed of everything random",
    "COPIES": "which copies stay on one side: near or identical",
    "DATA": "folder of what is downloaded and prepared",
    "OUT": "folder of the run",
}


class DialError(ValueError):
    """A dial that does not exist, or a value that it cannot take."""


class Dial(NamedTuple):
    """A dial as one notebook has it."""

    notebook: str
    default: str
    about: str


def series() -> list[Path]:
    """Return the files of all notebooks, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@functools.cache
def known_dials() -> dict[str, list[Dial]]:
    """Read the dials: by name, one entry for each notebook that has it."""
    found: dict[str, list[Dial]] = {}
    for path in series():
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if TAGS & set(cell["metadata"].get("tags", [])):
                source = "".join(cell["source"])
                for name, default, about in ASSIGNED.findall(source):
                    dial = Dial(path.name[:2], default, about)
                    found.setdefault(name, []).append(dial)
    return found | {name: [] for name in TOOLS}


def parse_dials(arguments: Iterable[str]) -> dict[str, Any]:
    """Check `NAME=VALUE` arguments and add the defaults.

    Relative paths are taken from the working directory. A name or a value
    that makes no sense raises a DialError.
    """
    from catdog_helpers.bases import BASES, DEFAULT_SIZE
    from catdog_helpers.data.defaults import USUAL, run_dir, settings

    dials: dict[str, Any] = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        try:
            dials[name] = _parse(name, text)
        except DialError as error:
            raise DialError(f"{name} {error} Received: {argument}") from None
    dataset = dials.setdefault("DATASET", "sample")
    base = dials.setdefault("BASE", settings(dataset).base)
    usual = {k.upper(): v for k, v in USUAL.get(dataset, {}).items()}
    usual.pop("IMAGE_SIZE", None)
    if base in BASES:  # else the saved model tells
        usual["IMAGE_SIZE"] = BASES[base].image_size
    elif base == "auto":  # all are compared on images of one size
        drawn = settings(dataset).base == "sample"
        usual["IMAGE_SIZE"] = (
            BASES["sample"].image_size if drawn else DEFAULT_SIZE
        )
    dials = usual | dials
    dials.setdefault("NOTEBOOKS", _notebooks("1-5"))
    random = "-random" if dials.get("WEIGHTS", "") is None else ""
    out = run_dir(dataset, base, runs=ROOT / "runs")
    dials.setdefault("OUT", f"{out}{random}")
    return dials


def _parse(name: str, text: str) -> Any:
    """Read a value: as a path, a name, or a Python literal."""
    known = known_dials()
    if name not in known:
        raise DialError(f"is not a dial. {_choices(name, known)}.")
    if not text:
        raise DialError("has no value.")
    if name in PARSERS:
        return PARSERS[name](text)
    if name in PATHS:
        return _path(text)
    if name in CHOICES and text not in CHOICES[name]:
        raise DialError(f"must be one of {', '.join(CHOICES[name])}.")
    if name == "BACKEND" and not find_spec(text):
        raise DialError(f"is not installed: pip install {text}.")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    defaults = [ast.literal_eval(dial.default) for dial in known[name]]
    if name in WHOLE or any(type(x) is int for x in defaults):
        least = 0 if name == "SEED" else 1
        if type(value) is not int or value < least:
            raise DialError(f"must be a whole number, {least} or more.")
    elif any(type(x) is bool for x in defaults) and type(value) is not bool:
        raise DialError("must be True or False.")
    return value


def _choices(word: str, known: Iterable[str]) -> str:
    lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lower, 1)
    hint = f"Did you mean {lower[near[0]]}? " if near else ""
    return f"{hint}Known: {', '.join(lower.values())}"


def _path(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def _dataset(text: str) -> str:
    from catdog_helpers.data.sources import NAMES

    if text in NAMES or text.startswith("https://"):
        return text
    if "://" in text:
        raise DialError("takes addresses that start with https:// only.")
    if not os.path.exists(_path(text)):
        raise DialError(
            "must be a known name, an https address, or a zip, tar, CSV or "
            f"folder that exists. {_choices(text, NAMES)}."
        )
    return _path(text)


def _base(text: str) -> str:
    from catdog_helpers.bases import BASES
    from catdog_helpers.machine.presets import HUB

    if text in BASES or text == "auto" or text.startswith(HUB):
        return text
    if not (text.endswith(".keras") and os.path.isfile(_path(text))):
        raise DialError(
            "must be a known name or a .keras file that exists. "
            f"{_choices(text, [*BASES, 'auto', 'hub:<preset>'])}."
        )
    return _path(text)


def _bases(text: str) -> str:
    from catdog_helpers.machine.presets import HUB

    if text in ("all", "none"):
        return text
    entries = []
    for entry in text.split(","):
        if entry.startswith(HUB):
            entries.append(entry)
            continue
        base, colon, weights = entry.partition(":")
        entries.append(_base(base) + colon + (weights and _weights(weights)))
    return ",".join(entries)


def _weights(text: str) -> str | None:
    if text in ("None", "none"):
        return None
    if text != "imagenet" and not os.path.isfile(_path(text)):
        raise DialError("must be imagenet, None, or a file that exists.")
    return text if text == "imagenet" else _path(text)


def _notebooks(text: str) -> list[str]:
    """Read "1-6,lab" as file names."""
    names = {path.name: int(path.name[:2]) for path in series()}
    chosen = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and (last if dash else first).isdecimal():
            wanted = range(int(first), int(last or first) + 1)
            found = {name for name in names if names[name] in wanted}
        else:
            found = {name for name in names if part and part in name}
        if not found:
            raise DialError(
                "must be numbers, rising ranges of 0 to "
                f"{max(names.values())}, or words of file names: 1-6,lab."
            )
        chosen |= found
    return sorted(chosen)


PARSERS = {
    "DATASET": _dataset,
    "BASE": _base,
    "BASES": _bases,
    "WEIGHTS": _weights,
    "NOTEBOOKS": _notebooks,
}


HEAD = """\
# The dials of `make run`

`make run NAME=VALUE ...` sets them; in a notebook, change its `parameters`
cell. This page is written by `python tools/dials.py`.

| dial | what it sets | default | notebooks |
| --- | --- | --- | --- |"""


def to_markdown() -> str:
    """Return docs/dials.md: every dial, and the defaults by data set."""
    from catdog_helpers.data.defaults import USUAL, Settings

    lines = [HEAD]
    for name, found in known_dials().items():
        rows: dict[tuple[str, str], list[str]] = {}
        for notebook, default, about in found:
            row = SHARED.get(name, about), default
            rows.setdefault(row, []).append(notebook)
        rows = rows or {TOOLS[name]: ["all"]}
        for (about, default), notebooks in rows.items():
            cells = f"`{name}`", about, f"`{default}`", ", ".join(notebooks)
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "What `make run` sets by data set:", ""]
    usual = Settings(Path())._asdict()
    columns = [name for name in usual if name != "out"]
    lines.append(f"| data set | {' | '.join(c.upper() for c in columns)} |")
    lines.append(f"| --- {'| --- ' * len(columns)}|")
    for dataset, given in [*USUAL.items(), ("all others", {})]:
        values = [str((usual | given)[c]) for c in columns]
        lines.append(f"| {dataset} | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(to_markdown(), "utf-8")
