"""Train the embedded sample's base: a VGG16 one eighth as wide.

    python tools/train_sample_base.py

The network learns to name drawn animals that are neither cats nor dogs
(`other_kinds` in draw.py), so what it knows of cats and dogs is
what it learned elsewhere: transfer. It sees each drawing mirrored, cropped
and recoloured in a new way every time, at first small, which is quicker. The
plain VGG is hard to train from
scratch, so it is trained with batch normalisation, which is then folded into
the convolutions. The saved model takes raw RGB in [0, 255] of any size and
gives the feature map of `block5_pool`, under VGG16's own layer names.
Takes about 15 minutes of processor time, drawings included.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers
from tqdm import tqdm

from catdog_helpers.data.sample import draw as sample

HERE = Path(sample.__file__).parent

FILTERS = ((8, 8), (16, 16), (32, 32, 32), (64, 64, 64), (64, 64, 64))
N_PER_KIND = 700  # drawings of each kind to train on
N_TEST_PER_KIND = 40  # and to report accuracy on
PHASES = ((64, 6), (96, 5))  # side of the images in pixels, epochs
BATCH_SIZE = 64
LEARNING_RATE = 3e-3
SEED = 7
KINDS = sample.other_kinds()


def draw_kinds(n_per_kind, *, seed):
    """Draw every other kind; return uint8 images and integer labels."""
    labels = np.repeat(np.arange(len(KINDS)), n_per_kind)
    images = [
        sample.draw(KINDS[label], np.random.default_rng([seed, number]))
        for number, label in enumerate(tqdm(labels, "draw", mininterval=5))
    ]
    return np.stack([np.asarray(image) for image in images]), labels


class Varied(keras.utils.PyDataset):
    """Serve batches in a new order and with new changes in each epoch."""

    def __init__(self, images, labels, *, size, seed):
        super().__init__()
        self.images, self.labels, self.size = images, labels, size
        self.rng = np.random.default_rng([seed, size])
        self.on_epoch_end()

    def __len__(self):
        return len(self.labels) // BATCH_SIZE

    def __getitem__(self, number):
        rows = self.order[number * BATCH_SIZE :][:BATCH_SIZE]
        return vary(self.images[rows], self.size, self.rng), self.labels[rows]

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.labels))


def vary(images, size, rng):
    """Crop, resize, mirror and recolour uint8 images; return float32 ones."""
    n, side = images.shape[:2]
    share = rng.uniform(0.75, 1, (n, 1))
    steps = (np.arange(size) + 0.5) / size * share
    y, x = (
        ((rng.uniform(0, 1 - share) + steps) * side).astype(int)
        for _ in range(2)
    )
    mirrored = rng.random(n) < 0.5
    x[mirrored] = x[mirrored, ::-1]
    channels = rng.permuted(np.tile(np.arange(3), (n, 1)), axis=1)
    each = np.arange(n).reshape(-1, 1, 1, 1)
    images = images[
        each, y[:, :, None, None], x[:, None, :, None], channels[:, None, None]
    ]
    return images * rng.uniform(0.8, 1.2, (n, 1, 1, 3)).astype("float32")


def build_base(*, normalized):
    """Build the narrow VGG16 without its top."""
    inputs = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(inputs)
    activation = None if normalized else "relu"
    options = {"padding": "same", "use_bias": not normalized}
    for block, filters in enumerate(FILTERS, 1):
        for number, width in enumerate(filters, 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(
                width, 3, activation=activation, name=name, **options
            )(x)
            if normalized:
                norm = layers.BatchNormalization
                x = norm(momentum=0.9, name=f"{name}_bn")(x)
                x = layers.ReLU()(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="narrow_vgg16")


def fold(trained):
    """Fold each batch normalisation into the convolution before it."""
    base = build_base(normalized=False)
    for layer in base.layers:
        if isinstance(layer, layers.Conv2D):
            (kernel,) = trained.get_layer(layer.name).get_weights()
            norm = trained.get_layer(f"{layer.name}_bn")
            gamma, beta, mean, variance = norm.get_weights()
            scale = gamma / np.sqrt(variance + norm.epsilon)
            layer.set_weights([kernel * scale, beta - mean * scale])
    images = np.random.default_rng(0).uniform(0, 255, (4, 96, 96, 3))
    before, after = (m.predict(images, verbose=0) for m in (trained, base))
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
    return base


def main():
    """Draw, train, fold, save and print the held-out accuracy."""
    keras.utils.set_random_seed(SEED)
    train = draw_kinds(N_PER_KIND, seed=SEED)
    test = draw_kinds(N_TEST_PER_KIND, seed=SEED + 1)
    base = build_base(normalized=True)
    pooled = layers.GlobalAveragePooling2D()(base.output)
    outputs = layers.Dense(len(KINDS), "softmax")(pooled)
    model = keras.Model(base.input, outputs)
    epochs = sum(epochs for _, epochs in PHASES)
    steps = epochs * (len(train[0]) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    model.compile(
        keras.optimizers.Adam(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for size, epochs in PHASES:
        batches = Varied(*train, size=size, seed=SEED)
        model.fit(batches, epochs=epochs, shuffle=False, verbose=2)
    _, accuracy = model.evaluate(*test, verbose=0)
    path = HERE / "narrow_vgg16.keras"
    fold(base).save(path)
    print(
        f"{path.name}: {path.stat().st_size:,} bytes, accuracy "
        f"{accuracy:.3f} on {len(test[1])} held-out drawings of "
        f"{len(KINDS)} other animals"
    )


if __name__ == "__main__":
    main()
