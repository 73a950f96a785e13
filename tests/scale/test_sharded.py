"""Shards: the same pixels, features and answers, whoever dies meanwhile."""

import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image

from catdog_helpers.batches import Batches
from catdog_helpers.data.prepared import prepare
from catdog_helpers.features import extract_features
from catdog_helpers.models import build_head
from catdog_helpers.prediction.predictor import predict
from catdog_helpers.saving import save_model
from catdog_helpers.scale import (
    extract_shards,
    open_shards,
    predict_shards,
    prepare_shards,
)
from catdog_helpers.scale.storage import ShardedArray, Storage

pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")
from conftest import picture  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
SIDE, PER_SHARD = 24, 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """82 photographs of two classes, two of them broken."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(80):
        kind = folder / ("cat" if seed % 2 else "dog")
        kind.mkdir(exist_ok=True)
        Image.fromarray(picture(seed, 60)).save(kind / f"{seed:03d}.png")
    (folder / "cat" / "033.jpg").write_bytes(b"\xff\xd8\xff broken")
    (folder / "dog" / "empty.png").touch()
    (folder / "dog" / "._001.png").write_bytes(b"left by a Mac")
    return folder


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    """An untrained classifier, saved as notebooks save it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 50),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    path = tmp_path_factory.mktemp("models") / "small.keras"
    card = {"class_names": ["cat", "dog"], "image_size": SIDE}
    save_model(model, path, card)
    return path


@pytest.fixture(scope="module")
def front(model_path):
    """The frozen part of the classifier."""
    whole = keras.models.load_model(model_path)
    front = keras.Sequential(
        [keras.Input((SIDE,) * 2 + (3,)), *whole.layers[:3]]
    )
    front.trainable = False
    return front


def run(step: str, photos, target, model_path, front, **options) -> int:
    options = {"per_shard": PER_SHARD} | options
    if step == "prepare":
        return prepare_shards(photos, target, SIDE, **options)
    options["batch_size"] = 4
    if step == "predict":
        return predict_shards(model_path, photos, target, **options)
    return extract_shards(front, photos, target, **options)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, photos, model_path, front) -> dict:
    """By step: folder of its shards, made by one process."""
    folder = tmp_path_factory.mktemp("expected")
    for step in ("prepare", "extract", "predict"):
        given = (photos, folder / step, model_path, front)
        assert run(step, *given) == 11
    return {path.name: path for path in folder.iterdir()}


def assert_same(found: Path, wanted: Path):
    (x, table), (y, other) = open_shards(found), open_shards(wanted)
    pd.testing.assert_frame_equal(table, other, rtol=1e-5)
    assert (x is None) == (y is None)
    if x is not None:
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(x[:], y[:], rtol=1e-5, atol=1e-6)
        if x.dtype == np.uint8:
            np.testing.assert_array_equal(x[:], y[:])


# What is in them


def test_prepared_shards_are_what_prepare_gives(expected, photos, tmp_path):
    images, manifest = prepare(photos, tmp_path, SIDE, workers=1)
    shards, table = open_shards(expected["prepare"])
    where = {str(photos / path): i for i, path in enumerate(manifest.path)}
    rows = [where[path] for path in table.path]
    assert sorted(rows) == list(range(82))
    np.testing.assert_array_equal(shards[:], images[rows])
    for column in ("class", "sha256", "width", "format", "status", "reason"):
        assert list(table[column]) == list(manifest[column].iloc[rows])
    assert sorted(table[table.status == "rejected"].path) == [
        str(photos / "cat/033.jpg"),
        str(photos / "dog/empty.png"),
    ]


def test_features_are_what_extract_features_gives(
    expected, photos, front, tmp_path
):
    images, manifest = prepare(photos, tmp_path / "data", SIDE)
    good = np.flatnonzero(manifest.status == "ok")
    options = {"precision": "float32", "batch_size": 4}
    wanted = extract_features(front, images, good, name="x", **options)
    paths = [photos / path for path in manifest.path]
    options = {"batch_size": 4, "per_shard": PER_SHARD}
    for source in (paths, expected["prepare"]):
        target = tmp_path / f"features of {len(str(source))}"
        assert extract_shards(front, source, target, **options) == 11
        features, table = open_shards(target)
        where = {str(path): i for i, path in enumerate(paths)}
        rows = [where[path] for path in table.path]
        np.testing.assert_allclose(features[:], wanted[rows], rtol=1e-3)
        assert (table.reason != "").sum() == 2
        assert not features[table.index[table.reason != ""]].any()


def test_answers_are_what_predict_gives(expected, photos, model_path):
    _, table = open_shards(expected["predict"])
    wanted = pd.DataFrame(predict(model_path, photos)).set_index("path")
    assert sorted(table.path) == sorted(wanted.index)
    found = table.set_index("path").loc[wanted.index]
    pd.testing.assert_frame_equal(found, wanted, rtol=1e-5)
    assert (found.verdict == "unreadable").sum() == 2


