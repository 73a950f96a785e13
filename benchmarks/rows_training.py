"""Rows of the benchmark: what is frozen runs once, and training."""

import json
import resource
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np

import catdog_helpers as ch
from benchmarks import material, peers
from benchmarks.measure import alternate, peak_megabytes, to_row
from catdog_helpers.machine.networks import layers_key

VGG16_SIDE = 150


def measure_extraction(work: Path, size: dict) -> list[dict]:
    """Frozen VGG16 from the prepared array, in float32 and as chosen."""
    images, rows = _images(work, size["vgg16_images"])
    front, _ = _vgg16(size)
    in_memory = images[rows].astype("float32")
    batch = in_memory[:32]
    chosen = ch.machine.choose(front, batch, 10**6, layers_key(front))
    front.predict(batch, verbose=0)

    def extract(precision):
        name = f"bench{time.time_ns()}"  # never stored before
        ch.extract_features(front, images, rows, name=name, precision=precision)

    def theirs():
        front.predict(in_memory, batch_size=32, verbose=0)

    sides = {"ours": partial(extract, "float32"), "theirs": theirs}
    if chosen != "float32":
        sides["chosen"] = partial(extract, chosen)
    found = alternate(sides, size["few_rounds"])
    best = found.pop("chosen", found["ours"])
    note = f"{len(rows)} images, VGG16, {VGG16_SIDE} px"
    return [
        to_row("extraction, float32", 0.95, **found, note=note),
        to_row(
            "extraction, best precision", 1, best, found["ours"], note=chosen
        ),
    ]


