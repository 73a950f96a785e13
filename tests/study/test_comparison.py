"""Pairs of methods on the same images, against published examples."""

import numpy as np
import pytest
from conftest import refused, save_method

from catdog_helpers.data.runs import load_run
from catdog_helpers.study.comparison import (
    balanced_interval,
    compare_methods,
    compare_seeds,
    conclude,
    holm,
    mcnemar,
)


def pairs(both, first, second, neither):
    """Who is right on each image, from the four counts."""
    counts = [both, first, second, neither]
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


@pytest.mark.parametrize(
    ("counts", "p", "digits"),
    [
        # Armitage and Berry 1994, p. 127 (exact p as StatsDirect gives it)
        ((20, 12, 2, 16), 0.0129, 4),
        # statsmodels' tests, from the VassarStats calculator
        ((101, 121, 59, 33), 0.000004, 6),
        ((101, 30, 60, 33), 0.00206, 6),
        ((101, 10, 10, 33), 1.0, 6),
    ],
)
def test_mcnemar_has_the_published_values(counts, p, digits):
    assert mcnemar(*pairs(*counts))["p"] == pytest.approx(
        p, abs=0.51 * 10**-digits
    )


@pytest.mark.parametrize(
    ("counts", "low", "high", "digits"),
    [
        # Fagerland, Lydersen, Laake, Statistical Analysis of Contingency
        # Tables (2017), chapter 8: Cavo et al. 2012
        ((59, 6, 16, 80), -0.1186, -0.0046, 4),
        # Altman et al., Statistics with Confidence (2000), table 6.2
        ((14, 5, 0, 22), 0.011, 0.226, 3),
    ],
)
def test_paired_interval_has_the_published_values(counts, low, high, digits):
    found = mcnemar(*pairs(*counts))
    tolerance = 0.6 * 10**-digits
    assert found["low"] == pytest.approx(low, abs=tolerance)
    assert found["high"] == pytest.approx(high, abs=tolerance)
    mirrored = mcnemar(*pairs(*counts)[::-1])
    assert mirrored["low"] == pytest.approx(-found["high"])
    assert mirrored["high"] == pytest.approx(-found["low"])


@pytest.mark.parametrize(
    "counts", [(40, 0, 0, 0), (0, 0, 0, 40), (30, 0, 0, 9)]
)
def test_methods_that_never_differ(counts):
    found = mcnemar(*pairs(*counts))
    assert found["p"] == 1
    assert found["low"] <= 0 <= found["high"]
    assert np.isfinite([found["low"], found["high"]]).all()


def test_interval_holds_the_truth_as_often_as_it_says():
    """95 of 100 intervals, for methods that agree on most images."""
    rng, held = np.random.default_rng(0), []
    for counts in rng.multinomial(300, [0.9, 0.05, 0.02, 0.03], 1000):
        found = mcnemar(*pairs(*counts))
        held.append(found["low"] <= 0.03 <= found["high"])
    assert 0.935 < np.mean(held) < 0.985


def drawn(rng, accuracy, *, seeds, images, wobble):
    """Right or wrong by seed and image: each image as hard as any other."""
    chances = accuracy + wobble * rng.standard_normal((seeds, 1))
    return rng.random((seeds, images)) < chances


@pytest.mark.parametrize("wobble", [0.0, 0.02])
def test_the_interval_over_seeds_holds_as_often_as_it_says(wobble):
    rng, held, found_p = np.random.default_rng(0), [], []
    for _ in range(400):
        options = {"seeds": 4, "images": 400, "wobble": wobble}
        best, same, worse = (
            drawn(rng, accuracy, **options) for accuracy in (0.9, 0.9, 0.85)
        )
        found = compare_seeds(best, worse)
        held.append(found["low"] <= 0.05 <= found["high"])
        found_p.append(compare_seeds(best, same)["p"])
    assert np.mean(held) > 0.93
    assert np.mean(np.array(found_p) < 0.05) < 0.08


