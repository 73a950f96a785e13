"""Pictures of the ideas: they show the numbers that they were given."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from catdog_helpers.data.runs import Run
from catdog_helpers.models import build_head, cut_base, join
from catdog_helpers.saving import save_model
from catdog_helpers.study.curves import plot_data_size
from catdog_helpers.study.heatmaps import plot_heat_maps
from catdog_helpers.study.inside import plot_features
from catdog_helpers.study.mistakes import (
    advise_class,
    per_class,
    plot_confusion,
    plot_mistakes,
)
from catdog_helpers.study.pictures import (
    plot_convolution,
    plot_distances,
    plot_mcnemar,
    plot_network,
    plot_schedule,
    plot_split,
)
from catdog_helpers.uncertainty import measure_uncertainty


@pytest.fixture(autouse=True)
def drawn():
    """Draw what a test has made; nothing is shown or left open."""
    yield
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def said(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def small_model():
    layers = keras.layers
    base = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, strides=2, padding="same", name="cut"),
            layers.Conv2D(6, 3, strides=2, padding="same"),
        ]
    )
    base.trainable = False
    return join(*cut_base(base, "cut"), build_head((6,), 2))


def test_the_network_shows_what_is_frozen_and_what_is_open():
    model = small_model()
    ax = plot_network(model, picture(0, 16))
    assert {"front\nfrozen", "back\nfrozen", "average", "head\nopen"} <= set(
        said(ax)
    )
    assert {"16 x 16 x 3", "8 x 8 x 4", "4 x 4 x 6", "6", "2"} <= set(said(ax))
    model.get_layer("back").trainable = True
    after = plot_network(model)
    assert "back\nopen" in said(after)
    front, back, _, head = (box.get_facecolor() for box in after.patches)
    assert front != back == head


def test_the_convolution_finds_the_edge_and_pooling_keeps_it():
    image = np.zeros((34, 34, 3), "uint8")
    image[:, :18] = 255
    ax = plot_convolution(image)
    grey, kernel, found, pooled = (x.get_array() for x in ax.images)
    assert grey.shape == (34, 34)
    assert kernel.shape == (3, 3)
    assert set(np.flatnonzero(found.max(axis=0))) == {16, 17}
    assert pooled.shape == (8, 8)
    assert set(np.flatnonzero(pooled.max(axis=0))) == {4}


def test_the_split_is_drawn_in_proportion():
    ax = plot_split({"n_train": 60, "n_validation": 10, "n_test": 30})
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, [0.6, 0.1, 0.3])
    assert "60 training images" in said(ax)


def test_distances_lie_off_the_plane(tmp_path):
    model = small_model()
    images = np.stack([picture(i, 16) for i in range(40)])
    labels, rows = np.arange(40) % 2, np.arange(40)
    known = measure_uncertainty(model, images, labels, rows[:30], rows[30:])
    card = {"class_names": ["cat", "dog"], "image_size": 16}
    save_model(model, tmp_path / "model.keras", card, known)
    odd = {"white": np.full((16, 16, 3), 255), "black": np.zeros((16, 16, 3))}
    ax = plot_distances(tmp_path / "model.keras", images[30:], odd)
    good, others = (x.get_offsets() for x in ax.collections)
    assert (len(good), len(others)) == (10, 2)
    assert said(ax) == ["white", "black"]
    limit = ax.get_lines()[-1].get_ydata()[0]
    assert limit == pytest.approx(float(known["threshold"]))
    assert (good[:, 1] > limit).sum() == 0


def test_the_schedule_marks_its_highest_rate():
    schedule = keras.optimizers.schedules.CosineDecay(
        0.001, decay_steps=80, warmup_target=0.01, warmup_steps=20
    )
    ax = plot_schedule(schedule, 100)
    curve = ax.get_lines()[0]
    np.testing.assert_allclose(
        curve.get_ydata()[[0, -1]], [0.001, 0], atol=1e-6
    )
    assert said(ax) == ["0.01 at step 20"]


def test_mcnemars_table_counts_each_image_once():
    first = np.array([1, 1, 1, 1, 0, 0, 0], bool)
    second = np.array([1, 1, 0, 0, 1, 0, 0], bool)
    ax = plot_mcnemar(first, second, ("A", "B"))
    assert said(ax)[:4] == ["2", "2", "1", "2"]
    middles = [box.get_xy() for box in ax.patches]
    assert middles == [(0, 1), (1, 1), (0, 0), (1, 0)]
    assert "A\nright" in said(ax)


TRUTH = np.array([0] * 60 + [1] * 60)
ANSWERS = np.array([0] * 60 + [1] * 30 + [0] * 30)


def test_the_weakest_class_comes_first_with_what_it_is_taken_for():
    table = per_class(TRUTH, ANSWERS, ["cat", "dog"])
    assert table.index.tolist() == ["dog", "cat"]
    assert table.accuracy.tolist() == [0.5, 1]
    assert table["taken for"].tolist() == ["cat", ""]
    assert (table.low < table.accuracy).all()
    assert "“dog” is the weakest class (0.500)" in advise_class(table)


def test_no_class_is_called_weak_where_the_intervals_overlap():
    few = per_class(TRUTH[55:64], ANSWERS[55:64], ["cat", "dog"])
    assert "do not show" in advise_class(few)


def test_confusion_shows_the_classes_with_most_mistakes():
    truth, answers = np.arange(30) % 6, np.arange(30) % 6
    answers[truth == 4] = 0
    ax = plot_confusion(truth, answers, list("abcdef"), most=2)
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["a", "e"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer", "truth")


def test_mistakes_carry_answer_and_label():
    images = np.stack([picture(i, 8) for i in range(4)])
    rows = np.arange(4)
    labels = np.array([0, 1, 0, 1])
    run = Run(images, labels, rows, rows, rows[2:], ["cat", "dog"], {}, None)
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1]])
    axes = plot_mistakes(probabilities, run, np.array([1]))
    assert axes[0, 0].get_title() == "cat 0.90\n(label: dog)"
    assert np.array_equal(axes[0, 0].images[0].get_array(), images[3])


def test_features_are_drawn_class_by_class():
    rng = np.random.default_rng(0)
    ax = plot_features(rng.random((9, 4)), np.arange(9) % 3, list("abc"))
    assert [len(x.get_offsets()) for x in ax.collections] == [3, 3, 3]


def curves() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": ["one"] * 4 + ["two"] * 2,
            "training images": [20, 20, 100, 100, 20, 100],
            "seed": [0, 1, 0, 1, 0, 0],
            "test accuracy": [0.5, 0.6, 0.7, 0.9, 0.9, 0.95],
            "longer": False,
        }
    )


def test_data_size_has_dots_a_mean_and_a_band():
    ax = plot_data_size(curves())
    stars, line, dots, *_ = ax.get_lines()
    assert len(stars.get_xydata()) == 0
    np.testing.assert_allclose(line.get_xydata(), [[20, 0.55], [100, 0.8]])
    found = dots.get_xydata()
    expected = [[20, 0.5], [20, 0.6], [100, 0.7], [100, 0.9]]
    np.testing.assert_allclose(found, expected)
    corners = {tuple(v) for v in ax.collections[0].get_paths()[0].vertices}
    assert set(map(tuple, expected)) <= corners
    assert ax.get_xscale() == "log"
    ticks = [text.get_text() for text in ax.get_xticklabels()]
    assert ticks == ["20", "100"]
    (legend,) = ax.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["one", "two"]
    assert line.get_color() == dots.get_color()


def test_longer_trainings_are_stars_off_the_line():
    longer = curves().assign(longer=[True] + 5 * [False])
    stars, line, dots, *_ = plot_data_size(longer).get_lines()
    np.testing.assert_allclose(stars.get_xydata(), [[20, 0.5]])
    assert stars.get_marker() == "*"
    np.testing.assert_allclose(line.get_xydata(), [[20, 0.6], [100, 0.8]])
    assert [20, 0.5] not in dots.get_xydata().tolist()


def test_a_heat_map_lies_over_the_whole_of_its_picture():
    images = [picture(i, 12) for i in range(3)]
    heat = np.linspace(0, 1, 9, dtype="float32").reshape(3, 3)
    axes = plot_heat_maps(images, [heat, None, heat], list("abc"), columns=3)
    assert [len(ax.images) for ax in axes.flat] == [2, 1, 2]
    below, above = axes[0, 0].images
    assert above.get_extent() == below.get_extent()
    alpha = above.get_alpha()
    assert alpha[0, 0] < alpha[2, 2] < 1  # the picture shows through
    assert axes[0, 2].get_title() == "c"
