"""The page on exports: its code gives the verdicts of `predict`, alone."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import picture
from PIL import Image
from test_exporting import CARD, SIDE, make_model

from catdog_helpers.deploy.exporting import export
from catdog_helpers.models import in_batches
from catdog_helpers.prediction.predictor import predict
from catdog_helpers.saving import save_model
from catdog_helpers.uncertainty import measure_uncertainty, with_distance

ROOT = Path(__file__).parents[2]
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"keras", "tensorflow", "catdog_helpers"}:
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
"""
BLOCKS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/export.md").read_text("utf-8"), re.S
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> list[Path]:
    """Large and small, upright and turned, grey, palettes."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{seed}.jpg" for seed in range(8)]
    for seed, path in enumerate(paths):
        image = Image.fromarray(picture(seed, 30 + 60 * seed))
        image = image.convert(("RGB", "L", "RGB", "CMYK")[seed % 4])
        exif = Image.Exif()
        exif[0x0112] = (1, 6, 3, 8)[seed // 2]
        image.resize((image.width, 40 + image.height)).save(path, exif=exif)
    return paths


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that says all it can say: sure, not sure, one of two."""
    model = make_model()
    x = np.stack([picture(seed, SIDE) for seed in range(40)])
    rows = np.arange(40)
    found = measure_uncertainty(model, x, rows % 2, rows[:20], rows[20:])
    found |= {"temperature": np.asarray(0.05)}
    _, far = in_batches(with_distance(model, found).predict_on_batch, x)
    found |= {"threshold": np.median(far)}
    path = tmp_path_factory.mktemp("saved") / "any.keras"
    save_model(model, path, CARD, found)
    return path, x


@pytest.mark.parametrize("block", [0, 1], ids=["onnx", "litert"])
def test_the_code_gives_the_verdict_of_predict(block, saved, photos, tmp_path):
    path, x = saved
    code = BLOCKS[0]
    if block:
        pytest.importorskip("ai_edge_litert")
        code = code.replace("import onnxruntime\n", "")
        session = re.search(r"session = .*\n", code)[0]
        head, run = BLOCKS[1].split("\n\n")
        load, answer = run.splitlines()
        code = head + "\n" + code.replace(session, load + "\n")
        code = re.sub(r"names = \[.*\nanswer = .*\n", answer + "\n", code)
        code = code.replace("onnx", "tflite")
    export(path, "litert" if block else "onnx", tmp_path, images=x)
    script = ALONE + "import shutil\nfor photo in sys.argv[1:]:\n"
    script += "    shutil.copyfile(photo, 'photo.jpg')\n"
    script += f"    exec({code!r}, {{}})\n"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, photos)],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    wanted = list(predict(path, list(map(str, photos))))
    assert [verdict for verdict, _ in found] == [x["verdict"] for x in wanted]
    assert len({x["verdict"] for x in wanted}) > 1
    probabilities = [float(p) for _, p in found]
    wanted = [x["probability"] for x in wanted]
    np.testing.assert_allclose(probabilities, wanted, atol=1e-4)
