"""`make address`, and the set-up cell where people open notebooks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import address

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = "me/my.cats", "v1.0"


def sources(path: Path) -> list[str]:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


@pytest.fixture
def project(tmp_path):
    """A copy of the files that name the address."""
    (tmp_path / "notebooks").mkdir()
    for path in [ROOT / "pyproject.toml", ROOT / "README.md", *NOTEBOOKS]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.write_bytes(path.read_bytes())
    return tmp_path


def test_all_files_name_the_address_that_is_set():
    """`python tools/address.py` mends it."""
    repository, ref = address.read_address()
    for path in NOTEBOOKS:
        first, *others = sources(path)
        assert address.setup_cell(repository, ref) in others, path.name
        title, _, rest = first.partition("\n\n")
        assert title.startswith("# ")
        line = address.badges(repository, ref, path.name)
        assert rest.startswith(line or "**"), path.name


def test_an_address_is_written_everywhere_and_taken_back(project):
    address.write_address("", "main", project)
    before = {p: p.read_bytes() for p in project.rglob("*.*")}
    for path in before.keys() - {project / "pyproject.toml"}:
        text = path.read_text("utf-8")
        for word in ("OWNER", "Open in Colab", "Open in Kaggle", "git clone"):
            assert word not in text, f"{path.name}: {word}"
    changed = address.write_address(*ADDRESS, project)
    assert len(changed) == 2 + len(NOTEBOOKS)
    assert address.read_address(project) == ADDRESS
    for path in (project / "notebooks").iterdir():
        first, *others = sources(path)
        assert first.count("[![Open in ") == 2
        link = f"me/my.cats/blob/v1.0/notebooks/{path.name})"
        assert first.count(link) == 2
        assert address.setup_cell(*ADDRESS) in others
    readme = (project / "README.md").read_text("utf-8")
    assert readme.count(f"blob/v1.0/notebooks/{NOTEBOOKS[0].name})") == 2
    assert address.write_address(*ADDRESS, project) == []
    address.write_address("me/my.cats", "v2", project)
    assert "v1.0" not in (project / "README.md").read_text("utf-8")
    address.write_address("", "main", project)
    assert {p: p.read_bytes() for p in project.rglob("*.*")} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["REPOSITORY=me/cats"],
        ["REPOSITORY=https://github.com/me/cats", "REF=v1"],
        ["REPOSITORY=me/cats", "REF=a b"],
        ["REPOSITORY=me/cats", "REF=--upload-pack=x"],
        ["REPOSITORY=me/cats", "REF=v1", "SEED=1"],
    ],
)
def test_wrong_address_changes_nothing(arguments, capsys, monkeypatch):
    monkeypatch.setattr(address, "write_address", None)
    assert address.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


# The set-up cell, in bare folders. A stand-in for the package shows where it
# was found and where the notebook then works.
PACKAGE = """
import os
def use_backend():
    print(os.path.realpath(__file__), os.getcwd(), sep="|")
"""
# Run cells one after another, as a notebook does; hide the installed package.
RUN = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f)]
hidden = lambda p: p and os.path.isdir(os.path.join(p, "catdog_helpers"))
kept = os.environ.get("PYTHONPATH", "?")
sys.path = [""] + [p for p in sys.path if not hidden(p) or p == kept]
shell = InteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell)
"""


def write_package(folder: Path) -> Path:
    (folder / "catdog_helpers").mkdir(parents=True)
    (folder / "catdog_helpers/__init__.py").write_text(PACKAGE)
    (folder / "notebooks").mkdir()
    (folder / "notebooks/lab.py").touch()
    return folder


@pytest.fixture
def set_up(tmp_path):
    """Run the set-up cell in a folder; return (package, folder), or output."""
    drive, remote = tmp_path / "drive/catdog", tmp_path / "remote"

    def run(folder: Path, *, times: int = 1, **environment: str):
        folder.mkdir(parents=True, exist_ok=True)
        cell = address.setup_cell(*ADDRESS)
        cell = cell.replace("/content/drive/MyDrive/catdog", str(drive))
        cell = cell.replace("https://github.com/me/my.cats", f"file://{remote}")
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps([cell] * times)],
            cwd=folder,
            env=kept | environment,
            capture_output=True,
            text=True,
        )
        found = [x.split("|") for x in done.stdout.splitlines() if "|" in x]
        if len(found) != times:
            return done.stdout + done.stderr
        package, here = map(Path, found[-1])
        return package.parents[1], here

    return run


def publish(folder: Path):
    """Make a git repository with a tag, to be cloned."""
    write_package(folder)
    for command in (
        "init -q",
        "add .",
        "-c user.name=a -c user.email=a@b.c commit -qm a",
        f"tag {ADDRESS[1]}",
    ):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)


def test_set_up_with_the_package_at_hand(set_up, tmp_path):
    """From the notebook's folder, from its parent, or installed."""
    home, here = write_package(tmp_path / "home"), tmp_path / "here"
    for place in (home / "notebooks", home):
        assert set_up(place, times=2) == (home, place)
    assert set_up(here, PYTHONPATH=str(home)) == (home, here)
    assert list(here.iterdir()) == []


def test_set_up_from_a_mounted_drive(set_up, tmp_path):
    """What was never published is copied from there, and used again."""
    write_package(tmp_path / "drive/catdog")
    copy = tmp_path / "content/catdog"
    for times in (2, 1):  # the second call is a new session
        found = set_up(tmp_path / "content", times=times)
        assert found == (copy, copy / "notebooks")


def test_set_up_clones_once(set_up, tmp_path):
    publish(tmp_path / "remote")
    (tmp_path / "drive/catdog/runs").mkdir(parents=True)  # only kept data
    copy = tmp_path / "kaggle/catdog"
    found = set_up(tmp_path / "kaggle", times=2)
    assert found == (copy, copy / "notebooks")
    (tmp_path / "remote").rename(tmp_path / "gone")
    assert set_up(tmp_path / "kaggle") == (copy, copy / "notebooks")


def test_set_up_without_anything_stops_in_one_sentence(set_up, tmp_path):
    output = set_up(tmp_path / "bare")
    assert "No helpers: turn the internet on, or open" in output
    assert "Traceback" not in output
    assert list((tmp_path / "bare").iterdir()) == []
