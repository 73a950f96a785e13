"""Training sets of rising size, and what the curves over them say."""

import numpy as np
import pandas as pd
import pytest

from catdog_helpers.study.curves import (
    images_to_match,
    images_to_reach,
    measure_once,
    subsets,
)

ROWS = np.arange(100, 500)
LABELS = (np.arange(600) % 10 == 0).astype(int)  # one in ten is of class 1


def test_each_set_lies_within_the_next():
    drawn = subsets(LABELS, ROWS, [300, 20, 50, 400], seed=1)
    assert list(drawn) == [20, 50, 300, 400]
    assert [len(rows) for rows in drawn.values()] == [20, 50, 300, 400]
    sets = [set(rows) for rows in drawn.values()]
    for small, large in zip(sets, sets[1:], strict=False):
        assert small < large
    assert sets[-1] == set(ROWS)
    for rows in drawn.values():
        assert (np.diff(rows) > 0).all()  # rising, none twice


def test_sets_are_stratified_and_hold_every_class():
    drawn = subsets(LABELS, ROWS, [2, 20, 50, 300], seed=1)
    counts = [int(LABELS[rows].sum()) for rows in drawn.values()]
    assert counts[0] == 1
    expected = [2, 5, 30]
    assert np.abs(np.subtract(counts[1:], expected)).max() <= 1


def test_many_classes_have_one_image_each_at_least():
    labels = np.repeat(np.arange(37), np.arange(3, 40))
    drawn = subsets(labels, np.arange(len(labels)), [37, 60, 200])
    for rows in drawn.values():
        assert set(labels[rows]) == set(range(37))


def test_balanced_classes_stay_balanced():
    labels = np.arange(1000) % 2
    for n, rows in subsets(labels, np.arange(1000), [20, 50, 250]).items():
        assert labels[rows].sum() == n / 2


def test_the_seed_decides():
    one, same, other = (
        subsets(LABELS, ROWS, [50], seed=seed)[50] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


@pytest.mark.parametrize("sizes", [[1, 50], [50, 401], []])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="between 2, .* 400, .*Received"):
        subsets(LABELS, ROWS, sizes)


@pytest.mark.parametrize(
    ("target", "images"),
    [
        (0.5, 10),  # above from the start
        (0.6, 10),
        (0.7, 10**1.5),  # half way on a log axis
        (0.8, 100),
        (0.85, 10**3.5),  # the dip to 0.7 does not count
        (0.9, 10_000),
        (0.91, np.inf),
    ],
)
def test_images_are_read_off_on_a_log_axis(target, images):
    sizes, curve = [10, 100, 1000, 10_000], [0.6, 0.8, 0.8, 0.9]
    assert images_to_reach(sizes, curve, target) == pytest.approx(images)


def curves():
    rows = [
        (method, n, seed, accuracy + shift)
        for method, points in {
            "scratch": {20: 0.5, 200: 0.6, 2000: 0.8},
            "transfer": {20: 0.7, 200: 0.8, 2000: 0.9},
            "poor": {20: 0.4},
        }.items()
        for n, accuracy in points.items()
        for seed, shift in enumerate((-0.02, 0.02))
    ]
    columns = ["method", "training images", "seed", "test accuracy"]
    return pd.DataFrame(rows, columns=columns).assign(longer=False)


def with_star(accuracy):
    """The curves, and the needy method trained longer on all images."""
    star = {"method": "scratch", "training images": 2000, "longer": True}
    star |= {"seed": 0, "test accuracy": accuracy}
    return pd.concat([curves(), pd.DataFrame([star])], ignore_index=True)


def said(table, n):
    return table["sentence"][n].partition("; ")[2]


def test_how_many_images_match_a_method():
    table = images_to_match(curves(), "scratch", "transfer")
    assert list(table.index) == [20, 200, 2000]
    np.testing.assert_allclose(table["test accuracy"], [0.7, 0.8, 0.9])
    expected = [200 * 10**0.5, 2000, np.inf]
    np.testing.assert_allclose(table["images to match"], expected)
    np.testing.assert_allclose(table["times"], [10**1.5, 10, np.inf])
    assert list(table["sentence"]) == [
        "With 20 training images, transfer reaches 0.700; scratch needs about "
        "32 times the images to match.",
        "With 200 training images, transfer reaches 0.800; scratch needs about "
        "10 times the images to match.",
        "With 2,000 training images, transfer reaches 0.900; scratch stays "
        "below that with as many.",
    ]


def test_a_curve_that_ends_below_needs_more_than_it_has():
    low = curves()
    low.loc[low["method"] == "scratch", "test accuracy"] -= 0.3
    table = images_to_match(low, "scratch", "transfer")
    expected = "scratch needs more than 100 times the images to match."
    assert said(table, 20) == expected


def test_a_curve_that_starts_above_is_as_good():
    table = images_to_match(curves(), "scratch", "poor")
    assert said(table, 20) == "scratch is as good with no more."


@pytest.mark.parametrize(
    ("star", "of", "words"),
    [
        (0.95, "transfer", "scratch is as good with no more."),
        (0.85, "transfer", "scratch stays below that with as many."),
    ],
)
def test_longer_training_bounds_what_the_curve_leaves_open(star, of, words):
    table = images_to_match(with_star(star), "scratch", of)
    assert said(table, 2000) == words
    # Where the curve itself arrives, the star says nothing.
    assert "about 32 times" in said(table, 20)


def test_longer_training_that_suffices_is_an_upper_bound():
    low = with_star(0.75)
    curve = (low["method"] == "scratch") & ~low["longer"]
    low.loc[curve, "test accuracy"] -= 0.3
    table = images_to_match(low, "scratch", "transfer")
    assert table["images to match"][20] == 2000
    assert (
        said(table, 20)
        == "scratch needs at most 100 times the images to match."
    )
    assert "more than 10 times" in said(table, 200)


def test_an_unknown_method_is_said():
    with pytest.raises(ValueError, match="'scratch'.*Received: 'cnn'"):
        images_to_match(curves(), "cnn", "transfer")


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


def test_a_line_cut_short_is_measured_again(tmp_path):
    path = tmp_path / "curve.jsonl"
    whole = measure_once(path, {"n": 1}, lambda: {"accuracy": 0.5})
    path.write_text(path.read_text() + '{"n": 2, "accu')
    measure_once(path, {"n": 2}, lambda: {"accuracy": 0.6})
    assert len(path.read_text().splitlines()) == 2
    assert measure_once(path, {"n": 1}, dict) == whole


def test_a_failed_measurement_leaves_no_line(tmp_path):
    path = tmp_path / "curve.jsonl"
    with pytest.raises(ZeroDivisionError):
        measure_once(path, {"n": 1}, lambda: {"accuracy": 1 / 0})
    assert not path.exists()
