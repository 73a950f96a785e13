"""Compare methods pair by pair, on the same images."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from scipy.stats import t as student

from catdog_helpers.data.runs import load_run
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.results import display_name, load_results


def mcnemar(first: np.ndarray, second: np.ndarray) -> dict:
    """Compare two methods by the images that only one of them gets right.

    McNemar's exact test (Q. McNemar, Psychometrika 12, 1947): if both were
    equally good, each of these images would be like the toss of a coin. The
    interval is Newcombe's tenth (R. G. Newcombe, Improved confidence
    intervals for the difference between binomial proportions based on paired
    data, Statistics in Medicine 17, 1998).

    Args:
        first: Shape `(n,)`, boolean: which images the first one gets right.
        second: Likewise, of the same images in the same order.

    Returns:
        `images`, the number n; `only first right`, `only second right`, and
        their sum, `differ`; `difference` of the accuracies, first minus
        second, with the `low` and `high` of its 95 % interval, in [-1, 1];
        `p`, two-sided, in [0, 1].
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    one, other = int((first & ~second).sum()), int((second & ~first).sum())
    low, high = _paired_interval(first, second)
    differ = one + other
    return {
        "images": len(first),
        "differ": differ,
        "only first right": one,
        "only second right": other,
        "difference": (one - other) / len(first),
        "low": low,
        "high": high,
        "p": float(binomtest(one, differ).pvalue) if differ else 1.0,
    }


def _paired_interval(first, second) -> tuple[float, float]:
    n, p, q = len(first), first.mean(), second.mean()
    low_p, high_p = wilson_interval(int(first.sum()), n)
    low_q, high_q = wilson_interval(int(second.sum()), n)
    margins = p * (1 - p) * q * (1 - q)
    # n * n * covariance is ad - bc; if positive, n / 2 is taken off.
    covariance = float((first & second).mean() - p * q)
    if covariance > 0:
        covariance = max(covariance - 1 / (2 * n), 0.0)
    phi = covariance / margins**0.5 if margins > 0 else 0.0

    def distance(x, y):
        return float(np.sqrt(x * x - 2 * phi * x * y + y * y))

    return (
        float(p - q) - distance(p - low_p, high_q - q),
        float(p - q) + distance(high_p - p, q - low_q),
    )


def compare_seeds(first: np.ndarray, second: np.ndarray) -> dict:
    """Compare two recipes that were each trained with several seeds.

    What varies is both the test images and the seeds; their two variances of
    the mean difference are added, with the degrees of freedom of Welch and
    Satterthwaite (F. E. Satterthwaite, Biometrics Bulletin 2, 1946).

    Args:
        first: Shape `(n_seeds, n_images)`, boolean: which images the first
            recipe gets right with each seed.
        second: Likewise, with the same seeds and the same images.

    Returns:
        `difference` of the mean accuracies, first minus second, with the
        `low` and `high` of its 95 % interval; `p`, two-sided; `seeds`, their
        number, and `seed spread`, the standard deviation of the difference
        over the seeds (NaN of one seed).
    """
    apart = np.asarray(first, float) - np.asarray(second, float)
    n_seeds, n_images = apart.shape
    by_seed, by_image = apart.mean(axis=1), apart.mean(axis=0)
    parts = [by_image.var(ddof=1) / n_images]
    if n_seeds > 1:
        parts.append(by_seed.var(ddof=1) / n_seeds)
    error, mean = sum(parts) ** 0.5, float(apart.mean())
    found = {"seeds": n_seeds, "difference": mean}
    found["seed spread"] = by_seed.std(ddof=1) if n_seeds > 1 else np.nan
    if not error:  # the same answers everywhere
        return found | {"low": mean, "high": mean, "p": float(mean == 0)}
    freedom = n_images - 1, n_seeds - 1
    df = error**4 / sum(v**2 / f for v, f in zip(parts, freedom, strict=False))
    wide = error * student.ppf(0.975, df)
    p = 2 * student.sf(abs(mean) / error, df)
    low, high = max(mean - wide, -1.0), min(mean + wide, 1.0)
    return found | {"low": low, "high": high, "p": float(p)}


