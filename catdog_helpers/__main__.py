"""The command line: `python -m catdog_helpers predict` and `export`."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from catdog_helpers.machine.backend import use_backend

FLAG = {"action": "store_true"}
OPTIONS = (
    ("--model", "a .keras file", {"required": True, "dest": "model_path"}),
    ("--csv", "write a table, or go on with it", {"type": Path}),
    ("--sort", "copy to this folder, by verdict", {"type": Path}),
    ("--mirror", "average two views; takes twice as long", FLAG),
    ("--batch-size", "changes only speed", {"type": int, "default": 32}),
    ("sources", "file, folder, zip, 'pattern*'", {"nargs": "+"}),
)


def main(arguments: list[str] | None = None) -> int:
    """Predict photographs, or export a model, from the command line.

    Args:
        arguments: Those after the program's name. Defaults to `sys.argv`.

    Returns:
        Exit status: 0; 1 if a file could not be read or there is none; 2 for
        a model or table that cannot be used, or no export; 130 for Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m catdog_helpers")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("predict", help="name what is on photographs")
    for name, text, more in OPTIONS:
        command.add_argument(name, help=text, **more)
    _add_export(commands)
    options = vars(parser.parse_args(arguments))
    if options.get("batch_size", 1) < 1:
        parser.error("--batch-size must be 1 or more")
    try:
        use_backend()
    except ValueError as error:
        parser.error(str(error))
    if options.pop("command") == "export":
        return _export(**options)
    from catdog_helpers.prediction.predictor import predict

    try:
        return _print(predict(**options), options["csv"])
    except (OSError, ValueError, MemoryError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("predict: stopped; with --csv it goes on", file=sys.stderr)
        return 130


def _add_export(commands) -> None:
    command = commands.add_parser("export", help="write a model for elsewhere")
    formats = ["onnx", "litert", "saved_model", "web"]
    command.add_argument("--model", required=True, help="a .keras file")
    command.add_argument("--format", required=True, choices=formats)
    command.add_argument("--to", required=True, type=Path, metavar="FOLDER")
    text = "litert: 8 bits, calibrated on the run's training images"
    command.add_argument("--int8", action="store_true", help=text)
    text = "web: dist folder of onnxruntime-web, copied beside the page"
    command.add_argument("--runtime", metavar="FOLDER", help=text)


def _export(model, format, to, int8, runtime) -> int:
    from catdog_helpers.deploy.exporting import (
        N_CALIBRATION,
        export,
        run_images,
    )

    try:
        images = run_images(model, "train", N_CALIBRATION) if int8 else None
        options = {"int8_images": images, "runtime": runtime}
        result = export(model, format, to, **options)
    except (ImportError, OSError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    parity = result["parity"]
    print(
        f"{to / result['file']}: {result['bytes']:,} bytes; same class "
        f"on {parity['class_agreement']:.2%} of {parity['images']} images, "
        f"probabilities at most {parity['largest_difference']:.1e} apart"
    )
    if format == "web":
        print(f"Look: {sys.executable} -m http.server -d {to}")
    return 0


def _print(rows, csv: Path | None) -> int:
    kept = bool(csv and csv.exists() and csv.stat().st_size)
    failed = n_rows = 0
    options = {"unit": " photographs", "mininterval": 1, "disable": None}
    for row in tqdm(rows, "predict", **options):
        n_rows += 1
        failed += bool(row["error"])
        fields = [row["path"], row["verdict"], f"{row['probability']:.4f}"]
        if row["error"]:
            fields[2:] = [row["error"]]
        with tqdm.external_write_mode():
            print(*fields, sep="\t")
    if kept:
        print(f"predict: {csv} goes on: {n_rows:,} new rows", file=sys.stderr)
    elif not n_rows:
        print("predict: no photographs found", file=sys.stderr)
    return int(failed > 0 or not (n_rows or kept))


if __name__ == "__main__":
    sys.exit(main())