def test_photographs_and_results_at_addresses(photos, expected, tmp_path):
    """Neither side has a path, only fsspec: `memory://` is no disk."""
    import fsspec

    fs = fsspec.filesystem("memory")
    for path in photos.rglob("*.*g"):
        fs.pipe(f"/photos/{path.relative_to(photos)}", path.read_bytes())
    fs.pipe("/photos/cat/notes.txt", b"not asked for")
    try:
        made = prepare_shards(
            "memory://photos", "memory://shards", SIDE, per_shard=PER_SHARD
        )
        assert made == 11
        storage = Storage("memory://shards")
        names = storage.names()
        table = pd.concat([storage.table(name) for name in names])
        pixels = np.concatenate([storage.array(name) for name in names])
        with pytest.raises(ValueError, match="copy the .npy files"):
            open_shards("memory://shards")
        model = keras.Sequential(
            [keras.Input((SIDE,) * 2 + (3,)), layers.Rescaling(1.0)]
        )
        given = "memory://shards", tmp_path / "f"
        extract_shards(model, *given, dtype="float32")
    finally:
        fs.rm("/", recursive=True)
    shards, wanted = open_shards(expected["prepare"])
    assert table.path.iloc[0].startswith("memory://")
    assert list(table.sha256) == list(wanted.sha256)
    np.testing.assert_array_equal(pixels, shards[:])
    np.testing.assert_array_equal(open_shards(tmp_path / "f")[0][:], pixels)


# Going on, and not mixing runs


def test_what_is_there_is_not_made_again(photos, expected, tmp_path):
    target = tmp_path / "shards"
    prepare_shards(photos, target, SIDE, per_shard=PER_SHARD)
    (target / "0000003.parquet").unlink()  # killed before it was written
    (target / "0000005.npy.1234.partial").write_bytes(b"half")
    Image.new("RGB", (9, 9)).save(photos / "cat" / "later.png")
    before = {p: p.stat().st_mtime_ns for p in target.glob("*.parquet")}
    with pytest.raises(ValueError, match="10 of 11 shards"):
        open_shards(target)
    try:
        again = prepare_shards(photos, target, SIDE, per_shard=PER_SHARD)
    finally:
        (photos / "cat" / "later.png").unlink()
    assert again == 1
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert list(target.glob("*.partial")) == []
    assert_same(target, expected["prepare"])
    # A list of photographs that was cut short is made again.
    for path in target.glob("*.parquet"):
        path.unlink()
    (target / "listing" / "shards.json").unlink()
    (target / "listing" / "0000099.parquet").touch()
    assert prepare_shards(photos, target, SIDE, per_shard=PER_SHARD) == 11


def test_a_folder_keeps_the_shards_of_one_run(
    photos, expected, front, tmp_path
):
    target = expected["prepare"]
    before = {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    given = {"per_shard": PER_SHARD}
    one, listing = [photos / "dog/000.png"], target / "listing"
    for source, place, side, how, changed in (
        (photos, target, SIDE + 1, given, "image_size"),
        (photos, target, SIDE, {}, "per_shard"),
        (one, target, SIDE, given, "source"),
        (listing, listing, SIDE, {}, "step"),
    ):
        with pytest.raises(ValueError, match=f"another folder.*{changed}"):
            prepare_shards(source, place, side, **how)
    other = keras.models.clone_model(front)
    with pytest.raises(ValueError, match="another folder.*weights"):
        extract_shards(other, photos, expected["extract"], **given)
    assert before == {p: p.stat().st_mtime_ns for p in target.rglob("*")}
    with pytest.raises(ValueError, match="no photographs. Received: .*/empty"):
        prepare_shards(tmp_path / "empty", tmp_path / "target", SIDE)


def test_features_too_large_and_other_sizes_are_refused(expected, tmp_path):
    rows = [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(1e4)]
    model = keras.Sequential(rows)
    with pytest.raises(ValueError, match="use dtype='float32'"):
        extract_shards(model, expected["prepare"], tmp_path)
    given = expected["prepare"], tmp_path / "other"
    with pytest.raises(ValueError, match="must have images of 25 px"):
        extract_shards(model, *given, image_size=25)
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize("package", ["ray", "pyarrow"])
def test_a_missing_package_is_named(photos, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    match = rf"{package} is missing: run pip install -e '.\[ray\]' in the"
    given = (photos, tmp_path / "new", SIDE)
    with pytest.raises(ImportError, match=match):
        prepare_shards(*given, engine="ray")
    with pytest.raises(ValueError, match="must be 'ray'. Received: 'spark'"):
        prepare_shards(*given, engine="spark")
    assert not (tmp_path / "new").exists()


# One array of many files


@pytest.fixture
def many(tmp_path):
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(50, 6)).astype(np.float16)
    paths = [tmp_path / f"{i}.npy" for i in range(4)]
    for path, part in zip(paths, np.split(whole, [7, 7, 30]), strict=True):
        np.save(path, part)
    return ShardedArray(paths), whole


@pytest.mark.parametrize(
    "rows",
    [
        3,
        -1,
        slice(None),
        slice(5, 33, 3),
        slice(None, None, -1),
        [49, 0, 7, 6, 7],
        [],
        np.array([[1, 30], [-1, 29]]),
        np.arange(50) % 3 == 0,
    ],
)
def test_rows_are_those_of_one_array(many, rows):
    shards, whole = many
    found = shards[rows]
    wanted = whole[np.asarray(rows, int) if np.size(rows) == 0 else rows]
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found, wanted)
    assert (shards.shape, len(shards), shards.ndim) == ((50, 6), 50, 2)
    for wrong in (50, -51, [0, 50]):
        with pytest.raises(IndexError, match="out of bounds"):
            shards[wrong]


