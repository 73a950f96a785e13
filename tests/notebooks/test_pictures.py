"""Pictures of the notebooks: they show the numbers that they were given."""

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import picture
from PIL import Image

import pictures
from catdog_helpers.data.runs import Run, load_run
from catdog_helpers.models import build_head, cut_base, join
from catdog_helpers.saving import save_model
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


@pytest.fixture
def model():
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


def test_the_network_shows_what_is_frozen_and_what_is_open(model):
    texts = set(said(pictures.plot_network(model, picture(0, 16))))
    assert {"front\nfrozen", "back\nfrozen", "average", "head\nopen"} <= texts
    assert {"16 x 16 x 3", "8 x 8 x 4", "4 x 4 x 6", "6", "2", "cut"} <= texts
    model.get_layer("back").trainable = True
    after = pictures.plot_network(model, picture(0, 16))
    assert "back\nopen" in said(after)
    front, back, _, head = (box.get_facecolor() for box in after.patches)
    assert front != back == head


def test_the_convolution_finds_the_edge_and_pooling_keeps_it():
    image = np.zeros((34, 34, 3), "uint8")
    image[:, :18] = 255
    axes = pictures.plot_convolution(image)
    *_, found, pooled = (ax.images[0].get_array().max(axis=0) for ax in axes)
    assert set(np.flatnonzero(found)) == {16, 17}
    assert set(np.flatnonzero(pooled)) == {4}


def test_the_split_is_drawn_in_proportion():
    ax = pictures.plot_split({"n_train": 60, "n_validation": 10, "n_test": 30})
    bars = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert bars == [(0, 60), (60, 10), (70, 30)]
    assert said(ax) == ["60", "10", "30"]


def test_distances_lie_off_the_plane(model, tmp_path):
    images = np.stack([picture(i, 16) for i in range(40)])
    labels, rows = np.arange(40) % 2, np.arange(40)
    known = measure_uncertainty(model, images, labels, rows[:30], rows[30:])
    card = {"class_names": ["cat", "dog"], "image_size": 16}
    save_model(model, tmp_path / "model.keras", card, known)
    odd = {"white": np.full((16, 16, 3), 255), "black": np.zeros((16, 16, 3))}
    ax = pictures.plot_distances(tmp_path / "model.keras", images[30:], odd)
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
    ax = pictures.plot_schedule(schedule, 100)
    rates = ax.get_lines()[0].get_ydata()
    np.testing.assert_allclose(rates[[0, -1]], [0.001, 0], atol=1e-6)
    assert ax.get_title() == "highest: 0.01 at step 20"


def test_mcnemars_table_counts_each_image_once():
    first, second = np.array([[1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 1, 1, 0]]) > 0
    ax = pictures.plot_mcnemar(first, second, ("A", "B"))
    assert said(ax) == ["3", "1", "2", "1"]
    assert ticks(ax) == ["A\nright", "A\nwrong"]


def ticks(ax) -> list[str]:
    return [text.get_text() for text in ax.get_yticklabels()]


def test_confusion_shows_the_classes_with_most_mistakes():
    truth, answers = np.arange(30) % 6, np.arange(30) % 6
    answers[truth == 4] = 0
    ax = pictures.plot_confusion(truth, answers, list("abcdef"), most=2)
    assert ticks(ax) == ["a", "e"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer", "truth")


def test_mistakes_carry_answer_and_label():
    images = np.stack([picture(i, 8) for i in range(4)])
    rows, labels = np.arange(4), np.array([0, 1, 0, 1])
    run = Run(images, labels, rows, rows, rows[2:], ["cat", "dog"], {}, None)
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1]])
    axes = pictures.plot_mistakes(probabilities, run, np.array([1]))
    assert axes[0, 0].get_title() == "cat 0.90\n(label: dog)"
    assert np.array_equal(axes[0, 0].images[0].get_array(), images[3])


def test_a_heat_map_lies_over_the_whole_of_its_picture():
    images = [picture(i, 12) for i in range(3)]
    heat = np.linspace(0, 1, 9, dtype="float32").reshape(3, 3)
    axes = pictures.plot_heat_maps(images, [heat, None, heat], list("abc"))
    assert [len(ax.images) for ax in axes.flat[:3]] == [2, 1, 2]
    below, above = axes[0, 0].images
    assert above.get_extent() == below.get_extent()
    alpha = above.get_alpha()
    assert alpha[0, 0] < alpha[2, 2] < 1  # the picture shows through


def test_darkened_photographs_differ_in_their_light_alone(run_dir, tmp_path):
    run = load_run(run_dir)
    folder = pictures.darken(run, tmp_path / "dark", most=4)
    dark = sorted(folder.rglob("*.png"))
    assert len(dark) == 4
    for path in dark:
        before = tmp_path / "photos" / path.relative_to(folder)
        x, y = np.asarray(Image.open(before)), np.asarray(Image.open(path))
        assert np.abs(0.6 * x - y).max() <= 1


def test_odd_pictures_have_the_size_of_the_images():
    odd = pictures.draw_odd(24)
    assert {picture.size for picture in odd.values()} == {(24, 24)}
    assert len({np.asarray(x).tobytes() for x in odd.values()}) == len(odd)
