"""Which base suits these photographs: measure several, choose one."""

from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from catdog_helpers.bases import BASES, DEFAULT_SIZE, load_base
from catdog_helpers.data.runs import Run
from catdog_helpers.evaluation import wilson_interval
from catdog_helpers.features import extract_features
from catdog_helpers.machine.files import read_json
from catdog_helpers.machine.presets import HUB
from catdog_helpers.machine.trials import least_seconds
from catdog_helpers.models import cut_base
from catdog_helpers.study.curves import in_proportion
from catdog_helpers.study.linear import cross_validate
from catdog_helpers.uncertainty import EPSILON

# Small, of several families, and with licences that allow any use
CANDIDATES = ("MobileNetV2", "EfficientNetV2B0", "ResNet50", "ConvNeXtTiny")
LICENCES = Path(__file__).parents[1] / "deploy" / "licences.json"
MANY = 400  # images that are enough to tell bases apart
# McNemar's test on 300 photographs sees too little: over 20 draws of them it
# let a base pass that was 3 points worse in 8. The log losses, tested in pairs,
# cost at most 0.8 points against the best in hindsight, 0.2 in the mean.
LEVEL = 0.05


def compare_bases(
    run: Run, bases: Iterable[str] = CANDIDATES, *, seed: int = 0
) -> pd.DataFrame:
    """Compare pretrained bases on training images of a run.

    A logistic regression on the features of each base answers up to 400
    training images, each of which is judged by what was learned from others.
    The chosen base is the fastest of those whose log loss is not higher than
    the lowest beyond chance (paired t-test, 5 %).

    Args:
        run: What `load_run` returned.
        bases: Names or paths as for `load_base`; `name:path` for a weights
            file.
        seed: Of the choice of images and of the parts.

    Returns:
        One row per base, the fastest first: `accuracy`, `low` and `high` of
        its 95 % interval, `log loss`, `p` of the paired test, `images a
        second` on this machine, `MB` of weights, `licence` of the weights,
        whether it is `chosen`, and `base` and `weights` for `load_base`. A
        base that cannot be loaded has only `missing`, the reason.

    Raises:
        ValueError: If none of them can be loaded.
    """
    order = np.random.default_rng(seed).permutation(run.train)
    rows = np.sort(in_proportion(order, run.labels)[:MANY])
    table, losses, licences = {}, {}, read_json(LICENCES)["base"]
    for entry in bases:
        base, weights = split_entry(entry)
        name = Path(base).name.removesuffix(".keras")
        about = {"base": base, "weights": weights}
        try:
            model = load_base(base, weights, image_size=run.images.shape[1])
        except (OSError, ValueError, ImportError) as error:
            table[name] = about | {"missing": str(error)}
        else:
            losses[name], measured = _measure(name, model, run, rows, seed)
            licence = licences.get(base, "not known here")
            table[name] = about | measured | {"licence": licence, "missing": ""}
    table = pd.DataFrame.from_dict(table, orient="index")
    if not losses:
        raise ValueError(
            f"no base can be loaded. Received: {table.missing.iloc[0]}"
        )
    best = min(losses, key=lambda name: losses[name].mean())
    worse = {name: loss - losses[best] for name, loss in losses.items()}
    table["p"] = pd.Series(
        {
            n: ttest_1samp(x, 0).pvalue if x.any() else 1
            for n, x in worse.items()
        }
    )
    table = table.sort_values("images a second", ascending=False)
    return table.assign(chosen=table.index == (table["p"] >= LEVEL).idxmax())


def split_entry(entry: str) -> tuple[str, str]:
    """Return the base and the weights that an entry of `bases` names."""
    if entry.startswith(HUB):
        return entry, "imagenet"
    base, _, path = entry.partition(":")
    return base, path or "imagenet"


def _measure(name: str, model, run: Run, rows, seed: int):
    """Return the log loss of each image, and a row of the table."""
    pooling = keras.layers.GlobalAveragePooling2D()
    whole = keras.Sequential([model, pooling])
    x = extract_features(whole, run.images, rows, name=f"compare-{name}")
    some = np.random.default_rng(seed).permutation(rows)
    groups = run.manifest.group.to_numpy()[some]
    x, y = np.asarray(x[some], dtype="float32"), run.labels[some]
    answers = cross_validate(x, y, groups)
    _, own = np.unique(y, return_inverse=True)
    right = int((answers.argmax(axis=1) == own).sum())
    loss = -np.log(answers[np.arange(len(y)), own].clip(EPSILON))
    low, high = wilson_interval(right, len(y))
    batch = run.images[rows[:32]].astype("float32")
    (seconds,) = least_seconds([lambda: whole.predict_on_batch(batch)])
    return loss, {
        "accuracy": right / len(y),
        "low": low,
        "high": high,
        "log loss": float(loss.mean()),
        "images a second": len(batch) / seconds,
        "MB": 4 * model.count_params() / 1e6,
    }


def say_base(table: pd.DataFrame) -> str:
    """Say in a sentence which base was chosen, and why.

    Args:
        table: What `compare_bases` returned.

    Returns:
        The sentence.
    """
    row, n = table[table.chosen].iloc[0], int(table.accuracy.notna().sum())
    facts = (
        f"{row.name}: right on {row.accuracy:.3f} ({row.low:.3f} to "
        f"{row.high:.3f}) of the images by cross-validation, "
        f"{row['images a second']:.0f} images a second on this machine, "
        f"{row.MB:.0f} MB, licence of the weights: {row.licence}"
    )
    if n == 1:
        return f"{facts}. It is the only base that could be compared."
    return (
        f"{facts}; of {n} bases compared it is the fastest of those that are "
        "not worse than the best beyond chance."
    )


def check_base(
    base: str | Path,
    weights: str | Path | None = "imagenet",
    *,
    cut: str | None = None,
    image_size: int | None = None,
    resolution: int | None = None,
) -> int:
    """Check, in seconds, that a base can be loaded and cut, before a long run.

    Args:
        base: As for `load_base`.
        weights: As for `load_base`; ImageNet weights are downloaded now.
        cut: As for `cut_base`.
        image_size: As for `load_base`.
        resolution: As for `load_base`.

    Returns:
        The side of the images in pixels: `image_size`; if that is `None`, the
        size that a saved model was built for, or the table's, or 192.

    Raises:
        ValueError: As `load_base` and `cut_base`.
        FileNotFoundError: As `load_base`.
        ConnectionError: As `load_base`.
    """
    model = load_base(
        base, weights, image_size=image_size, resolution=resolution
    )
    cut_base(model, cut)
    if str(base) in BASES:
        return image_size or BASES[str(base)].image_size
    return image_size or model.input_shape[1] or DEFAULT_SIZE
