"""Draw the README's picture, and write its table, from a recorded run.

    python -m benchmarks.front_page

Both come from `benchmarks/results/photographs.json`; a test compares the table
with the record.
"""

import json

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import pandas as pd

from benchmarks.record import RESULTS, ROOT, conditions, write_into
from catdog_helpers.plots import METHOD_COLORS
from catdog_helpers.results import METHODS, display_name

COLUMNS = ["training images", "test accuracy"]
PICTURE = ROOT / "docs" / "front_page.png"


def of_series(record: dict) -> list[dict]:
    """Return the results of the three methods of the series, in order."""
    results = {result["method"]: result for result in record["results"]}
    return [results[method] for method in METHODS]


def to_table(record: dict) -> str:
    """Format the three methods of a record, with their conditions.

    Args:
        record: What `benchmarks.record.record_run` returned.

    Returns:
        Markdown.
    """
    lines = [
        "| method | test accuracy | 95 % interval | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for result in of_series(record):
        low, high = result["test_interval"]
        seconds = result["seconds_before"] + result["train_seconds"]
        lines.append(
            f"| {display_name(result)} | {result['test_accuracy']:.3f} | "
            f"{low:.3f} to {high:.3f} | {seconds:,.0f} |"
        )
    return "\n".join([*lines, "", conditions(record)])


def to_sentence(record: dict) -> str:
    """Say in short what transfer learning bought in a record.

    Args:
        record: What `benchmarks.record.record_run` returned.

    Returns:
        Two sentences, about the fewest photographs of the curve.
    """
    curves = pd.DataFrame(record["curves"])
    mine = curves[curves["method"] == "bottleneck features"]
    mine = mine[~mine["longer"]]
    fewest = mine[mine["training images"] == mine["training images"].min()]
    accuracy = fewest["test accuracy"]
    spread = (accuracy.max() - accuracy.min()) / 2
    scratch, *_ = of_series(record)
    return (
        f"{fewest['training images'].iloc[0]} photographs and a pretrained "
        f"base reach {accuracy.mean():.3f} ± {spread:.3f} (half the range of "
        f"{len(fewest)} seeds); {scratch['n_train']:,} photographs without "
        f"one reach {scratch['test_accuracy']:.3f}. The base had seen 1.3 "
        "million other photographs before."
    )


def draw(record: dict) -> plt.Figure:
    """Draw what the front page shows: two panels, 1,600 pixels wide.

    Args:
        record: What `benchmarks.record.record_run` returned.

    Returns:
        The figure.
    """
    plt.rcParams["font.size"] = 19
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(16, 7), layout="constrained"
    )
    curves = pd.DataFrame(record["curves"])
    for name, rows in curves[~curves["longer"]].groupby("method", sort=False):
        seeds = rows.groupby("training images")["test accuracy"]
        band = seeds.agg(["min", "max", "mean"])
        color = METHOD_COLORS[name]
        left.plot(band.index, band["mean"], "o-", lw=4, ms=9, color=color)
        left.fill_between(
            band.index, band["min"], band["max"], color=color, alpha=0.2
        )
    for result in of_series(record):
        name, history = display_name(result), result["history"]
        epochs = range(1, len(history["val_accuracy"]) + 1)
        right.plot(
            epochs,
            history["val_accuracy"],
            lw=4,
            color=METHOD_COLORS[name],
            label=name,
        )
    stars = curves[curves["longer"]].set_index("method")
    for name, star in stars.iterrows():
        left.plot(
            *star[COLUMNS], "*", ms=24, mec="white", color=METHOD_COLORS[name]
        )
    sizes = sorted(curves["training images"].unique())
    left.set_xscale("log")
    left.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=40)
    left.minorticks_off()
    left.set(
        xlabel="training photographs", ylabel="test accuracy", ylim=(0.5, 1)
    )
    left.set_title("lines: short training, stars: notebooks 2 to 4")
    right.set(
        xlabel="epochs of training",
        ylabel="validation accuracy",
        ylim=(0.5, 1),
    )
    n_train = of_series(record)[0]["n_train"]
    right.set_title(f"notebooks 2 to 4, {n_train:,} photographs")
    right.legend(loc="lower right", frameon=False)
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def main() -> None:
    """Write the picture and the README's table."""
    text = (RESULTS / "photographs.json").read_text("utf-8")
    record = json.loads(text)
    draw(record).savefig(PICTURE, dpi=100)
    readme = ROOT / "README.md"
    page = readme.read_text("utf-8")
    page = write_into(page, "front_page", to_table(record))
    page = write_into(page, "sentence", to_sentence(record))
    readme.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
