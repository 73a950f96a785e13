"""The command line: `python -m catdog_helpers predict --model FILE PATH…`."""

import argparse
import csv
import sys
from pathlib import Path

COLUMNS = ("path", "class", "probability", "error")


def main(arguments: list[str] | None = None) -> int:
    """Predict photographs from the command line.

    Args:
        arguments: Those after the program's name. Defaults to `sys.argv`.

    Returns:
        Exit status: 0, 1 if a file could not be read, 2 if there is no model.
    """
    parser = argparse.ArgumentParser(prog="python -m catdog_helpers")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("predict", help="name what is on photographs")
    command.add_argument("--model", required=True, help="a .keras file")
    command.add_argument("--csv", type=Path, help="also write a table here")
    command.add_argument("paths", nargs="+", metavar="PATH")
    options = parser.parse_args(arguments)
    from catdog_helpers.prediction import predict

    try:
        rows = predict(options.model, options.paths)
        return _print(rows, options.csv)
    except (OSError, ValueError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 2


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
