"""The embedded sample: drawn the same each time, and not trivial."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from catdog_helpers.data.sample import draw as sample
from catdog_helpers.data.sample.draw import draw

BASE = Path(sample.__file__).with_name("narrow_vgg16.keras")
N = 150


def draw_sample(folder, **options):
    sample.draw_sample(folder, **options)
    return folder


def read(folder):
    """Return the files of a folder and their bytes, by relative name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return draw_sample(tmp_path_factory.mktemp("drawn") / "s", n_per_class=N)


@pytest.fixture(scope="module")
def images(folder):
    paths = sorted(folder.rglob("*.png"))
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_folders_are_the_classes_and_images_have_the_asked_size(
    folder, images, tmp_path
):
    names = [f"{k}/{i:04d}.png" for k in ("cat", "dog") for i in range(N)]
    assert list(read(folder)) == names
    assert sample.CLASS_NAMES == ("cat", "dog")
    size = sample.IMAGE_SIZE
    assert images.shape == (2 * N, size, size, 3)
    small = draw_sample(tmp_path / "s", n_per_class=1, image_size=40)
    with Image.open(small / "dog" / "0000.png") as image:
        assert (image.size, image.mode) == ((40, 40), "RGB")


def test_no_two_images_are_alike(images):
    assert len({image.tobytes() for image in images}) == len(images)
    thumbnails = images[:, ::12, ::12].reshape(len(images), -1).astype(float)
    distances = np.abs(thumbnails[:, None] - thumbnails[None]).mean(-1)
    assert (distances + 255 * np.eye(len(images))).min() > 5


def test_a_picture_depends_on_seed_kind_and_number_alone(folder, tmp_path):
    first = read(draw_sample(tmp_path / "first", n_per_class=3))
    whole = read(folder)
    assert first == {name: whole[name] for name in first}
    other = read(draw_sample(tmp_path / "other", n_per_class=3, seed=1))
    assert not set(first.values()) & set(other.values())


def test_no_trivial_cue_separates_the_classes(images):
    pixels = images.reshape(len(images), -1, 3) / 255.0
    grey = pixels.mean(-1)
    middle = np.median(pixels, 1, keepdims=True)
    steps = np.abs(np.diff(images.mean(-1), axis=1)).reshape(len(images), -1)
    cues = [
        *np.moveaxis(np.hstack([pixels.mean(1), pixels.std(1)]), 1, 0),
        *(np.quantile(grey, q, axis=1) for q in (0.05, 0.5, 0.95)),
        *((grey < t).mean(1) for t in (0.15, 0.3, 0.5, 0.7, 0.9)),
        *((np.abs(pixels - middle).max(-1) > t).mean(1) for t in (0.1, 0.3)),
        steps.mean(1),
    ]
    cues = np.stack(cues, 1)
    labels = np.repeat([0, 1], N)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    assert cross_val_score(model, cues, labels, cv=5).mean() < 0.65


def test_every_kind_is_drawn():
    kinds = sample.CLASS_NAMES + sample.other_kinds()
    drawn = {draw(k, np.random.default_rng(0), 48).tobytes() for k in kinds}
    assert len(drawn) == len(kinds)
    relatives = "cat|kitten|lynx|lion|tiger|dog|puppy|wolf"
    assert len(set(sample.other_kinds())) >= 20  # what the base has seen
    assert not re.search(relatives, " ".join(sample.other_kinds()))
    with pytest.raises(ValueError, match="Received: kind='unicorn'"):
        draw("unicorn", np.random.default_rng(0))


def test_base_is_a_narrow_vgg16_on_raw_rgb(images):
    import keras

    assert BASE.stat().st_size < 1_000_000
    base = keras.models.load_model(BASE, compile=False)
    assert base.input_shape == (None, None, None, 3)
    vgg16 = keras.applications.VGG16(weights=None, include_top=False)

    def layers(model, by=1):
        convolutions = [x for x in model.layers if "conv" in x.name]
        pools = [x.name for x in model.layers if "pool" in x.name]
        return [(x.name, x.filters // by) for x in convolutions], pools

    assert layers(base) == layers(vgg16, by=8)
    assert base.layers[-1].name == "block5_pool"
    features = base.predict(images[:8].astype("float32"), verbose=0)
    cells = sample.IMAGE_SIZE // 32
    assert features.shape == (8, cells, cells, 64)
    assert np.isfinite(features).all()
    assert features.std(0).max() > 0.1
