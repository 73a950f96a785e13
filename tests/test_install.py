"""An ordinary installation works, away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OUTSIDE = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
SAMPLE = """
import catdog_helpers as ch
ch.use_backend()
import keras
from catdog_helpers.saving import save_model
folder = ch.fetch("sample", "data")
print(ch.__file__, len(ch.index_images(folder)))
base = ch.load_base("sample", image_size=64)
front, back = ch.cut_base(base, None)
model = ch.join(front, back, ch.build_head((64,), 2))
card = {"class_names": ["cat", "dog"], "image_size": 64}
save_model(model, "model.keras", card)
"""


def call(*command, cwd: Path) -> str:
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=OUTSIDE,
        check=True,
        capture_output=True,
        encoding="utf-8",
    ).stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy: a build leaves files in its folder."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "requirements.txt", "LICENSE.md"):
        shutil.copy(ROOT / name, source)
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("catdog_helpers", "tests", "tools", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=unwanted)
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    call(sys.executable, "-m", "pip", "wheel", *offline, ".", cwd=source)
    (wheel,) = source.glob("*.whl")
    return wheel


def test_the_wheel_has_all_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {
            name for name in archive.namelist() if ".dist-info" not in name
        }
    package = ROOT / "catdog_helpers"
    files = (p for p in package.rglob("*") if p.is_file())
    files = (p for p in files if "__pycache__" not in p.parts)
    assert names == {p.relative_to(ROOT).as_posix() for p in files}


@pytest.mark.slow
def test_an_installed_copy_predicts_and_has_the_sample(wheel, tmp_path):
    venv.create(tmp_path / "venv")
    place = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    scripts = Path(sysconfig.get_path("scripts", "venv", place))
    packages = Path(sysconfig.get_path("purelib", "venv", place))
    python = scripts / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install"]
    call(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    # Of the other packages those of this environment, so that none is fetched
    ours = sysconfig.get_path("purelib")
    (packages / "others.pth").write_text(ours, encoding="utf-8")
    file, images = call(python, "-c", SAMPLE, cwd=tmp_path).split()
    assert Path(file).is_relative_to(packages)
    assert int(images) == 1000
    picture = next((tmp_path / "data").rglob("*.png"))
    command = [scripts / "catdog", "predict", "--model", "model.keras"]
    answer = call(*command, picture, cwd=tmp_path)
    line = r".*\t(cat|dog|cat or dog)\t(... )?0\.\d{4}\n"
    assert re.fullmatch(line, answer)


def test_no_text_advises_a_package_that_is_not_on_the_index():
    """Whoever registered that name would run code on the users' machines."""
    advised = r"pip install[^\n]*catdog[-_]helpers|catdog[-_]helpers\["
    files = [*ROOT.glob("[!.]*"), *(ROOT / ".ci").iterdir()]
    for folder in ("catdog_helpers", "notebooks", "docs", "tools", "tests"):
        files += (ROOT / folder).rglob("*")
    texts = {"", ".py", ".md", ".toml", ".txt", ".ipynb", ".html", ".js"}
    for path in files:
        if path.suffix in texts and path.is_file():
            found = re.search(advised, path.read_text("utf-8", "replace"))
            assert not found, f"{path}: {found[0]}"