def balanced_interval(
    answers: np.ndarray, labels: np.ndarray, *, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a balanced accuracy.

    A stratified bootstrap with percentiles (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993): images are drawn anew within each
    class, so the right answers of a class are a binomial draw.

    Args:
        answers: Shape `(n,)`, the class number answered for each image.
        labels: Shape `(n,)`, the true class numbers.
        draws: How often all images are drawn.
        seed: Of the draws.

    Returns:
        low, high: In [0, 1].
    """
    _, own, n = np.unique(labels, return_inverse=True, return_counts=True)
    right = np.bincount(own, np.asarray(answers) == np.asarray(labels))
    rng = np.random.default_rng(seed)
    drawn = rng.binomial(n, right / n, (draws, len(n))) / n
    low, high = np.quantile(drawn.mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Correct p-values for the number of tests made.

    S. Holm, Scandinavian Journal of Statistics 6, 1979. Without it, one in
    twenty comparisons of equally good methods finds a difference.

    Args:
        p_values: Shape `(m,)`, in [0, 1].

    Returns:
        Shape `(m,)`, in the same order: to be read as single p-values are.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = p_values.argsort()
    left = np.arange(len(order), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(p_values[order] * left)
    return corrected.clip(max=1)


def compare_methods(
    out: str | Path, methods: Sequence[str] | None = None
) -> pd.DataFrame:
    """Compare all pairs of methods of a run on its test images.

    Args:
        out: Directory of the run.
        methods: Which, by the names of their files. Defaults to all; the
            fewer pairs, the smaller the difference that can be seen.

    Returns:
        One row per pair: `first` and `second`, their names, what `mcnemar`
        returns, and `p (Holm)`, corrected for the number of pairs.

    Raises:
        ValueError: If there are not two of them.
    """
    results = load_results(out)
    methods = list(results if methods is None else methods)
    if len(methods) < 2 or not set(methods) <= set(results):
        raise ValueError(
            f"`methods` must be two or more of {list(results)}, those measured "
            f"on this split. Received: {methods}"
        )
    run = load_run(out)
    labels = run.labels[run.test]
    right = {}
    for name in methods:
        probabilities = np.load(Path(out) / "results" / f"{name}.npy")
        right[name] = probabilities.argmax(axis=1) == labels
    table = pd.DataFrame(
        {"first": display_name(results[a]), "second": display_name(results[b])}
        | mcnemar(right[a], right[b])
        for a, b in combinations(methods, 2)
    )
    return table.assign(**{"p (Holm)": holm(table["p"])})


def conclude(pair: Mapping) -> tuple[str, str]:
    """Say what a comparison shows, and what it does not.

    Args:
        pair: A row of what `compare_methods` returned.

    Returns:
        may, may_not: A sentence that may be drawn from it, and one that may
        not. A difference counts if p, corrected if it is, is below 0.05.
    """
    p = pair.get("p (Holm)", pair["p"])
    winner, loser, sign = pair["first"], pair["second"], 1
    only = [pair["only first right"], pair["only second right"]]
    if only[0] < only[1]:
        winner, loser, sign, only = loser, winner, -1, only[::-1]
    low, high = sorted((sign * 100 * pair["low"], sign * 100 * pair["high"]))
    chance = f"p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    if "p (Holm)" in pair:
        chance += ", corrected for the number of pairs"
    facts = (
        f"{winner} alone is right on {only[0]:,} of these {pair['images']:,} "
        f"test images, {loser} alone on {only[1]:,} ({chance}). The "
        f"lead of {winner} on such images is estimated between "
        f"{low:+.1f} and {high:+.1f} percentage points (95 % interval, of this "
        "pair alone). "
    )
    if p < 0.05:
        return (
            f"{facts}That is more than chance explains.",
            f"“{winner} is better than {loser}” in general: one trained model "
            "of each was compared, on one kind of photographs. Another seed, "
            "other data or more training may turn it round.",
        )
    return (
        f"{facts}These images do not tell the two apart.",
        f"“{winner} and {loser} are equally good”: no difference was shown, "
        "which is not to show that there is none.",
    )
