"""Keep the figures of a finished run: what the README shows comes from here.

    python benchmarks/record.py runs/<name> NAME

writes `benchmarks/results/NAME.json` and `NAME.png`, and puts the table into
the README between the two comments that hold NAME.
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

import catdog_helpers as ch

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CURVES = ("accuracy", "val_accuracy", "loss", "val_loss", "seconds")


def record_run(out: Path) -> dict:
    """Gather what a run measured, and on what.

    Args:
        out: Directory of the run.

    Returns:
        `date`, `machine`, and the content of each `results/<method>.json`.
    """
    results = ch.load_results(out).values()
    for result in results:
        result["dataset"] = Path(result["dataset"]).name
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores, no GPU, {platform.machine()}, "
        f"Python {platform.python_version()}",
        "results": list(results),
    }


def to_table(record: dict) -> str:
    """Format a record as the README shows it.

    Args:
        record: What `record_run` returned.

    Returns:
        A Markdown table and the line below it.
    """
    lines = [
        "| method | test accuracy | 95 % interval | log loss | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in record["results"]:
        low, high = result["test_interval"]
        seconds = result["seconds_before"] + result["train_seconds"]
        lines.append(
            f"| {ch.display_name(result)} | {result['test_accuracy']:.4f} | "
            f"{low:.4f} to {high:.4f} | {result['test_log_loss']:.3f} | "
            f"{seconds:,.0f} |"
        )
    last = record["results"][-1]
    names = {"tensorflow": "TensorFlow", "keras": "Keras", "numpy": "NumPy"}
    versions = ", ".join(
        f"{names[p]} {v}" for p, v in last["versions"].items() if p in names
    )
    lines += [
        "",
        f"{last['n_train']:,} training, {last['n_validation']:,} validation "
        f"and {last['n_test']:,} test images of {last['image_size']} px "
        f"(`{last['dataset']}`), base {last['base']}, weights "
        f"`{last['weights']}`, seed {last['seed']}. {record['date']}; "
        f"{record['machine']}; {versions}.",
    ]
    return "\n".join(lines)


def to_figure(record: dict):
    """Draw accuracy by seconds and the test accuracies side by side.

    Args:
        record: What `record_run` returned.

    Returns:
        The figure.
    """
    results = record["results"]
    fig, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    histories = {}
    for result in results:
        history = {k: result["history"][k] for k in CURVES}
        before = result["seconds_before"]
        history["seconds"] = [before + s for s in history["seconds"]]
        histories[ch.display_name(result)] = history
    ch.plot_history(histories, "accuracy", ax=axes[0])
    ch.plot_history(histories, "accuracy", x="seconds", ax=axes[1])
    ch.plot_scoreboard(ch.to_scores(results), ax=axes[2])
    return fig


def write_into(readme: str, name: str, table: str) -> str:
    """Replace the table between the comments of that name.

    Args:
        readme: Text with `<!-- NAME -->` … `<!-- /NAME -->`.
        name: Of the record.
        table: What stands between them afterwards.

    Returns:
        The text.
    """
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    return re.sub(
        pattern, lambda m: f"{m[1]}{table}\n{m[2]}", readme, flags=re.DOTALL
    )


def main() -> None:
    """Record the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("name")
    options = parser.parse_args()
    record = record_run(options.out)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (RESULTS / f"{options.name}.json").write_text(f"{text}\n", "utf-8")
    to_figure(record).savefig(RESULTS / f"{options.name}.png", dpi=80)
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    readme.write_text(write_into(text, options.name, to_table(record)), "utf-8")
    print(to_table(record))


if __name__ == "__main__":
    main()
