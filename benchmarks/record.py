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
    """Gather what a run measured, and on what.

    Args:
        out: Directory of the run.

    Returns:
        `date`, `machine`, the content of each `results/<method>.json`, and,
        of notebooks 06, 07 and 11, `curves`, `pairs` and `pitfalls`.
    """
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


def to_table(record: dict) -> str:
    """Format a record as its page shows it.

    Args:
        record: What `record_run` returned.

    Returns:
        Markdown: the scoreboard and its conditions, and what notebooks 06,
        07 and 11 found.
    """
    lines = [*_scoreboard(record), "", conditions(record)]
    if "pairs" in record:
        lines += ["", *_pairs(record["pairs"])]
    if "curves" in record:
        result = record["results"][0]
        sentence = ch.study.sum_up_curves(
            pd.DataFrame(record["curves"]),
            "scratch CNN",
            "bottleneck features",
            n_classes=len(result["class_names"]),
            n_test=result["n_test"],
        )
        lines += ["", sentence]
    if "pitfalls" in record:
        lines += ["", *_pitfalls(record["pitfalls"])]
    return "\n".join(lines)


def _scoreboard(record: dict) -> list[str]:
    lines = [
        "| method | test accuracy | 95 % interval | log loss | calibration "
        "error | weights trained | seconds | MB | ms a photograph |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in record["results"]:
        low, high = result["test_interval"]
        seconds = result["seconds_before"] + result["train_seconds"]
        lines.append(
            f"| {ch.display_name(result)} | {result['test_accuracy']:.4f} | "
            f"{low:.4f} to {high:.4f} | {result['test_log_loss']:.3f} | "
            f"{result['test_calibration_error']:.3f} | "
            f"{result['trainable_parameters']:,} | {seconds:,.0f} | "
            f"{result['file_mb']:.1f} | {result['milliseconds']:.1f} |"
        )
    return lines


def conditions(record: dict) -> str:
    """Say on what data, with which base and where a record was made."""
    last = [r for r in record["results"] if r["method"] in METHODS][-1]
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


def _pairs(pairs: list[dict]) -> list[str]:
    lines = [
        "| on the same test images | only the first right | only the second "
        "right | p (McNemar, Holm) |",
        "| --- | --- | --- | --- |",
    ]
    return lines + [
        f"| {pair['first']}, {pair['second']} | {pair['only first right']} | "
        f"{pair['only second right']} | {pair['p (Holm)']:.2g} |"
        for pair in pairs
    ]


def _pitfalls(pitfalls: list[dict]) -> list[str]:
    lines = [
        "| what was done (notebook 11) | test accuracy | points lost, against "
        "its right way | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    for row in pitfalls:
        lost = " |  |"
        if row["instead of"]:
            low, high = row["lost, low"], row["lost, high"]
            lost = f"{row['points lost']:.1f} | {low:.1f} to {high:.1f} |"
        lines.append(f"| {row['what']} | {row['test accuracy']:.4f} | {lost}")
    return lines


def to_figure(record: dict):
    """Draw the curves, side by side, and what depends on the data's size.

    Args:
        record: What `record_run` returned.

    Returns:
        The figure: accuracy by epoch and by seconds, the methods' test
        accuracies, and, if notebook 07 has run, accuracy by training images.
    """
    series = [r for r in record["results"] if r["method"] in METHODS]
    fig, axes = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    histories = {}
    for result in series:
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
    """Replace the table between the comments of that name.

    Args:
        readme: Text of a page with `<!-- NAME -->` … `<!-- /NAME -->`.
        name: Of the record.
        table: What stands between them afterwards.

    Returns:
        The text.
    """
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
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores, no GPU, {platform.machine()}, "
        f"Python {platform.python_version()}",
    }


def save_record(record: dict, name: str, table: str) -> str:
    """Write a record, and what its page says of it.

    Args:
        record: What was measured.
        name: What to call it.
        table: Of the record, in Markdown.

    Returns:
        The table.
    """
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(f"{text}\n", "utf-8")
    page = ROOT / "docs" / PAGES.get(name, "results.md")
    text = write_into(page.read_text("utf-8"), name, table)
    page.write_text(text, "utf-8")
    return table


def save_run(record: dict, name: str) -> str:
    """Write a run's record, its plot, and its part of the page.

    Args:
        record: What `record_run` returned.
        name: What to call it.

    Returns:
        What the page says of it.
    """
    table = save_record(record, name, to_table(record))
    to_figure(record).savefig(RESULTS / f"{name}.png", dpi=80)
    return table


def main() -> None:
    """Record the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    print(save_run(record_run(options.out), options.name))


if __name__ == "__main__":
    main()
