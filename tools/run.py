"""Run notebooks in order, 01 to 05, on the data and with the base you name.

    python tools/run.py DATASET=photos.zip BASE=MobileNetV2 EPOCHS=5

`make run` calls this. A value given here replaces the one in the notebooks'
`parameters` cells; executed notebooks, models and results land in `OUT`.
`--help` lists what can be set.
"""

import signal

if __name__ == "__main__":  # before anything has begun, Ctrl-C just ends it
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dials import (
    ASSIGNED,
    ROOT,
    TAGS,
    DialError,
    known_dials,
    parse_dials,
    series,
)

# What the kernels get as environment variables
FROM_ENVIRONMENT = {
    "BACKEND": "KERAS_BACKEND",
    "PRECISION": "CATDOG_PRECISION",
    "DEVICES": "CATDOG_DEVICES",
    "PERSIST": "CATDOG_PERSIST",
}


def run(
    dials: dict[str, Any], notebooks: Iterable[str | Path] | None = None
) -> Path:
    """Execute notebooks in order, each in a fresh kernel of this Python.

    By default, those that `NOTEBOOKS` names, without 04 if the base has no cut
    and so nothing to fine-tune. They are kept in `OUT`, which is returned, as
    executed, also one that failed with a RuntimeError, whose message is one
    line.
    """
    import nbformat

    from execute import execute, say

    if notebooks is None:
        chosen = [p for p in series() if p.name in dials["NOTEBOOKS"]]
        notebooks = [p for p in chosen if _has_what_it_needs(p, dials)]
        for path in chosen:
            if path not in notebooks:
                say(f"{path.stem} is skipped: a saved base needs a CUT", "\n")
    out = Path(dials["OUT"])
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    values = {"DATA": str(ROOT / "data"), **dials}
    for path in map(Path, notebooks):
        notebook = nbformat.read(path, as_version=4)
        _inject(notebook, values)
        target = out / "notebooks" / path.stem
        execute(notebook, path.resolve(), target, _environment(dials))
    return out


def _has_what_it_needs(path: Path, dials: dict[str, Any]) -> bool:
    from catdog_helpers.bases import default_cut

    cut = dials.get("CUT") or default_cut(dials["BASE"])
    return bool(cut) or "fine_tuning" not in path.name


def _inject(notebook, values: dict[str, Any]) -> None:
    """Add a cell with other values below each one that has dials."""
    from nbformat.v4 import new_code_cell

    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if TAGS & set(cell.metadata.get("tags", [])):
            names = (name for name, *_ in ASSIGNED.findall(cell.source))
            lines = [f"{x} = {values[x]!r}" for x in names if x in values]
            tags = {"tags": ["injected-parameters"]}
            if lines:
                cells.append(new_code_cell("\n".join(lines), metadata=tags))
    notebook.cells = cells


def _environment(dials: dict[str, Any]) -> dict[str, str]:
    """Return what the kernels get besides this process's environment."""
    chosen = {
        variable: str(dials[name])
        for name, variable in FROM_ENVIRONMENT.items()
        if name in dials
    }
    return {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **chosen,
    }


# Another process imports Keras: what it logs is left out, and a GPU's memory
# is free again when the notebooks need it.
CHECK = """
import json, sys
import catdog_helpers as ch
ch.use_backend()
from catdog_helpers.study.choice import check_base
try:
    print(check_base(**json.loads(sys.argv[1])))
except (ValueError, OSError, ImportError) as error:
    sys.exit("Error: " + str(error).partition("\\n")[0])
"""


# Prints, last, the chosen base and its weights.
CHOOSE = """
import json, sys
import catdog_helpers as ch
ch.use_backend()
out, bases = json.loads(sys.argv[1])
try:
    options = [bases] if bases else []
    table = ch.study.compare_bases(ch.load_run(out), *options)
except (ValueError, OSError, ImportError) as error:
    sys.exit("Error: " + str(error).partition("\\n")[0])
table.to_csv(out + "/bases.csv")
for name, reason in table.missing[table.missing != ""].items():
    print(name, "is left out:", reason.partition("\\n")[0])
print(ch.study.say_base(table))
print(json.dumps(table[table.chosen][["base", "weights"]].values[0].tolist()))
"""