def test_a_head_learns_the_same_from_shards(many):
    labels = np.arange(50) % 2
    weights = []
    for features in many:
        keras.utils.set_random_seed(0)
        head = build_head((6,), 2)
        head.compile("adam", "sparse_categorical_crossentropy")
        batches = Batches(features, labels, batch_size=8, shuffle=True)
        head.fit(batches, epochs=2, verbose=0, shuffle=False)
        weights.append(head.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_memory_does_not_hold_the_features(tmp_path):
    """200 MB of features; a whole copy would be noticed."""
    from benchmarks.measure import Peak, anonymous_megabytes

    for i in range(10):
        path = tmp_path / f"{i}.npy"
        shape = (1000, 10_000)
        np.lib.format.open_memmap(path, "w+", np.float16, shape).flush()
    shards = ShardedArray(sorted(tmp_path.glob("*.npy")))
    labels = np.arange(len(shards)) % 2
    head = keras.Sequential(
        [keras.Input((10_000,)), layers.Dense(2, activation="softmax")]
    )
    head.compile("sgd", "sparse_categorical_crossentropy")
    batches = Batches(shards, labels, batch_size=32, shuffle=True)
    head.fit(batches, steps_per_epoch=1, verbose=0, shuffle=False)
    before = anonymous_megabytes()
    with Peak(every=0.005) as training:
        head.fit(batches, verbose=0, shuffle=False)
    with Peak(every=0.005) as whole:
        assert len(shards[:]) == len(shards)
    size = len(shards) * shards.shape[1] * 2 / 1e6
    assert whole.megabytes - before > 0.8 * size
    assert training.megabytes - before < 0.2 * size


# On a cluster


@pytest.fixture(scope="module")
def cluster():
    """A cluster of three workers on this machine."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.shutdown()  # that of another module's test
    ray.init(
        num_cpus=3,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield ray
    ray.shutdown()


class Killer(threading.Thread):
    """Kill one of Ray's workers as soon as some shards are there."""

    def __init__(self, target: Path, after: int):
        super().__init__(daemon=True)
        self.target, self.after = target, after
        self.killed, self.there = [], 0

    def run(self):
        import psutil

        while (n := len(list(self.target.glob("*.parquet")))) < self.after:
            time.sleep(0.01)
        workers = [
            process
            for process in psutil.Process().children(recursive=True)
            if "_Worker" in "".join(process.cmdline())
        ]
        workers[0].kill()
        self.there, self.killed = n, workers[:1]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["prepare", "extract", "predict"])
def test_many_workers_give_what_one_process_gives(
    step, cluster, photos, expected, model_path, front, tmp_path
):
    """Also if one of them is killed in the middle."""
    target = tmp_path / "shards"
    address, options = f"file://{target}", {"engine": "ray"}
    # TensorFlow's start is what takes the time.
    options["workers"] = 3 if step == "prepare" else 2
    killer = Killer(target, after=2)
    killer.start()
    given = (f"file://{photos}", address, model_path, front)
    assert run(step, *given, **options) == 11
    killer.join(5)
    assert killer.killed
    assert killer.there < 11, "it was killed too late"
    assert_same(target, expected[step])
    assert run(step, *given, **options) == 0


def test_what_cannot_be_made_is_one_line_and_the_rest_stays(photos, tmp_path):
    listing = Storage(tmp_path / "listing")
    table = pd.DataFrame({"path": [str(photos / "dog/000.png")]})
    listing.write("a", table)
    (tmp_path / "listing" / "b.parquet").write_bytes(b"PAR1 damaged PAR1")
    given = (tmp_path / "listing", tmp_path / "target", SIDE)
    with pytest.raises(ValueError, match="^shard b: .*$"):
        prepare_shards(*given)
    listing.write("b", table)
    assert prepare_shards(*given) == 1
    assert len(open_shards(tmp_path / "target")[1]) == 2
