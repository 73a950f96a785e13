"""Keep the figures of a finished run: what the pages show comes from here.

    python -m benchmarks.record runs/<name> NAME

writes `benchmarks/results/NAME.json` and `NAME.png`, and puts the table into
docs/results.md between the two comments that hold NAME.
"""

import argparse
import datetime
import json
import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pandas as pd

import catdog_helpers as ch
from catdog_helpers.results import METHODS, to_scores

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLES = {
    "curves": "comparison/curves.csv",
    "pairs": "comparison/pairs.csv",
    "pitfalls": "pitfalls.csv",
}
# Where the table of a record stands, if not on docs/results.md
PAGES = {"scale": "many_machines.md", "backends": "backends.md"}
PAGES |= {"benchmark": "../benchmarks/README.md"}
CURVES = ("accuracy", "val_accuracy", "loss", "val_loss", "seconds")


def record_run(out: Path) -> dict:
    """Gather what a run measured, and on what: its results, its tables."""
    results = list(ch.load_results(out).values())
    for result in results:
        result["dataset"] = Path(result["dataset"]).name
        if result["method"] not in METHODS:
            del result["history"]
    record = {**today_and_here(), "results": results}
    for name, path in TABLES.items():
        if (out / path).is_file():
            table = pd.read_csv(out / path)
            record[name] = json.loads(table.to_json(orient="records"))
    return record


def markdown(columns: str, rows: Iterable[Iterable[str]]) -> str:
    """Format a table: the names of its columns, and the cells of each row."""
    dashes = ["---"] * (1 + columns.count(" | "))
    lines = [columns, *(" | ".join(cells) for cells in [dashes, *rows])]
    return "\n".join(f"| {line} |" for line in lines)


def to_table(record: dict) -> str:
    """Format a record as its page shows it."""
    parts = [_scoreboard(record), conditions(record)]
    if "pairs" in record:
        parts.append(_pairs(record["pairs"]))
    if "curves" in record:
        result = record["results"][0]
        sentence = ch.study.sum_up_curves(
            pd.DataFrame(record["curves"]),
            "scratch CNN",
            "bottleneck features",
            chance=1 / len(result["class_names"]),
            n_test=result["n_test"],
        )
        parts.append(sentence)
    if "pitfalls" in record:
        parts.append(_pitfalls(record["pitfalls"]))
    return "\n\n".join(parts)


def of_series(record: dict) -> list[dict]:
    """Return the results of the three methods of the series, in order."""
    return [r for r in record["results"] if r["method"] in METHODS]


def accuracy_cells(result: dict, digits: int) -> list[str]:
    """Return a method's name, its test accuracy, and the interval of that."""
    low, high = result["test_interval"]
    return [
        ch.display_name(result),
        f"{result['test_accuracy']:.{digits}f}",
        f"{low:.{digits}f} to {high:.{digits}f}",
    ]


def seconds_of(result: dict) -> str:
    """Return what preparing and training took together."""
    return f"{result['seconds_before'] + result['train_seconds']:,.0f}"


def _scoreboard(record: dict) -> str:
    columns = "method | test accuracy | 95 % interval | log loss | "
    columns += "calibration error | weights trained | seconds | MB | "
    rows = [
        [
            *accuracy_cells(result, 4),
            f"{result['test_log_loss']:.3f}",
            f"{result['test_calibration_error']:.3f}",
            f"{result['trainable_parameters']:,}",
            seconds_of(result),
            f"{result['file_mb']:.1f}",
            f"{result['milliseconds']:.0f}",
        ]
        for result in record["results"]
    ]
    return markdown(columns + "ms a photograph", rows)


def conditions(record: dict) -> str:
    """Say on what data, with which base and where a record was made."""
    last = of_series(record)[-1]
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}
    versions = ", ".join(
        f"{names[p]} {v}" for p, v in last["versions"].items() if p in names
    )
    seen = last.get("resolution", last["image_size"])
    larger = "" if seen == last["image_size"] else f", enlarged to {seen} px"
    return (
        f"{last['n_train']:,} training, {last['n_validation']:,} validation "
        f"and {last['n_test']:,} test images of {last['image_size']} px "
        f"(`{last['dataset']}`), base {last['base']}{larger}, weights "
        f"`{last['weights']}`, seed {last['seed']}. {record['date']}; "
        f"{record['machine']}; {versions}."
    )


def _pairs(pairs: list[dict]) -> str:
    columns = "on the same test images | only the first right | "
    columns += "only the second right | p (McNemar, Holm)"
    rows = [
        [
            f"{pair['first']}, {pair['second']}",
            f"{pair['only first right']}",
            f"{pair['only second right']}",
            f"{pair['p (Holm)']:.2g}",
        ]
        for pair in pairs
    ]
    return markdown(columns, rows)


def _pitfalls(pitfalls: list[dict]) -> str:
    columns = "what was done (notebook 11) | test accuracy | points lost, "
    columns += "against its right way | 95 % interval"
    rows = []
    for row in pitfalls:
        lost = ["", ""]
        if row["instead of"]:
            low, high = row["lost, low"], row["lost, high"]
            lost = [f"{row['points lost']:.1f}", f"{low:.1f} to {high:.1f}"]
        rows.append([row["what"], f"{row['test accuracy']:.4f}", *lost])
    return markdown(columns, rows)


def to_figure(record: dict):
    """Draw the curves, side by side, and what depends on the data's size."""
    fig, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    histories = {}
    for result in of_series(record):
        history = {k: result["history"][k] for k in CURVES}
        before = result["seconds_before"]
        history["seconds"] = [before + s for s in history["seconds"]]
        histories[ch.display_name(result)] = history
    ch.plot_history(histories, "accuracy", ax=axes[0, 0])
    ch.plot_history(histories, "accuracy", x="seconds", ax=axes[0, 1])
    ch.plot_scoreboard(to_scores(record["results"]), ax=axes[1, 0])
    if "curves" in record:
        curves = pd.DataFrame(record["curves"])
        ch.study.plot_data_size(curves, ax=axes[1, 1])
    else:
        axes[1, 1].axis("off")
    return fig


def write_into(readme: str, name: str, table: str) -> str:
    """Replace the table between the comments of that name."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    text, found = re.subn(
        pattern, lambda m: f"{m[1]}{table}\n{m[2]}", readme, flags=re.DOTALL
    )
    if not found:
        raise ValueError(
            f"the page has no place for this record: write <!-- {name} --> "
            f"and <!-- /{name} --> where its table is to stand"
        )
    return text


def today_and_here() -> dict:
    """Return the date and the machine that a record was made on."""
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text() if cpu.is_file() else ""
    model = re.search(r"model name\s*: (.*)", text)
    cores = f"{os.cpu_count()} CPU cores ({model[1] if model else 'unknown'})"
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{cores}, no GPU, {platform.machine()}, "
        f"Python {platform.python_version()}",
    }


def save_record(
    record: dict, name: str, table: str, figure=None, folder: Path = RESULTS
) -> None:
    """Write a record and its plot, and, if it is to stay, into its page."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(f"{text}\n", "utf-8")
    if figure:
        figure.savefig(folder / f"{name}.png", dpi=80)
    if folder == RESULTS:
        page = ROOT / "docs" / PAGES.get(name, "results.md")
        text = write_into(page.read_text("utf-8"), name, table)
        page.write_text(text, "utf-8")


def main() -> None:
    """Record the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    record = record_run(options.out)
    save_record(record, options.name, to_table(record), to_figure(record))
    print(to_table(record))


if __name__ == "__main__":
    main()
