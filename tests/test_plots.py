"""Plots: drawn on the axes given, shown and written by the notebook alone."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import picture, refused

from catdog_helpers.plots import (
    METHOD_COLORS,
    plot_history,
    plot_images,
    plot_scoreboard,
    use_fonts,
)
from catdog_helpers.results import METHODS

HISTORY = {
    "accuracy": [0.5, 0.7, 0.8],
    "val_accuracy": [0.5, 0.6, 0.7],
    "loss": [1.0, 0.7, 0.5],
    "val_loss": [1.1, 0.9, 0.8],
    "seconds": [2.0, 4.0, 6.0],
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """Fail when a plot is shown or written; draw what a test has made."""

    def refuse(*_, **__):
        raise AssertionError("shown or written")

    monkeypatch.setattr(plt, "show", refuse)
    monkeypatch.setattr(plt.Figure, "savefig", refuse)
    monkeypatch.chdir(tmp_path)
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("n", "columns", "shape"), [(7, 3, (3, 3)), (3, 3, (1, 3)), (0, 4, (1, 4))]
)
def test_each_picture_has_its_place_in_the_grid(n, columns, shape):
    images = [picture(i, 8) for i in range(n)]
    axes = plot_images(images, columns=columns)
    assert axes.shape == shape
    shown = [ax.images[0].get_array() for ax in axes.flat if ax.images]
    assert len(shown) == n
    for image, expected in zip(shown, images, strict=True):
        assert np.array_equal(image, expected)
    assert not any(ax.axison for ax in axes.flat)


def test_titles_have_their_colours_and_long_ones_are_wrapped():
    long = "dog/a name that is much longer than the picture is wide.jpg"
    images = [picture(i, 8) for i in range(2)]
    axes = plot_images(images, [long, "a\nb"], columns=2, colors=["r", "k"])
    titles = [ax.title for ax in axes.flat]
    assert [title.get_color() for title in titles] == ["r", "k"]
    lines = titles[0].get_text().split("\n")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 24
    assert " ".join(lines) == long
    assert titles[1].get_text() == "a\nb"


def test_history_has_two_lines_for_each_method():
    histories = {"one": HISTORY, "two": HISTORY}
    ax = plot_history(histories, "loss")
    lines = ax.get_lines()
    assert len(lines) == 4
    assert [line.get_linestyle() for line in lines] == ["-", "--"] * 2
    assert lines[0].get_color() == lines[1].get_color()
    assert lines[0].get_color() != lines[2].get_color()
    np.testing.assert_allclose(lines[0].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(lines[0].get_ydata(), HISTORY["val_loss"])
    np.testing.assert_allclose(lines[1].get_ydata(), HISTORY["loss"])
    assert ax.get_xlabel() == "epoch"
    assert ax.get_ylabel() == "loss (log axis)"
    assert legend_names(ax) == ["one", "two"]


def legend_names(ax) -> list[str]:
    assert ax.get_legend() is None  # it would lie over the curves
    (legend,) = ax.figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_a_figure_has_one_legend_for_all_its_axes():
    _, axes = plt.subplots(1, 2, layout="constrained")
    ax = plot_history({"one": HISTORY}, "accuracy", ax=axes[0])
    assert ax is axes[0]
    plot_history({"one": HISTORY, "two": HISTORY}, "loss", ax=axes[1])
    assert legend_names(axes[0]) == ["one", "two"]


def test_a_method_has_its_colour_in_every_plot():
    method = "fine-tuned"
    lines = plot_history({"other": HISTORY, method: HISTORY}).get_lines()
    board = plot_scoreboard(scores().iloc[::-1])
    assert set(METHOD_COLORS) == {name for name, _ in METHODS.values()}
    colors = {lines[2].get_color(), board.containers[0][0].get_color()}
    assert colors == {METHOD_COLORS[method]}


def test_history_by_seconds():
    ax = plot_history({"one": HISTORY}, x="seconds")
    for line in ax.get_lines():
        np.testing.assert_allclose(line.get_xdata(), HISTORY["seconds"])
    assert ax.get_xlabel() == "seconds (log axis)"
    assert ax.get_xscale() == "log"


def scores() -> pd.DataFrame:
    columns = {"test accuracy": [0.8, 0.95], "low": [0.7, 0.9]}
    table = pd.DataFrame(columns | {"high": [0.88, 0.97]})
    return table.set_index(pd.Index(["scratch CNN", "fine-tuned"]))


def test_scoreboard_has_a_point_and_an_interval_for_each_method():
    ax = plot_scoreboard(scores())
    whiskers = [bars[2][0].get_segments()[0] for bars in ax.containers]
    points = [bars[0].get_xydata()[0] for bars in ax.containers]
    np.testing.assert_allclose(points, [[0.8, 0], [0.95, 1]])
    ends = [segment[:, 0] for segment in whiskers]
    np.testing.assert_allclose(ends, [[0.7, 0.88], [0.9, 0.97]])
    ticks = [text.get_text() for text in ax.get_yticklabels()]
    assert ticks == ["scratch CNN", "fine-tuned"]
    assert ax.yaxis_inverted()
    assert [text.get_text() for text in ax.texts] == ["0.800", "0.950"]


def test_scoreboard_says_that_its_axis_is_cut():
    ax, whole = plot_scoreboard(scores()), plot_scoreboard(scores(), start=0)
    left, right = ax.get_xlim()
    assert 0.6 < left < 0.7
    assert right > 1
    assert "does not start at 0" in ax.get_xlabel()
    assert whole.get_xlim()[0] == 0
    assert whole.get_xlabel() == "test accuracy"


def test_what_lies_below_the_axis_is_written_at_its_edge():
    ax = plot_scoreboard(scores(), start=0.9)
    assert ax.get_xlim()[0] == 0.9
    below, above = ax.texts
    assert below.get_text() == " ◂ 0.800"
    assert below.get_position()[0] == 0.9
    assert above.get_text() == "0.950"


def test_dollars_in_names_are_no_formula():
    names = ["A $5% or B $2", "$^"]
    with plt.rc_context():
        use_fonts(names)
        axes = plot_images(np.zeros((2, 4, 4, 3), "uint8"), names)
        axes.flat[0].figure.canvas.draw()
    assert axes.flat[0].get_title() == names[0]


@pytest.mark.parametrize("asked", [{"metric": "acc"}, {"x": "minutes"}])
def test_an_unknown_metric_is_said_with_those_there_are(asked):
    match, histories = "among .*'seconds'.*Received", {"one": HISTORY}
    refused(ValueError, match, plot_history, histories, **asked)
