"""Does a model hold on new photographs, and what is different about them?"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.ndimage import laplace
from scipy.stats import fisher_exact, mannwhitneyu

from catdog_helpers.data.images import open_image, to_square
from catdog_helpers.data.names import NOT_SURE, same
from catdog_helpers.data.runs import load_run
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.models import in_batches
from catdog_helpers.prediction.photographs import find_photographs
from catdog_helpers.prediction.predictor import judge
from catdog_helpers.results import load_results
from catdog_helpers.saving import load_model, load_uncertainty
from catdog_helpers.study.advice import per_class
from catdog_helpers.study.comparison import holm
from catdog_helpers.uncertainty import calibrate, with_distance

MOST = 1000  # photographs of each side that are looked at
# What new photographs are if the measure is lower, and if it is higher
WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("lower in contrast", "higher in contrast"),
    "sharpness": ("more blurred", "sharper"),
    "colour cast": ("bluer", "warmer (redder)"),
    "size": ("smaller in pixels", "larger in pixels"),
    "compression": ("less compressed", "more compressed"),
    "file type": ("less often JPEG", "more often JPEG"),
    # Not what the photographs are like, but what the model makes of it
    "distance": ("nearer to the training images", "farther from them"),
    "not sure": ("less often “not sure”", "more often “not sure”"),
}
OF_THE_MODEL = ("distance", "not sure")


class Check(NamedTuple):
    """What `check` found.

    Attributes:
        said: Sentences, the most important ones first.
        classes: What `per_class` returns, with the `test accuracy` and `p
            (Holm)` of the difference, the lowest first. Empty without labels.
        differences: One row per measure that differs beyond chance, the
            largest first: see `differences`.
    """

    said: list[str]
    classes: pd.DataFrame
    differences: pd.DataFrame


def check(model_path: str | Path, folder: str | Path) -> Check:
    """Check a model on new photographs against the test images of its run.

    Args:
        model_path: `<run>/models/<method>.keras`, as `save_result` wrote it.
        folder: The photographs, as for `find_photographs`; those in folders
            that are named after the classes have a label. Of more than 1,000
            every n-th is taken.

    Returns:
        A `Check`.

    Raises:
        FileNotFoundError: If the run or the model is missing.
        ValueError: If no photograph can be read.
    """
    path = Path(model_path)
    model, card = load_model(path)
    out, names = path.resolve().parents[1], card["class_names"]
    load_results(out, path.stem)
    run, known = load_run(out), load_uncertainty(path, card)
    rows = _spread(run.test)
    files = [Path(run.info["folder"], run.manifest.path[i]) for i in rows]
    old = pd.DataFrame([_of_file(file) for file in files])
    old = _look(model, known, names, run.images[rows], old)
    labels = {same(name): number for number, name in enumerate(names)}
    photographs = _spread(list(find_photographs(folder)))
    facts, pixels = [], []
    for photograph in photographs:
        try:
            image = open_image(photograph.read())
            fact = _of_image(image)
            pixels.append(np.asarray(to_square(image, card["image_size"])))
        except (OSError, ValueError):
            continue
        label = labels.get(same(Path(photograph.path).parent.name), -1)
        facts.append(fact | {"label": label})
    if not facts:
        raise ValueError(f"no photograph can be read. Received: {folder}")
    new = _look(model, known, names, np.stack(pixels), pd.DataFrame(facts))
    test = np.load(out / "results" / f"{path.stem}.npy").argmax(axis=1)
    said, classes = _compare(new, run.labels[run.test], test, names)
    found = differences(old[list(WORDS)], new[list(WORDS)])
    n_failed = len(photographs) - len(facts)
    said += [_say(found), f"{n_failed:,} files cannot be read."]
    return Check(said if n_failed else said[:-1], classes, found)


def _spread(rows):
    """Take every n-th, so that at most `MOST` are left."""
    return rows[:: -(-len(rows) // MOST) or 1]


def _of_file(file: Path) -> dict[str, float]:
    try:
        return _of_image(open_image(file))
    except (OSError, ValueError):  # moved away since
        return dict.fromkeys(("size", "compression", "file type"), np.nan)


def _of_image(image) -> dict[str, float]:
    """Measure what a photograph's header says."""
    tables = getattr(image, "quantization", None) or {}
    steps = np.mean(tables[min(tables)]) if tables else np.nan
    is_jpeg = float(image.format in ("JPEG", "MPO"))
    size = np.log(image.width * image.height)
    return {"size": size, "compression": steps, "file type": is_jpeg}


