"""Record what a model refuses to answer: the table behind "not sure".

    python -m benchmarks.not_sure runs/<name> OTHER ODD [--record]

OTHER holds photographs of the same classes from another source, one folder
for each class; ODD holds pictures of other things. Pictures drawn by code are
added. Without --record the table is only printed.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import catdog_helpers as ch
from benchmarks.record import ROOT, markdown, save_record, today_and_here

sys.path.append(str(ROOT / "tests" / "prediction"))
METHODS = ("bottleneck", "fine_tuned")


def kinds_of(out: Path, other: Path, odd: Path) -> Iterator[tuple]:
    """Yield what is shown to the models: its name, its class, the pictures."""
    from odd_pictures import KINDS, draw_odd

    run = ch.load_run(out)
    paths = run.manifest.path[run.test]
    for label, name in enumerate(run.class_names):
        mine = paths[run.labels[run.test] == label]
        files = [str(Path(run.info["folder"], path)) for path in mine]
        yield f"{name}, same source", name, files
        yield f"{name}, another source", name, str(other / name)
    yield "natural pictures of other things", None, str(odd)
    drawn = [draw_odd(kind, seed) for kind in KINDS for seed in range(100)]
    yield "drawn: noise, colours, text, shapes", None, drawn


def measure(model: Path, pictures, name: str | None) -> dict[str, int]:
    """Count the pictures, those refused, and those answered wrongly."""
    rows = pd.DataFrame(ch.predict(model, pictures))
    rows = rows[rows.verdict != "unreadable"]
    refused = rows.verdict == "not sure"
    wrong = ~refused & (rows["class"] != name) if name else ~refused
    return {
        "pictures": len(rows),
        "refused": int(refused.sum()),
        "wrong": int(wrong.sum()),
    }


def to_table(record: dict) -> str:
    """Format the record: the shares, with their intervals."""
    names = {"bottleneck": "bottleneck features", "fine_tuned": "fine-tuned"}
    columns = "pictures | how many"
    for method in METHODS:
        columns += f" | refused, {names[method]} | answered wrongly"
    rows = []
    for kind, found in record["kinds"].items():
        cells = [kind, f"{found[METHODS[0]]['pictures']:,}"]
        for method in METHODS:
            n, refused, wrong = found[method].values()
            low, high = ch.wilson_interval(refused, n)
            cells += [
                f"{refused / n:.1%} ({low:.1%} to {high:.1%})",
                f"{wrong / n:.1%}",
            ]
        rows.append(cells)
    return (
        f"{markdown(columns, rows)}\n\n{record['base']}, {record['n_train']:,} "
        f"training and {record['n_validation']:,} validation images. "
        f"{record['date']}; {record['machine']}."
    )


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("out", "other", "odd"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    ch.use_backend()
    result = ch.load_results(options.out)["bottleneck"]
    kept = ("base", "n_train", "n_validation")
    record = today_and_here() | {name: result[name] for name in kept}
    record["kinds"] = {
        kind: {
            method: measure(
                options.out / "models" / f"{method}.keras", pictures, name
            )
            for method in METHODS
        }
        for kind, name, pictures in kinds_of(
            options.out, options.other, options.odd
        )
    }
    print(to_table(record))
    if options.record:
        save_record(record, "not_sure", to_table(record))


if __name__ == "__main__":
    main()