def test_one_seed_is_the_paired_comparison_of_its_images():
    first, second = np.array([[1, 1, 1, 0] * 50]), np.array([[1, 0, 1, 0] * 50])
    found = compare_seeds(first, second)
    assert found["difference"] == 0.25
    assert found["p"] < 1e-6
    assert found["low"] < 0.25 < found["high"]
    assert np.isnan(found["seed spread"])
    assert compare_seeds(first, first)["p"] == 1


def test_the_interval_of_a_balanced_accuracy_holds_as_often_as_it_says():
    """Whoever is right on 0.9 of a common class and 0.6 of a rare one."""
    labels, held = np.repeat([0, 1], [900, 60]), []
    rng = np.random.default_rng(0)
    for seed in range(200):
        right = rng.random(960) < np.where(labels, 0.6, 0.9)
        answers = np.where(right, labels, 1 - labels)
        low, high = balanced_interval(answers, labels, draws=400, seed=seed)
        held.append(low <= 0.75 <= high)
    assert 0.9 < np.mean(held) < 0.99
    assert high - low > 0.08  # the 60 decide how wide it is


def test_holm_has_the_known_values():
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    found = holm([0.03, 0.05, 0.01, 0.04, 0.02])
    np.testing.assert_allclose(found, [0.09, 0.09, 0.05, 0.09, 0.08])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])


def test_all_pairs_of_a_run(run_dir):
    for seed, method in enumerate(("scratch_cnn", "bottleneck", "my_own")):
        save_method(run_dir, method, seed=seed)
    table = compare_methods(run_dir)
    scratch, bottleneck, own = "scratch CNN", "bottleneck features", "my_own"
    assert table["first"].tolist() == [scratch, scratch, bottleneck]
    assert table["second"].tolist() == [bottleneck, own, own]
    run = load_run(run_dir)
    labels, folder = run.labels[run.test], run_dir / "results"
    answers = (np.load(folder / f"{m}.npy") for m in ("scratch_cnn", "my_own"))
    expected = mcnemar(*(y.argmax(axis=1) == labels for y in answers))
    assert {key: table.loc[1, key] for key in expected} == expected
    np.testing.assert_allclose(table["p (Holm)"], holm(table["p"]))
    only = compare_methods(run_dir, ["my_own", "scratch_cnn"])
    assert len(only) == 1
    assert only["p (Holm)"][0] == only["p"][0] == expected["p"]
    assert only["difference"][0] == -expected["difference"]


@pytest.mark.parametrize("methods", [None, ["scratch_cnn"], ["a", "b"]])
def test_one_method_has_nothing_to_be_compared_with(run_dir, methods):
    save_method(run_dir, "scratch_cnn")
    refused(ValueError, "Received: ", compare_methods, run_dir, methods)


def pair(*counts, **more):
    return {"first": "one", "second": "two"} | mcnemar(*pairs(*counts)) | more


def test_the_better_method_is_named_first_whichever_way_round():
    may, may_not = conclude(pair(1950, 8, 30, 12))
    assert may.startswith("two alone is right on 30 of these 2,000 test images")
    assert "one alone on 8" in may
    assert "between +0.5 and +1.8 percentage points" in may
    assert "more than chance" in may
    assert "“two is better than one” in general" in may_not
    swapped = {"first": "two", "second": "one"}
    other_way = pair(1950, 30, 8, 12) | swapped
    assert conclude(other_way) == (may, may_not)


def test_no_difference_shown_is_not_equality_shown():
    may, may_not = conclude(pair(1950, 8, 12, 30))
    assert "do not tell the two apart" in may
    assert "equally good" in may_not
    found = pair(1950, 30, 8, 12)
    assert "more than chance" in conclude(found)[0]
    # The corrected p decides.
    assert "do not tell" in conclude(found | {"p (Holm)": 0.2})[0]