def _look(model, known, names, pixels, table: pd.DataFrame) -> pd.DataFrame:
    """Add what the pixels are like, and what the model says to them."""
    run = with_distance(model, known).predict_on_batch
    probabilities, *far = in_batches(run, pixels)
    known = known or {"temperature": 1.0, "threshold": np.inf}
    probabilities = calibrate(probabilities, known["temperature"])
    table["distance"] = far[0] if far else np.nan
    strange = table["distance"] > known["threshold"]
    pairs = zip(probabilities, strange, strict=True)
    verdicts = [judge(*pair, names)["verdict"] for pair in pairs]
    table["not sure"] = (np.array(verdicts) == NOT_SURE).astype(float)
    table["answer"] = probabilities.argmax(axis=1)
    measures = [_of_pixels(x.astype("float32")) for x in pixels]
    return table.join(pd.DataFrame(measures))


def _of_pixels(x: np.ndarray) -> dict[str, float]:
    """Measure a square image so that one kind of change moves one measure.

    Contrast is relative to brightness, and sharpness to contrast: a darker
    picture of the same scene is neither flatter nor more blurred.
    """
    grey, spread = x.mean(axis=2), x.mean(axis=2).std() + 1
    red, _, blue = x.mean(axis=(0, 1)) + 1
    return {
        "brightness": grey.mean(),
        "contrast": spread / (grey.mean() + 1),
        "sharpness": np.log(np.abs(laplace(grey)).mean() / spread + 1e-6),
        "colour cast": np.log(red / blue),
    }


def differences(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """List the measures in which photographs differ beyond chance.

    Args:
        old: One row per test image, a column for each measure of `WORDS`.
        new: Likewise, of the new photographs.

    Returns:
        One row per measure, the largest `explains` first, the model's own
        measures last: how well it alone
        tells the two apart, |2 AUC - 1|, from 0 (not at all) to 1; what `new
        photographs are`; the means of both; and `p (Holm)` of Mann and
        Whitney's test.
    """
    rows = {}
    for name, words in WORDS.items():
        a, b = old[name].dropna(), new[name].dropna()
        if len(a) and len(b):
            u, p = mannwhitneyu(b, a)
            effect = 2 * u / (len(a) * len(b)) - 1
            rows[name] = {
                "explains": abs(effect),
                "new photographs are": words[int(effect > 0)],
                "test images": a.mean(),
                "new photographs": b.mean(),
                "p (Holm)": p,
            }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["p (Holm)"] = holm(table["p (Holm)"].fillna(1.0))
    table = table[table["p (Holm)"] < 0.05].sort_values("explains")[::-1]
    return table.loc[sorted(table.index, key=OF_THE_MODEL.__contains__)]


def _say(found: pd.DataFrame) -> str:
    if found.empty:
        return "Nothing is different about them that was measured here."
    words = [f"{w} ({e:.2f})" for e, w, *_ in found.itertuples(index=False)]
    return (
        "What is different about them, the most telling first (1: it alone "
        f"tells them from the test images): {', '.join(words)}."
    )


def _compare(new: pd.DataFrame, truth, answers, names):
    """Compare the accuracy with the test's, over all and class by class."""
    marked = new[new.label >= 0]
    if marked.empty:
        text = "no folder is named after a class, so no accuracy is measured."
        return [f"{len(new):,} new photographs; {text}"], pd.DataFrame()
    right, tested = marked.answer == marked.label, answers == truth
    p = _p_value(right, tested)
    said = [
        f"Right on {_interval(right)} of {len(right):,} new photographs, and "
        f"on {_interval(tested)} of {len(tested):,} test images. "
        + ("That is more than" if p < 0.05 else "The difference may be")
        + f" chance (p {'< 0.001' if p < 0.001 else f'= {p:.3f}'})."
    ]
    table = per_class(marked.label, marked.answer, names)
    table["test accuracy"] = per_class(truth, answers, names).accuracy
    places = map(names.index, table.index)
    pairs = [(right[marked.label == i], tested[truth == i]) for i in places]
    table["p (Holm)"] = holm([_p_value(*pair) for pair in pairs])
    return said, table.sort_values("p (Holm)", kind="stable")


def _p_value(first, second) -> float:
    counts = [[int(x.sum()), int((~x).sum())] for x in (first, second)]
    return float(fisher_exact(counts).pvalue)


def _interval(right) -> str:
    low, high = wilson_interval(int(right.sum()), len(right))
    return f"{right.mean():.3f} ({low:.3f} to {high:.3f})"
