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

from benchmarks.record import (
    RESULTS,
    ROOT,
    accuracy_cells,
    conditions,
    markdown,
    of_series,
    seconds_of,
    write_into,
)
from catdog_helpers.plots import METHOD_COLORS
from catdog_helpers.results import display_name

PICTURE = ROOT / "docs" / "front_page.png"


def to_table(record: dict) -> str:
    """Format the three methods of a record, with their conditions."""
    columns = "method | test accuracy | 95 % interval | seconds"
    rows = [[*accuracy_cells(r, 3), seconds_of(r)] for r in of_series(record)]
    return f"{markdown(columns, rows)}\n\n{conditions(record)}"


def to_sentence(record: dict) -> str:
    """Say in short what transfer learning bought in a record."""
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
    """Draw what the front page shows: two panels, 1,600 pixels wide."""
    plt.rcParams["font.size"] = 19
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(16, 7), layout="constrained"
    )
    _draw_curves(pd.DataFrame(record["curves"]), left)
    _draw_training(of_series(record), right)
    for ax in (left, right):
        ax.set_ylim(0.5, 1)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    return fig


def _draw_curves(curves: pd.DataFrame, ax) -> None:
    """Draw accuracy by the number of photographs."""
    for name, rows in curves[~curves["longer"]].groupby("method", sort=False):
        seeds = rows.groupby("training images")["test accuracy"]
        low, mean, high = seeds.min(), seeds.mean(), seeds.max()
        color = METHOD_COLORS[name]
        ax.plot(mean.index, mean, "o-", lw=4, ms=9, color=color)
        ax.fill_between(mean.index, low, high, color=color, alpha=0.2)
    for star in curves[curves["longer"]].to_dict("records"):
        place = star["training images"], star["test accuracy"]
        color = METHOD_COLORS[star["method"]]
        ax.plot(*place, "*", ms=24, mec="white", color=color)
    sizes = sorted(curves["training images"].unique())
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=40)
    ax.minorticks_off()
    ax.set(xlabel="training photographs", ylabel="test accuracy")
    ax.set_title("lines: short training, stars: notebooks 2 to 4")


def _draw_training(results: list[dict], ax) -> None:
    """Draw validation accuracy by epoch."""
    for result in results:
        name, accuracy = display_name(result), result["history"]["val_accuracy"]
        epochs = range(1, len(accuracy) + 1)
        ax.plot(epochs, accuracy, lw=4, color=METHOD_COLORS[name], label=name)
    ax.set(xlabel="epochs of training", ylabel="validation accuracy")
    ax.set_title(f"notebooks 2 to 4, {results[0]['n_train']:,} photographs")
    ax.legend(loc="lower right", frameon=False)


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
