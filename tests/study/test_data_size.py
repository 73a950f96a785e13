"""Training sets of rising size, and what the curves over them say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from catdog_helpers.study.curves import (
    measure_once,
    plot_data_size,
    subsets,
    sum_up_curves,
)

ROWS = np.arange(100, 500)
LABELS = (np.arange(600) % 10 == 0).astype(int)  # one in ten is of class 1


def test_each_set_lies_within_the_next_and_is_stratified():
    drawn = subsets(LABELS, ROWS, [300, 20, 50, 2, 400], seed=1)
    assert list(drawn) == [2, 20, 50, 300, 400]
    assert [len(rows) for rows in drawn.values()] == list(drawn)
    sets = [set(rows) for rows in drawn.values()]
    for small, large in zip(sets, sets[1:], strict=False):
        assert small < large
    assert sets[-1] == set(ROWS)
    for rows in drawn.values():
        assert (np.diff(rows) > 0).all()  # rising, none twice
    counts = [int(LABELS[rows].sum()) for rows in drawn.values()]
    assert counts[0] == 1  # of every class
    assert np.abs(np.subtract(counts[1:4], [2, 5, 30])).max() <= 1
    again, other = (subsets(LABELS, ROWS, [50], seed=n)[50] for n in (1, 2))
    np.testing.assert_array_equal(drawn[50], again)
    assert set(drawn[50]) != set(other)


def test_many_classes_have_one_image_each_at_least():
    labels = np.repeat(np.arange(37), np.arange(3, 40))
    for rows in subsets(labels, np.arange(777), [37, 60, 200]).values():
        assert set(labels[rows]) == set(range(37))


@pytest.mark.parametrize("sizes", [[1, 50], [50, 401], []])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="between 2, .* 400, .*Received"):
        subsets(LABELS, ROWS, sizes)


def curves(scratch=0.0):
    """Two seeds of each training; `scratch` shifts the needy method."""
    points = {
        "scratch": {20: 0.5, 200: 0.6, 2000: 0.75},
        "transfer": {20: 0.7, 200: 0.8, 2000: 0.9},
    }
    return pd.DataFrame(
        {
            "method": method,
            "training images": n,
            "longer": False,
            "test accuracy": accuracy + shift + scratch * (method == "scratch"),
        }
        for method, line in points.items()
        for n, accuracy in line.items()
        for shift in (-0.02, 0.02)
    )


STAR = {"method": "scratch", "training images": 2000, "longer": True}
STAR |= {"test accuracy": 0.82}


@pytest.mark.parametrize(
    ("table", "n_test", "said"),
    [
        (
            curves(),
            1000,
            "200 training images with transfer (0.800 ± 0.028, 2 seeds) beat "
            "2,000 with scratch (0.750).",
        ),
        (curves().iloc[::2], 1000, "(0.780, 1 seed)"),
        # A line at chance is compared with nothing.
        (curves(-0.24), 1000, "not do better than guessing (0.510)"),
        # One seed is within the interval: more images are needed.
        (curves(0.01), 1000, "2,000 training images"),
        # With a hundred times the test images, 0.51 is more than chance.
        (curves(-0.24), 100_000, "beat 2,000"),
        # Longer training is not averaged with the others.
        (
            pd.concat([curves(), pd.DataFrame([STAR])], ignore_index=True),
            1000,
            "2,000 training images with transfer (0.900 ± 0.028, 2 seeds) beat "
            "2,000 with scratch (0.820)",
        ),
        (curves(0.2), 1000, "With no number of images was transfer clearly"),
    ],
)
def test_one_sentence_says_what_few_images_beat(table, n_test, said):
    methods = "scratch", "transfer"
    found = sum_up_curves(table, *methods, chance=0.5, n_test=n_test)
    assert said in found
    assert ("beat" in found) == ("guessing" not in said and "no n" not in said)


def test_what_was_measured_is_not_measured_again(tmp_path):
    path, calls = tmp_path / "notes" / "curve.jsonl", []

    def measure():
        calls.append(1)
        return {"accuracy": 0.9 + len(calls) / 100}

    first = measure_once(path, {"n": 20, "seed": 0}, measure)
    assert first == {"n": 20, "seed": 0, "accuracy": 0.91}
    assert measure_once(path, {"n": 20, "seed": 1}, measure) != first
    assert measure_once(path, {"n": 20, "seed": 0}, measure) == first
    assert len(calls) == 2


def test_a_line_cut_short_or_failed_is_measured_again(tmp_path):
    path = tmp_path / "curve.jsonl"
    with pytest.raises(ZeroDivisionError):
        measure_once(path, {"n": 1}, lambda: {"accuracy": 1 / 0})
    assert not path.exists()
    whole = measure_once(path, {"n": 1}, lambda: {"accuracy": 0.5})
    path.write_text(path.read_text() + '{"n": 2, "accu')
    measure_once(path, {"n": 2}, lambda: {"accuracy": 0.6})
    assert len(path.read_text().splitlines()) == 2
    assert measure_once(path, {"n": 1}, dict) == whole


def test_data_size_has_dots_a_mean_a_band_and_stars():
    table = curves().assign(seed=0)
    table.loc[0, "longer"] = True
    ax = plot_data_size(table)
    star, line, dots, *_ = ax.get_lines()
    assert star.get_marker() == "*"
    np.testing.assert_allclose(star.get_xydata(), [[20, 0.48]])
    expected = [[20, 0.52], [200, 0.6], [2000, 0.75]]
    np.testing.assert_allclose(line.get_xydata(), expected)
    assert len(dots.get_xydata()) == 5
    corners = ax.collections[0].get_paths()[0].vertices.round(6).tolist()
    assert [200, 0.58] in corners
    assert [200, 0.62] in corners
    assert ax.get_xscale() == "log"
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert ticks == ["20", "200", "2,000"]
    (legend,) = ax.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["scratch", "transfer"]
    assert line.get_color() == dots.get_color()
    plt.close(ax.figure)
