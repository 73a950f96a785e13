"""From a zip of photographs to a head on MobileNetV2, in several ways.

    python -m benchmarks.to_98 "this package" ZIP FOLDER 6000 2000 192

Each way decodes what it needs itself, and prints its accuracy on the
validation images last. All have the same images, weights and size.
"""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np

SHARED = Path(__file__).resolve().parents[2] / "shared"
WEIGHTS = SHARED / "weights/mobilenet_v2_1.0_224_no_top.weights.h5"


def with_this_package(archive: Path, work: Path, n, side: int) -> float:
    """The quick way of notebook 0."""
    import catdog_helpers as ch

    ch.use_backend()
    import keras

    folder = ch.fetch(str(archive), work)
    images, table = ch.prepare(folder, work / "prepared", side)
    table = ch.split(table, train=n[0], validation=n[1], test=2)
    train, validation, _ = ch.data.split_rows(table)
    base = ch.load_base("MobileNetV2", WEIGHTS, image_size=side)
    eye = keras.Sequential([base, keras.layers.GlobalAveragePooling2D()])
    rows = np.sort(np.concatenate([train, validation]))
    features = ch.extract_features(eye, images, rows, name="quick")
    x, y = np.asarray(features, dtype="float32"), table.label.to_numpy()
    return _fit_head(x[train], y[train], x[validation], y[validation])


def with_keras_in_a_loop(archive: Path, work: Path, n, side: int) -> float:
    """`image_dataset_from_directory`, and the frozen base in each step."""
    import keras
    import tensorflow as tf

    sets = [
        keras.utils.image_dataset_from_directory(
            folder, image_size=(side, side), verbose=False
        ).prefetch(tf.data.AUTOTUNE)
        for folder in _unpack(archive, work, n)
    ]
    base = _keras_base(side)
    base.trainable = False
    model = keras.Sequential([base, _head(base.output_shape[-1])])
    _compile(model)
    best = 0.0
    for _ in range(5):  # until it is there, at most
        history = model.fit(sets[0], validation_data=sets[1], verbose=0)
        best = max(best, history.history["val_accuracy"][0])
        if best >= 0.98:
            break
    return best


def with_scikit_learn(archive: Path, work: Path, n, side: int) -> float:
    """Features by ONNX Runtime, and logistic regression on them."""
    import onnxruntime
    from sklearn.linear_model import LogisticRegression

    base = _keras_base(side)
    base(np.zeros((1, side, side, 3), "float32"))  # or Keras refuses
    path = str(work / "base.onnx")
    base.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    (x, y), (x_, y_) = (
        _features(folder, side, lambda batch: session.run(None, {name: batch}))
        for folder in _unpack(archive, work, n)
    )
    return LogisticRegression(C=0.1, max_iter=500).fit(x, y).score(x_, y_)


def with_torch(archive: Path, work: Path, n, side: int) -> float:
    """The same network as a torch module; a `DataLoader` decodes ahead."""
    import torch

    from benchmarks.peers_torch import convert, load

    network = convert(_keras_base(side)).eval()
    network = network.to(memory_format=torch.channels_last)
    parts = []
    for folder in _unpack(archive, work, n):
        found, labels = [], []
        for x, y in load(folder, side):
            with torch.inference_mode():
                x = x.to(memory_format=torch.channels_last)
                found.append(network(x).numpy())
            labels.append(y.numpy())
        parts += [np.concatenate(found), np.concatenate(labels)]
    return _fit_head(*parts)


SIDES = {
    "this package": with_this_package,
    "Keras, frozen base in the loop": with_keras_in_a_loop,
    "scikit-learn on ONNX features": with_scikit_learn,
    "PyTorch": with_torch,
}


def _keras_base(side: int):
    """Return MobileNetV2 with its preprocessing and pooling, by Keras alone."""
    import keras

    network = keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(side, side, 3)
    )
    network.load_weights(WEIGHTS)
    image = keras.Input((side, side, 3))
    x = network(keras.layers.Rescaling(1 / 127.5, offset=-1)(image))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))


def _head(width: int):
    import keras

    parts = [keras.Input((width,)), keras.layers.Dropout(0.5)]
    answer = keras.layers.Dense(2, activation="softmax")
    return keras.Sequential([*parts, answer])


def _compile(model) -> None:
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])


def _fit_head(x, y, x_, y_) -> float:
    """Train a head on features; return its accuracy on the second part."""
    import keras

    keras.utils.set_random_seed(0)
    head = _head(x.shape[1])
    _compile(head)
    history = head.fit(x, y, 64, 10, validation_data=(x_, y_), verbose=0)
    return max(history.history["val_accuracy"])


def _unpack(archive: Path, work: Path, n: list[int]) -> list[Path]:
    """Unpack so many photographs into a folder for training and one more."""
    folders = [work / "train", work / "validation"]
    with zipfile.ZipFile(archive) as file:
        for kind in ("Cat", "Dog"):
            names = [x for x in file.namelist() if f"/{kind}/" in x]
            for folder, some in zip(folders, n, strict=True):
                target = folder / kind
                target.mkdir(parents=True)
                for name in names[: some // 2]:
                    data = file.read(name)
                    (target / os.path.basename(name)).write_bytes(data)
                del names[: some // 2]
    return folders


def _features(folder: Path, side: int, run):
    """Return the features and the labels of a folder, batch by batch."""
    import keras

    batches = keras.utils.image_dataset_from_directory(
        folder, image_size=(side, side), shuffle=False, verbose=False
    )
    found = [(run(x.numpy())[0], y.numpy()) for x, y in batches]
    return tuple(np.concatenate(part) for part in zip(*found, strict=True))


if __name__ == "__main__":
    way, archive, work, *numbers = sys.argv[1:]
    Path(work).mkdir(parents=True)
    *n, side = map(int, numbers)
    print(SIDES[way](Path(archive), Path(work), n, side))
