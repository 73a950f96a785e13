"""Any backend: chosen in time, installed alone, with the same answers."""

import json
import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest

from catdog_helpers.bases import load_base
from catdog_helpers.machine import backend
from catdog_helpers.machine.backend import use_backend
from catdog_helpers.models import build_head, cut_base, join
from catdog_helpers.saving import load_model, save_model

ROOT = Path(__file__).resolve().parents[2]
HERE = keras.config.backend()
ANSWERS = Path(__file__).with_name("tensorflow_answers.json")


def test_the_environment_chooses_or_what_is_installed(monkeypatch):
    """Colab's TPU machines have no TensorFlow."""
    monkeypatch.setenv("KERAS_BACKEND", HERE)
    assert use_backend() == use_backend(HERE) == HERE
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setattr(backend, "find_spec", lambda name: name == HERE)
    assert use_backend() == HERE
    assert os.environ["KERAS_BACKEND"] == HERE


@pytest.mark.parametrize("chosen", [None, "0"])
def test_tensorflow_uses_onednn_unless_the_reader_chose(chosen, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if chosen:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", chosen)
    use_backend(HERE)
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == (chosen or "1")


@pytest.mark.parametrize("name", ["theano", "Tensorflow"])
def test_what_is_not_there_is_refused_in_one_line(name, monkeypatch):
    monkeypatch.setattr(backend, "find_spec", lambda name: name == HERE)
    with pytest.raises(ValueError, match=f"^.*installed.*Received: '{name}'$"):
        use_backend(name)


def test_too_late_is_said(monkeypatch):
    monkeypatch.setattr(backend, "find_spec", bool)
    other = {"tensorflow": "jax"}.get(HERE, "tensorflow")
    with pytest.raises(ValueError, match="restart the kernel"):
        use_backend(other)


@pytest.mark.parametrize("name", backend.BACKENDS)
def test_only_what_the_backend_needs_is_installed(name):
    script = runpy.run_path(str(ROOT / ".ci" / "requirements.py"))
    lines = script["requirements"](name)
    frameworks = [x for x in lines if x.startswith(backend.BACKENDS)]
    assert all(x.startswith(name) for x in frameworks)
    assert frameworks
    assert "keras>=3.13" in lines
    assert len(lines) == len(set(lines))


@pytest.mark.skipif(
    find_spec("tensorflow") is not None,
    reason="it is installed, and Keras looks for it",
)
def test_tensorflow_is_not_needed():
    """By any module of the package, nor by a prediction."""
    code = (
        "import sys\n"
        "import catdog_helpers as ch\n"
        "for name in ch.__all__: getattr(ch, name)\n"
        "model = ch.build_cnn(32, 2)\n"
        "import numpy as np\n"
        "ch.machine.choices()\n"
        "model.predict(np.zeros((2, 32, 32, 3)), verbose=0)\n"
        "assert not [m for m in sys.modules if m.startswith('tensorflow')]\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def build() -> keras.Model:
    """Put a head that was not trained on the sample base."""
    base = load_base("sample", image_size=64)
    front, back = cut_base(base, "block4_pool")
    head = build_head((back.output_shape[-1],), 3)
    rng = np.random.default_rng(5)
    head.set_weights([rng.normal(0, 0.05, w.shape) for w in head.get_weights()])
    return join(front, back, head)


HOSTILE = """
import sys
import catdog_helpers as ch
ch.use_backend()
import keras, numpy as np
base = ch.load_base("sample", image_size=32)
model = ch.build_cnn(32, 2, widths=(4, 8))
x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
features = base.predict_on_batch(x.astype("float32"))
assert model.predict_on_batch(x.astype("float32")).shape == (4, 2)
assert {w.dtype for w in model.weights} == {"float32"}, model.weights
np.save(sys.argv[1], features)
"""


def test_a_keras_json_of_the_users_changes_nothing(tmp_path):
    other = {"image_data_format": "channels_first", "floatx": "float16"}
    found = []
    for name, config in (("own", {}), ("hostile", other | {"epsilon": 0.1})):
        home = tmp_path / name
        home.mkdir()
        (home / "keras.json").write_text(json.dumps(config))
        command = [sys.executable, "-c", HOSTILE, str(home / "y.npy")]
        env = os.environ | {"KERAS_HOME": str(home)}
        subprocess.run(command, cwd=ROOT, env=env, check=True)
        found.append(np.load(home / "y.npy"))
    np.testing.assert_array_equal(*found)
    assert found[0].shape == (4, 1, 1, 64)


def test_tensorflow_does_not_warn_of_tracing_in_a_notebook():
    """Importing it where Python is interactive sets its level to INFO."""
    code = (
        "import logging, sys; sys.ps1 = 'In : '\n"
        "import catdog_helpers as ch; ch.use_backend(); import keras\n"
        "level = logging.getLogger('tensorflow').getEffectiveLevel()\n"
        "assert level == logging.ERROR, level\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_saved_model_answers_alike_on_every_backend(tmp_path):
    """The probabilities of TensorFlow 2.21, kept beside this file."""
    card = {"class_names": ["a", "b", "c"], "image_size": 64}
    save_model(build(), tmp_path / "m.keras", card)
    model, _ = load_model(tmp_path / "m.keras")
    rng = np.random.default_rng(6)
    images = rng.integers(0, 256, (8, 64, 64, 3)).astype("float32")
    images[:4] = images[:4, :1, :1]  # flat colours, too
    found = model.predict(images, verbose=0)
    expected = np.array(json.loads(ANSWERS.read_text()))
    assert np.ptp(expected, axis=0).max() > 0.1  # they do differ
    np.testing.assert_allclose(found, expected, atol=1e-4)
