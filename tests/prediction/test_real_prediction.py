"""What `predict` must show on real photographs and real weights."""

import re
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from odd_pictures import KINDS, draw_odd

from catdog_helpers.bases import load_base
from catdog_helpers.data.images import read_image
from catdog_helpers.models import build_head, cut_base, join
from catdog_helpers.prediction.predictor import predict
from catdog_helpers.saving import load_model, load_uncertainty, save_model
from catdog_helpers.uncertainty import measure_uncertainty

ROOT = Path(__file__).parents[2]
SIZE, N_TRAIN, N_VALIDATION, N_TEST = 192, 1500, 1000, 2000
pytestmark = [pytest.mark.slow, pytest.mark.alone]
# Planted faults and their originals
PLANTED = r"(Cat|Dog)/(666|117\d\d|12\d\d\d)\.jpg|Cat/1[234]\.jpg"


@pytest.fixture(scope="module")
def trained(shared, tmp_path_factory):
    """A head on MobileNetV2; validation and test photographs as files."""
    folder = tmp_path_factory.mktemp("trained")
    archive = zipfile.ZipFile(shared / "data" / "petimages_200px.zip")
    names = [n for n in archive.namelist() if n.endswith(".jpg")]
    names = sorted(n for n in names if not re.search(PLANTED, n))
    n = N_TRAIN + N_VALIDATION + N_TEST
    names = [str(x) for x in np.random.default_rng(1).permutation(names)[:n]]
    labels = np.array(["/Dog/" in name for name in names]).astype(int)
    weights = shared / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"
    base = load_base("MobileNetV2", weights, image_size=SIZE)
    front, back = cut_base(base, None)
    pooling = keras.layers.GlobalAveragePooling2D()
    extract = keras.Sequential([front, back, pooling])
    before = names[: N_TRAIN + N_VALIDATION]
    images = np.stack([read_image(archive.read(x), SIZE) for x in before])
    batches = (images[i : i + 50] for i in range(0, len(images), 50))
    outputs = [extract.predict_on_batch(x.astype("float32")) for x in batches]
    features = np.concatenate(outputs)
    train = np.arange(N_TRAIN)
    validation = np.arange(N_TRAIN, N_TRAIN + N_VALIDATION)
    keras.utils.set_random_seed(0)
    head = build_head(features.shape[1:], 2)
    loss = "sparse_categorical_crossentropy"
    head.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    head.fit(
        features[train],
        labels[train],
        validation_data=(features[validation], labels[validation]),
        batch_size=64,
        epochs=40,
        verbose=0,
        callbacks=[stop],
    )
    known = measure_uncertainty(head, features, labels, train, validation)
    model_path = folder / "model.keras"
    card = {"class_names": ["cat", "dog"], "image_size": SIZE}
    save_model(join(front, back, head), model_path, card, known)
    for name in names:
        path = folder / ("test" if name not in before else "before") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive.read(name))
    held_out = [str(folder / "before" / names[i]) for i in validation]
    return model_path, folder / "test", held_out


def test_odd_pictures_are_not_answered(trained):
    """Tuned on validation photographs alone; these pictures had no part."""
    model_path, test, _ = trained
    assert model_path.with_suffix(".npz").stat().st_size < 1_000_000
    odd = [draw_odd(kind, seed) for kind in KINDS for seed in range(100)]
    found = pd.DataFrame(predict(model_path, odd)).verdict == "not sure"
    rows = pd.DataFrame(predict(model_path, test))
    assert len(rows) == N_TEST
    truth = np.where(rows.path.str.contains("/Dog/"), "dog", "cat")
    wrong, refused = rows["class"] != truth, rows.verdict == "not sure"
    near = rows.verdict == "cat or dog"
    clear = ~near & ~refused
    print(
        f"\nnot sure: {found.mean():.3f} of odd pictures, {refused.mean():.4f} "
        f"of good ones; near the border {near.mean():.4f}, wrong there "
        f"{wrong[near].mean():.3f}, wrong among the rest "
        f"{wrong[clear].mean():.4f}; accuracy {1 - wrong.mean():.4f}"
    )
    assert found.mean() >= 0.98
    # 1 % were asked for; of 2,000 by chance up to 1.7 % (4 standard errors
    # of both the threshold's 1,000 and these).
    assert refused.mean() <= 0.02
    assert wrong[near].mean() > 10 * wrong[clear].mean()


def test_mirrored_views_lower_the_loss_on_validation_photographs(trained):
    model_path, _, held_out = trained
    truth = np.array(["/Dog/" in path for path in held_out])

    def figures(**options):
        rows = pd.DataFrame(predict(model_path, held_out, **options))
        right = (rows["class"] == "dog").to_numpy() == truth
        p = np.where(right, rows.probability, 1 - rows.probability)
        return right.mean(), -np.log(p.clip(1e-7)).mean()

    plain, both = figures(), figures(mirror=True)
    print(f"\naccuracy, log loss: {plain}, mirrored {both}")
    assert both[1] < plain[1]
    assert both[0] >= plain[0] - 0.003
    known = load_uncertainty(model_path, load_model(model_path)[1])
    assert known["temperature"] == pytest.approx(1, abs=0.6)


def test_the_command_keeps_up_with_the_bare_model(trained, tmp_path):
    """By turns, from the second batch on: loading is no part of it."""
    model_path, test, _ = trained
    files = sorted(test.rglob("*.jpg"))[::3]
    x = np.stack([read_image(file, SIZE) for file in files])
    model, _ = load_model(model_path)
    model.predict(x[:32], verbose=0)

    def bare():
        start = time.perf_counter()
        model.predict(x[32:], verbose=0, batch_size=32)
        return time.perf_counter() - start

    def command(turn):
        rows = predict(model_path, files, csv=tmp_path / f"{turn}.csv")
        for _ in range(32):
            next(rows)
        start = time.perf_counter()
        assert sum(1 for _ in rows) == len(files) - 32
        return time.perf_counter() - start

    seconds = [(bare(), command(turn)) for turn in range(3)]
    # The machine may be busy: the best of each is what the code can do.
    ratio = min(b for b, _ in seconds) / min(c for _, c in seconds)
    print(f"\n{seconds}: {ratio:.2f} of the bare model's throughput")
    assert ratio >= 0.85
