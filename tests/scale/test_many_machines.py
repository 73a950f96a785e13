"""The page on many machines: its code runs, and installs what is ours."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catdog_helpers.models import build_cnn
from catdog_helpers.saving import save_model

pytest.importorskip("pyarrow", reason="the extra [ray] is not installed")
from conftest import picture  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "many_machines.md").read_text("utf-8")
ENGINES = ["None", pytest.param('"ray"', marks=pytest.mark.slow)]


@pytest.mark.parametrize("engine", ENGINES)
def test_its_code_runs(engine, tmp_path, monkeypatch, capsys):
    for seed in range(12):
        kind = tmp_path / "photos" / ("cat" if seed % 2 else "dog")
        kind.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed, 60)).save(kind / f"{seed:03d}.png")
    (kind / "broken.png").write_bytes(b"no picture")
    card = {"class_names": ["cat", "dog"], "image_size": 32}
    save_model(build_cnn(32, 2, widths=(4,)), tmp_path / "model.keras", card)
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert "engine = None" in code
    names = {}
    exec(code.replace("engine = None", f"engine = {engine}"), names)
    assert names["features"].shape == (13, 64)
    assert np.count_nonzero(names["features"][:].any(axis=1)) == 12
    assert len(names["good"]) == 12
    assert "unreadable    1" in re.sub(" +", "    ", capsys.readouterr().out)
