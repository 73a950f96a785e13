"""The command line: `python -m catdog_helpers predict` and `export`."""

import argparse
import csv
import sys
from pathlib import Path

COLUMNS = ("path", "class", "probability", "error")


def main(arguments: list[str] | None = None) -> int:
    """Predict photographs, or export a model, from the command line.

    Args:
        arguments: Those after the program's name. Defaults to `sys.argv`.

    Returns:
        Exit status: 0, 1 if a file could not be read, 2 if there is no model
            or it cannot be exported.
    """
    parser = argparse.ArgumentParser(prog="python -m catdog_helpers")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("predict", help="name what is on photographs")
    command.add_argument("--model", required=True, help="a .keras file")
    command.add_argument("--csv", type=Path, help="also write a table here")
    command.add_argument("paths", nargs="+", metavar="PATH")
    _add_export(commands)
    options = parser.parse_args(arguments)
    if options.command == "export":
        return _export(options)
    from catdog_helpers.prediction import predict

    try:
        rows = predict(options.model, options.paths)
        return _print(rows, options.csv)
    except (OSError, ValueError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2


def _add_export(commands) -> None:
    command = commands.add_parser("export", help="write a model for elsewhere")
    formats = ["onnx", "litert", "saved_model", "web"]
    command.add_argument("--model", required=True, help="a .keras file")
    command.add_argument("--format", required=True, choices=formats)
    command.add_argument("--to", required=True, type=Path, metavar="FOLDER")
    command.add_argument(
        "--int8",
        action="store_true",
        help="litert: 8 bits, calibrated on the run's training images",
    )
    command.add_argument(
        "--runtime",
        metavar="FOLDER",
        help="web: dist folder of onnxruntime-web, copied beside the page",
    )


def _export(options) -> int:
    from catdog_helpers.exporting import N_CALIBRATION, export, run_images

    try:
        images = None
        if options.int8:
            images = run_images(options.model, "train", N_CALIBRATION)
        result = export(
            options.model,
            options.format,
            options.to,
            int8_images=images,
            runtime=options.runtime,
        )
    except (ImportError, OSError, ValueError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    parity = result["parity"]
    print(
        f"{options.to / result['file']}: {result['bytes']:,} bytes; same class "
        f"on {parity['class_agreement']:.2%} of {parity['images']} images, "
        f"probabilities at most {parity['largest_difference']:.1e} apart"
    )
    if options.format == "web":
        print(f"Look: {sys.executable} -m http.server -d {options.to}")
    return 0


def _print(rows, csv_path: Path | None) -> int:
    failed = 0
    table = []
    for row in rows:
        failed += bool(row["error"])
        table.append(row)
        if row["error"]:
            print(f"{row['path']}\tunreadable\t{row['error']}")
        else:
            print(f"{row['path']}\t{row['class']}\t{row['probability']:.4f}")
    if csv_path:
        with csv_path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(table)
    if not table:
        print("predict: no photographs found", file=sys.stderr)
    return int(failed > 0 or not table)


if __name__ == "__main__":
    sys.exit(main())
