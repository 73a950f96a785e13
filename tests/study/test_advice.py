"""What a data set is too small, too uneven or too untidy for, in words."""

import numpy as np
import pandas as pd
import pytest

from catdog_helpers.data.splits import split
from catdog_helpers.evaluation import score, wilson_interval
from catdog_helpers.study.advice import (
    advise,
    advise_class,
    next_steps,
    per_class,
    what_more_buys,
)
from catdog_helpers.training import class_weights


def manifest_of(counts: dict[str, int]) -> pd.DataFrame:
    """Return a split manifest of sound images that are no copies."""
    classes = [name for name, n in counts.items() for _ in range(n)]
    table = pd.DataFrame({"class": classes})
    table["path"] = [f"{name}/{i}.jpg" for i, name in enumerate(classes)]
    table["sha256"] = [f"{i:064x}" for i in range(len(classes))]
    table = table.assign(status="ok", given_split="", group=table.index)
    table = table.assign(reason="", duplicate=table.index)
    return split(table)


def test_plenty_of_even_data_gets_its_interval_and_no_warning():
    said = advise(manifest_of({"a": 500, "b": 500}))
    low, high = wilson_interval(180, 200)
    assert said == [
        "200 test images: an accuracy of 0.90 on them has a 95 % interval of "
        f"{low:.2f} to {high:.2f}."
    ]


def test_few_and_uneven_images_are_named_with_what_to_do():
    said = " ".join(advise(manifest_of({"a": 100, "b": 40})))
    assert "1 of 2 classes have under 10 test images; 'b' has 8" in said
    assert f"begins at {wilson_interval(8, 8)[0]:.2f}" in said
    assert "Uneven" not in said
    said = " ".join(advise(manifest_of({"many": 200, "one few": 10})))
    assert "Uneven: 'many' has 200 images, 'one few' 10." in said
    assert "balanced accuracy" in said
    assert "0.95" in said


def test_rejected_contradicting_and_suspect_images_are_counted():
    table = manifest_of({"a": 50, "b": 50})
    table.loc[3, ["status", "reason"]] = "rejected", "damaged: cut (9 bytes)"
    table.loc[4, ["status", "reason"]] = "rejected", "empty file (0 bytes)"
    table.loc[6, ["status", "reason"]] = "rejected", "damaged: cut (5 bytes)"
    # Of class b, a copy of one of class a
    table.loc[60, ["group", "duplicate"]] = 5
    said = advise(table, suspects=["a/7.jpg", "b/70.jpg"])
    reasons = "(2: damaged; 1: empty file (0 bytes)): 3, such as a/3.jpg."
    assert f"Files that do not decode {reasons}" in said
    assert all("\n" not in s and s.endswith(".") for s in said)
    said = " ".join(said)
    assert "so both are left out): 2, such as " in said
    assert "another class (check their labels): 2, such as a/7.jpg." in said


def test_weights_make_each_class_count_the_same():
    labels = np.repeat([0, 1, 2], [200, 10, 100])
    weights = class_weights(labels)
    sums = [weights[k] * (labels == k).sum() for k in range(3)]
    assert sums == pytest.approx([310 / 3] * 3)
    assert class_weights(np.repeat([0, 1], [30, 10])) is None
    assert class_weights(np.repeat([0, 1], [31, 10])) is not None


def test_balanced_accuracy_is_that_of_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 3], [90, 7, 3])
    probabilities = rng.dirichlet(np.ones(4), 100)
    expected = balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    found = score(probabilities, labels)
    assert found["balanced_accuracy"] == pytest.approx(expected)


def test_what_more_buys_follows_the_power_law():
    n = np.array([5, 10, 20, 40])
    accuracy = 1 - 0.8 * n**-0.5
    curve = pd.DataFrame({"accuracy": accuracy, "low": 0.8, "high": 0.9}, n)
    said = what_more_buys(curve)
    assert f"{1 - 0.8 * 80**-0.5:.2f} with twice as many" in said
    assert f"{1 - 0.8 * 160**-0.5:.2f} with 4 times" in said
    assert "40 training images a class" in said
    assert "buy little" in what_more_buys(curve.assign(accuracy=0.9))
    assert "1.00" in what_more_buys(curve.assign(accuracy=1.0))


TRUTH = np.array([0] * 60 + [1] * 60)
ANSWERS = np.array([0] * 60 + [1] * 30 + [0] * 30)


def test_the_weakest_class_is_named_and_whether_it_may_be_chance():
    table = per_class(TRUTH, ANSWERS, ["cat", "dog"])
    assert table.index.tolist() == ["dog", "cat"]
    assert table.accuracy.tolist() == [0.5, 1]
    assert table["taken for"].tolist() == ["cat", ""]
    assert (table.low < table.accuracy).all()
    assert "“dog” is the weakest class (0.500 of 60" in advise_class(table)
    said = advise(manifest_of({"a": 50, "b": 50}), classes=table)
    assert said[-1] == advise_class(table)
    files, more, check = next_steps(
        table, n_suspects=3, n_rejected=0, model="m.keras"
    )
    assert files == "Look through suspects.csv (3 in doubt)."
    assert "more photographs of “dog”" in more
    assert "“cat”" in more
    assert "check --model m.keras" in check
    few = per_class(TRUTH[55:64], ANSWERS[55:64], ["cat", "dog"])
    assert "Every test image" in advise_class(few)
    files, more, _ = next_steps(few, n_suspects=0, n_rejected=0, model="m")
    chance = advise_class(per_class(TRUTH[55:91], ANSWERS[56:92], ["a", "b"]))
    assert "“a” is the weakest class (0.800 of 5" in chance
    assert chance.endswith("it may be chance.")
    assert files.startswith("Nothing")
    assert "of all classes" in more
