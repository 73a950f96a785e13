"""The command line: `catdog predict`, `catdog check`, `catdog export`."""

import argparse
import io
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from catdog_helpers import __version__
from catdog_helpers.deploy.formats import FILES
from catdog_helpers.machine.failures import one_line
from catdog_helpers.machine.files import read_json

EPILOG = """\
examples:
  {program} predict --csv answers.csv --sort sorted \\
      --model runs/sample/models/fine_tuned.keras ~/pictures
  {program} export --format web --to page \\
      --model runs/sample/models/fine_tuned.keras

exit status:
  0    all went well
  1    a photograph could not be read, or there was none
  2    the arguments, the model or a file that is written cannot be used
  130  stopped by Ctrl-C
  141  what reads the output has closed it, as `head` does"""
PREDICT = """\
Name what is on photographs. Prints a line for each: path, verdict, calibrated
probability. The verdict is a class, "cat or dog" if both are likely, "not
sure" for a picture unlike the training images (then the line says whose
probability it is), or "unreadable" and the reason."""
CHECK = """\
Check a model on photographs that it has not seen, one folder for each class:
the accuracy beside that on the test images of its run, class by class, and
what is different about these photographs. Without such folders, the last
alone."""
EXPORT = """\
Write a model for use without Keras, and compare it with the model on test
images of its run: a file that answers differently is not kept."""
# Keras imports them if they are there, for plots and wrappers that are not
# needed here: a third of the time of `import keras`.
NEEDLESS = ("IPython", "matplotlib", "pandas", "sklearn")


def main(arguments: list[str] | None = None) -> int:
    """Predict photographs, or export a model, from the command line.

    Args:
        arguments: Those after the program's name. Defaults to `sys.argv`.

    Returns:
        Exit status, as `--help` lists them.
    """
    _prepare_output()
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        run = {"predict": _predict, "check": _check, "export": _export}
        return run[command](**options)
    except BrokenPipeError:
        # Else Python fails again when it flushes the output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ImportError, OSError, ValueError, MemoryError) as error:
        _say(command, _as_typed(str(error), options))
        return 2
    except KeyboardInterrupt:
        goes_on = "; the same command goes on" if options.get("csv") else ""
        _say(command, f"stopped{goes_on}")
        return 130


def _parser() -> argparse.ArgumentParser:
    program = Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "python -m catdog_helpers"
    make = partial(
        argparse.ArgumentParser,
        epilog=EPILOG.format(program=program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "Use the models that the catdog notebooks have trained."
    parser = make(prog=program, description=text)
    version = f"catdog-helpers {__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(
        dest="command", required=True, parser_class=make
    )
    text = "name what is on photographs"
    predict = commands.add_parser("predict", help=text, description=PREDICT)
    text = "measure a model on new photographs"
    checker = commands.add_parser("check", help=text, description=CHECK)
    checker.add_argument("folder", metavar="FOLDER", help="a folder or a zip")
    text = "write a model for use without Keras"
    export = commands.add_parser("export", help=text, description=EXPORT)
    for command in (predict, checker, export):
        text = "a .keras file"
        command.add_argument(
            "--model", required=True, metavar="FILE", help=text
        )
    _add_predict(predict.add_argument)
    _add_export(export.add_argument)
    return parser


def _add_predict(add: Callable) -> None:
    text = "write a table, or go on with the one that is there"
    add("--csv", type=Path, metavar="FILE", help=text)
    text = "copy the photographs to this folder, by verdict"
    add("--sort", type=Path, metavar="FOLDER", help=text)
    text = "average two views of each photograph; takes twice as long"
    add("--mirror", action="store_true", help=text)
    text = "photographs at a time; changes only speed and memory"
    add("--batch-size", type=int, default=32, metavar="N", help=text)
    text = "a file, a folder, a zip or a 'pattern*'"
    add("sources", nargs="+", metavar="SOURCE", help=text)


def _add_export(add: Callable) -> None:
    add("--format", required=True, choices=FILES)
    add("--to", required=True, type=Path, metavar="FOLDER")
    text = "litert: 8 bits, calibrated on the run's training images"
    add("--int8", action="store_true", help=text)
    text = "web: folder of LiteRT.js; by default it is downloaded once"
    add("--runtime", metavar="FOLDER", help=text)


def _prepare_output() -> None:
    """Make printing fail neither for a character nor for a closed stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace", line_buffering=True)


def _start() -> None:
    """Import the framework without what it may miss."""
    from catdog_helpers.machine.backend import use_backend

    hidden = dict.fromkeys(n for n in NEEDLESS if n not in sys.modules)
    sys.modules.update(hidden)  # None: an ImportError for who imports it
    try:
        use_backend()
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


def _predict(model: str, csv: Path | None, **options) -> int:
    _start()
    from catdog_helpers.data.names import DRAWINGS
    from catdog_helpers.prediction.predictor import predict

    kept = bool(csv and csv.is_file() and csv.stat().st_size)
    if "trained_on" in read_json(Path(model).with_suffix(".json")):
        _say("predict", DRAWINGS)
    failed, n_rows = _print(predict(model, csv=csv, **options))
    if kept:
        _say("predict", f"{csv} goes on: {n_rows:,} new rows")
    elif not n_rows:
        _say("predict", "no photographs found")
    return int(failed > 0 or not (n_rows or kept))


def _print(rows: Iterable[dict]) -> tuple[int, int]:
    """Print a line for each row; return how many failed, and how many came."""
    from tqdm import tqdm

    failed = n_rows = 0
    bar = tqdm(
        rows, "predict", unit=" photographs", mininterval=1, disable=None
    )
    for row in bar:
        n_rows += 1
        failed += bool(row["error"])
        figure = f"{row['probability']:.4f}"
        if row["verdict"] != row["class"]:  # whose probability it is
            figure = f"{row['class']} {figure}"
        fields = row["path"], row["verdict"], row["error"] or figure
        with tqdm.external_write_mode():
            print(*map(one_line, fields), sep="\t")
    return failed, n_rows


def _check(model: str, folder: str) -> int:
    _start()
    from catdog_helpers.study.shift import check

    found = check(model, folder)
    print(*map(one_line, found.said), sep="\n")
    for table in (found.classes, found.differences):
        if len(table):
            print(f"\n{table.to_string(float_format='{:.3f}'.format)}")
    return 0


def _export(model, format, to, int8, runtime) -> int:
    _start()
    from catdog_helpers.deploy.exporting import export
    from catdog_helpers.machine.backend import quiet

    with quiet():  # the converters have their own logs
        found = export(model, format, to, int8=int8, runtime=runtime)
    if format == "card":
        print(f"{to}: {found['bytes']:,} bytes. Read {to}/README.md, then")
        print(f"share it: hf upload YOUR_NAME/MODEL_NAME {to}")
        return 0
    parity = found["parity"]
    print(
        f"{one_line(to / found['file'])}: {found['bytes']:,} bytes; same "
        f"class on {parity['class_agreement']:.2%} of {parity['images']} "
        "images, probabilities at most "
        f"{parity['largest_difference']:.1e} apart"
    )
    if format == "web":
        print(f"Look: {sys.executable} -m http.server -d {one_line(to)}")
    return 0


def _as_typed(text: str, options: dict) -> str:
    """Name the options in a message as they are typed."""
    for name in options:
        text = text.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return text


def _say(command: str, text: str) -> None:
    print(f"{command}: {one_line(text)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