def measure_head(work: Path, size: dict) -> list[dict]:
    """Train a head on kept features, against the base in the loop."""
    side, part, n = size["side"], size["loop_images"], size["head_images"]
    images, manifest = material.prepared(work, side)
    manifest = ch.split(manifest, train=n, validation=n // 3, test=n // 3)
    train, validation, _ = ch.data.split_rows(manifest)
    labels = manifest.label.to_numpy()
    features = _features(images, np.flatnonzero(manifest.split))
    _, base_model = material.load_base(side)
    model = ch.join(base_model, ch.build_head(features.shape[1:], 2))
    compile_model(model)
    epochs = []

    def ours():
        history = train_head(features, labels, train, validation)
        epochs.append(int(np.argmin(history["val_loss"])) + 1)
        return history["seconds"][epochs[-1] - 1], None

    def theirs():
        parts = train[:part], validation[: part // 3]
        some = [ch.Batches(images, labels, p, batch_size=64) for p in parts]
        start = time.perf_counter()
        model.fit(some[0], validation_data=some[1], verbose=0)
        share = part / len(train)
        return (time.perf_counter() - start) / share * epochs[-1], None

    ours(), theirs()  # builds what is built once
    found = alternate({"ours": ours, "theirs": theirs}, size["few_rounds"])
    note = (
        f"{len(train)} images, {base_model.name}, {side} px; theirs: one epoch "
        f"of {part} images, scaled to {len(train)} and {epochs[-1]} epochs"
    )
    return [to_row("head", 50, **found, note=note)]


def measure_fine_tuning(work: Path, size: dict) -> list[dict]:
    """An epoch of the opened block, against one of the whole model."""
    images, rows = _images(work, size["fine_tuning_images"])
    front, back = _vgg16(size)
    kept = ch.extract_features(
        front, images, rows, name="kept", precision="float32"
    )
    labels = np.arange(len(images)) % 2
    back.trainable = True
    head = ch.build_head(back.output_shape[-1:], 2)
    pairs = {
        "ours": (
            ch.join(back, head),
            ch.Batches(kept, labels, rows, mirrored=kept),
        ),
        "theirs": (
            ch.join(front, back, head),
            ch.Batches(images, labels, rows),
        ),
    }
    sides = {}
    for side, (model, batches) in pairs.items():
        compile_model(model, 1e-5)

        def epoch(model=model, batches=batches, **options):
            model.fit(batches, verbose=0, shuffle=False, **options)

        epoch(steps_per_epoch=1)  # builds what is built once
        sides[side] = epoch
    found = alternate(sides, size["few_rounds"])
    note = f"{len(rows)} images, VGG16, {VGG16_SIDE} px, float32"
    return [to_row("fine-tuning epoch", 3.5, **found, note=note)]


def measure_scratch(work: Path, size: dict) -> list[dict]:
    """Time to the accuracy that the ancestor notebook had at its best."""
    side, target = size["scratch_side"], size["target"]
    n, rest = size["scratch_images"]
    images, manifest = material.prepared(work, side)
    manifest = ch.split(manifest, train=n, validation=rest, test=rest)
    train, validation, _ = ch.data.split_rows(manifest)
    labels = manifest.label.to_numpy()
    model = peers.build_ancestor_cnn(side)
    batches = peers.ancestor_batches(images[train], labels[train])
    held_out = validation[:1000]
    judged = images[held_out].astype("float32") / 255, labels[held_out]

    def theirs(steps=size["ancestor_steps"]):
        model.fit(
            batches, steps_per_epoch=steps, validation_data=judged, verbose=0
        )

    theirs(steps=2)
    found = alternate({"theirs": theirs}, 1)["theirs"]
    seconds, epoch = _run_notebook_02(work, images, manifest, size, target)
    print(f"ours {seconds:.3g} s, {epoch} epochs", flush=True)
    again = alternate({"theirs": theirs}, 1)["theirs"]
    whole = [92 * s for s in found["seconds"] + again["seconds"]]
    peak = peak_megabytes(resource.RUSAGE_CHILDREN)
    ours = {"seconds": [seconds] * 2, "peak_mb": peak}
    dials = ", ".join(f"{k}={v}" for k, v in size["scratch_dials"].items())
    note = (
        f"{n} images of {side} px, {dials}: {target} in epoch {epoch}; "
        f"theirs: 92 epochs of {size['ancestor_steps']} x 30 images, from two "
        "measured"
    )
    row = to_row("scratch CNN", 15, ours, again | {"seconds": whole}, note=note)
    if not epoch:  # never reached: the ratio is 0
        ours["seconds"] = None
    return [row]


def _run_notebook_02(work, images, manifest, size, target):
    """Run notebook 02; give seconds and number of the epoch that got there."""
    _, run = material.import_tools()
    out = work / "scratch"
    names = {"dataset": "benchmark", "folder": work}
    ch.save_split(out, images, manifest, **names, seed=0)
    notebook = material.ROOT / "notebooks/02_cnn_from_scratch.ipynb"
    run.run({"OUT": str(out), **size["scratch_dials"]}, [notebook])
    result = json.loads((out / "results/scratch_cnn.json").read_text())
    return time_to(result["history"], target)


def time_to(history: dict, target: float) -> tuple[float, int]:
    """Find the first epoch that reaches a validation accuracy."""
    curve = zip(history["val_accuracy"], history["seconds"], strict=True)
    for number, (accuracy, seconds) in enumerate(curve, 1):
        if accuracy >= target:
            return seconds, number
    return float("inf"), 0


def _images(work: Path, n: int):
    """Prepare the larger set for VGG16; return it and `n` sound rows."""
    images, manifest = material.prepared(work, VGG16_SIDE)
    return images, np.flatnonzero(manifest.status == "ok")[:n]


def _vgg16(size: dict):
    """Return both parts of VGG16: its speed is the same with random weights."""
    keras.utils.set_random_seed(0)
    base = ch.load_base(size["block"], None, image_size=VGG16_SIDE)
    return ch.cut_base(base, "block4_pool")


def _features(images, rows) -> np.ndarray:
    """Return the pooled features of these rows."""
    _, base_model = material.load_base(images.shape[1])
    pooling = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential([base_model, pooling])
    return ch.extract_features(
        model, images, rows, name="pooled", precision="float32"
    ).astype("float32")


def compile_model(model, rate: float = 1e-3):
    """Compile as notebooks 03 and 04 do."""
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )


def train_head(features, labels, train, validation):
    """Train a head as notebook 03 does; return its history."""
    keras.utils.set_random_seed(0)
    clock = ch.TimeHistory()
    head = ch.build_head(features.shape[1:], 2)
    compile_model(head)
    stop = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    return head.fit(
        features[train],
        labels[train],
        validation_data=(features[validation], labels[validation]),
        batch_size=64,
        epochs=40,
        verbose=0,
        callbacks=[clock, stop],
    ).history
