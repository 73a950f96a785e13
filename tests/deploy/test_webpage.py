"""The exported page: whole, alone, with the runtime that was expected."""

import io
import json
import re
import subprocess
import tarfile
from hashlib import sha256

import pytest
from browser import RUNTIME, serve
from test_exporting import model_path, run  # noqa: F401

from catdog_helpers.deploy import webpage

NAMES = {"index.html", "page.js", "page.css", "judge.js", "read_image.js"}


@pytest.fixture
def packages(monkeypatch):
    """Small packages in place of the real ones: name to bytes."""
    made = {}
    for package, files in webpage.FILES.items():
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for member in files:
                text = f'import "@litertjs/wasm-utils"; // {member}'.encode()
                info = tarfile.TarInfo(f"package/{member}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
        made[package] = buffer.getvalue()
    known = {k: (len(x), sha256(x).hexdigest()) for k, x in made.items()}
    monkeypatch.setattr(webpage, "PACKAGES", known)
    return made


@pytest.fixture
def registry(packages, tmp_path, monkeypatch):
    """A registry of npm packages on this machine; lists what was asked."""
    folder = tmp_path / "registry"
    for name, data in packages.items():
        path = folder / f"@litertjs/{name}/-/{name}-{webpage.VERSION}.tgz"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with serve(folder) as (url, asked):
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", url)
        asked.clear()
        yield folder, asked


def test_the_page_is_whole_and_its_runtime_travels_with_it(
    registry,
    model_path,  # noqa: F811
    tmp_path,
):
    page = tmp_path / "page"
    given = ["--model", model_path, "--to", page, "--format", "web"]
    status, out, _ = run(*given)
    assert status == 0
    assert f"http.server -d {page}" in out[-1]
    found = {path.name for path in page.iterdir()}
    assert found == NAMES | {"model.tflite", "model.json", "runtime"}
    about = json.loads((page / "model.json").read_text("utf-8"))
    assert about["parity"]["class_agreement"] == 1
    names = {x for files in webpage.FILES.values() for x in files.values()}
    found = {path.name for path in (page / "runtime").iterdir()}
    assert found == names | {"NOTICE.txt"}
    text = (page / "runtime" / "litert.js").read_text("utf-8")
    assert text == 'import "./wasm-utils.js"; // dist/index.js'
    assert "Apache License" in (page / "runtime/NOTICE.txt").read_text("utf-8")


def test_the_runtime_is_downloaded_once(registry):
    _, asked = registry
    folder = webpage.find_runtime()
    assert len(asked) == 2
    assert webpage.find_runtime() == folder
    assert len(asked) == 2


def test_another_runtime_is_refused(registry, packages, tmp_path):
    folder, _ = registry
    own = tmp_path / "own"
    own.mkdir()
    planted = own / f"litertjs-core-{webpage.VERSION}.tgz"
    planted.write_bytes(packages["core"][:-1] + b"x")
    with pytest.raises(ValueError, match="not the file expected. .*core"):
        webpage.find_runtime(own)
    for path in folder.rglob("core-*.tgz"):
        path.write_bytes(b"x" * len(packages["core"]))
    with pytest.raises(ConnectionError, match="by hand at .*SHA-256"):
        webpage.find_runtime(tmp_path / "new")


def test_the_page_loads_nothing_from_elsewhere():
    page = (webpage.PAGE / "index.html").read_text("utf-8")
    policy = re.search(r'Policy" content="(.*?)"', page)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert rules["script-src"] == "'self' 'wasm-unsafe-eval'"
    for path in webpage.PAGE.iterdir():
        text = path.read_text("utf-8")
        assert "://" not in text, path
        assert "light-dark(" not in text, path
        assert "<script>" not in text
        assert not re.search(r"\son\w+=\"", text)


@pytest.mark.slow
def test_the_packages_are_those_of_npm():
    """The hashes in the code are those of what `npm pack` writes."""
    if not RUNTIME.is_dir():
        RUNTIME.mkdir(parents=True)
        names = [f"@litertjs/{x}@{webpage.VERSION}" for x in webpage.PACKAGES]
        command = ["npm", "pack", "--silent", *names]
        if subprocess.run(command, cwd=RUNTIME, check=False).returncode:
            RUNTIME.rmdir()
            pytest.skip("no packages from npm")
    assert webpage.find_runtime(RUNTIME) == RUNTIME