def _ask(code: str, argument: Any, dials: dict[str, Any]) -> list[str]:
    """Run code in another process, and return the lines that it prints.

    Raises:
        DialError: If it fails; the message is one line.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(argument)],
        env=os.environ | _environment(dials),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["Python died"])[-1]
        raise DialError(f"BASE: {reason.removeprefix('Error: ')}")
    return done.stdout.splitlines()


def _choose_base(dials: dict[str, Any]) -> None:
    """Run notebook 01, compare bases on its images, and set the best.

    `BASES` may name those to compare.

    Raises:
        DialError: If none can be loaded; the message is one line.
    """
    from catdog_helpers.data.defaults import settings

    first = [path for path in series() if path.name.startswith("01")]
    out = run(dials, first)
    dials["NOTEBOOKS"] = [n for n in dials["NOTEBOOKS"] if n[:2] != "01"]
    bases = settings(dials["DATASET"], bases=dials.get("BASES")).bases
    if bases == "none":
        bases = settings(dials["DATASET"]).base
    bases = None if bases == "all" else bases.split(",")
    *said, chosen = _ask(CHOOSE, [str(out), bases], dials)
    print("", *said, "", sep="\n")
    dials["BASE"], weights = json.loads(chosen)
    if weights != "imagenet":
        dials["WEIGHTS"] = weights


def _check_base(dials: dict[str, Any]) -> None:
    """Check that the base can be loaded and cut, and set the image size."""
    names = ("BASE", "WEIGHTS", "CUT", "IMAGE_SIZE", "RESOLUTION")
    given = {name.lower(): dials[name] for name in names if name in dials}
    if given.keys() <= {"base", "image_size"} and given["base"] == "sample":
        return  # it is part of the package
    found = _ask(CHECK, given, dials)
    dials.setdefault("IMAGE_SIZE", int(found[-1]))


def _write_report(out: Path, dials: dict[str, Any]) -> None:
    """Write `report.html` if a method was measured."""
    import nbformat

    from report import NOTEBOOK, write_report

    if any((out / "results").glob("*.json")):
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        _inject(notebook, dials | {"OUT": str(out)})
        write_report(notebook, out, _environment(dials))


def _sum_up(out: Path) -> None:
    """Print the scoreboard, the advice, and what to do next."""
    from catdog_helpers.data.names import DRAWINGS
    from catdog_helpers.results import last_method, load_results, to_scores
    from execute import shown

    results = load_results(out)
    if results:  # else only notebook 01 has run
        title = "test accuracy [95 %]"
        board = to_scores(results.values()).reset_index()
        figures = board["test accuracy"], board["low"], board["high"]
        board[title] = list(map("{:.3f} [{:.3f}, {:.3f}]".format, *figures))
        board = board[["method", title, "training images", "seconds"]]
        table = board.to_string(index=False, float_format="{:.0f}".format)
        print(f"\n{table}")
    advice = out / "advice.txt"
    if advice.is_file():
        print(f"\n{advice.read_text('utf-8')}")
    print(f"\nLook at  {shown(out / 'notebooks')}/*.html")
    if results:
        last = results[last_method(results)]
        names = sys.executable, out / last["model"]
        names = (shlex.quote(shown(path)) for path in names)
        predict = "{} -m catdog_helpers predict --model {} PHOTO"
        print(f"Predict  {predict.format(*names)}")
        drawn = f" ({DRAWINGS})" if "trained_on" in last else ""
        print(f"Report   {(out / 'report.html').resolve().as_uri()}{drawn}")


def main(arguments: list[str]) -> int:
    """Run the series, write the report, and sum up; return the exit status.

    It is 0; or, after one line on stderr, 1 if a cell failed, 2 for a wrong
    dial, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # whatever a file is called
        stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.path.insert(0, str(ROOT))
    try:
        if {"-h", "--help"} & {*arguments}:
            print(f"{__doc__}\nThe dials (docs/dials.md has more):")
            print(f"  {', '.join(known_dials())}")
            return 0
        dials = parse_dials(arguments)
        if dials["BASE"] == "auto":
            _choose_base(dials)
        _check_base(dials)
        out = run(dials)
        _write_report(out, dials)
        _sum_up(out)
        return 0
    except KeyboardInterrupt:
        status, reason = 130, "Stopped; what is in the run's folder stays."
    except (DialError, RuntimeError, OSError) as error:
        status, reason = 2 if isinstance(error, DialError) else 1, error
    print(reason, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
