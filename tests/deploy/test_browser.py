"""In a real browser: the exported page, and notebook 05 in JupyterLab."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import numpy as np
import pytest
import requests
from browser import RUNTIME, chromium, keep, serve
from PIL import Image

import run as runner
from catdog_helpers.data.sample.draw import CLASS_NAMES, draw
from catdog_helpers.deploy.exporting import export
from catdog_helpers.deploy.webpage import find_runtime
from catdog_helpers.prediction.predictor import predict
from dials import parse_dials

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ROTATION = 0x0112  # the EXIF tag


@pytest.fixture(scope="module")
def runtime():
    """LiteRT.js, fetched from npm's registry once."""
    try:
        return find_runtime(RUNTIME)
    except ConnectionError as error:
        return pytest.skip(str(error))


def train(folder: Path, *arguments: str) -> Path:
    """Run notebooks 01 and 03; return the folder of the run."""
    dials = parse_dials([*arguments, f"OUT={folder / 'out'}"])
    names = "01_download_data", "03_vgg16_bottleneck_features"
    paths = [ROOT / "notebooks" / f"{name}.ipynb" for name in names]
    return runner.run(dials | {"DATA": str(folder / "data")}, paths)


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory):
    """A model of the drawn sample."""
    folder = tmp_path_factory.mktemp("sample")
    return train(folder, "IMAGE_SIZE=64", "TEST=200")


def draw_files(folder: Path, n: int = 200) -> list[Path]:
    """Draw pictures as cameras and people keep them, in many ways."""
    folder.mkdir()
    paths = []
    for i in range(n):
        rng = np.random.default_rng((11, i))
        image = draw(CLASS_NAMES[i % 2], rng, int(rng.integers(48, 320)))
        height = int(image.height * rng.uniform(0.7, 1.4))
        image = image.resize((image.width, height))
        suffix = ("jpg", "jpg", "jpg", "png", "webp", "gif")[i % 6]
        options = {}
        if suffix == "jpg":
            # Turned as a phone does it: the file lies, the tag says so.
            turn, tag = ((0, 1), (90, 6), (180, 3), (270, 8))[i // 6 % 4]
            options = {"exif": Image.Exif(), "quality": 70 + i % 26}
            options["exif"][ROTATION] = tag
            image = image.rotate(turn, expand=True)
        elif suffix == "png" and i % 4 == 1:
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        paths.append(folder / f"{i:03d}.{suffix}")
        image.save(paths[-1], **options)
    return paths


def wait(found, seconds: float = 120):
    """Ask until there is something."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.3)
    return pytest.fail(f"nothing after {seconds} s")


def open_page(browser, url: str) -> None:
    browser.get(url)
    said = """return document.body.dataset.ready
        ?? document.getElementById("status").textContent.match(/.*cannot.*/)"""
    assert wait(lambda: browser.execute_script(said)) == "yes"


def answers(browser, n: int) -> dict[str, dict]:
    """Wait for the page's answers, by file name."""
    read = """return [...document.querySelectorAll("#answers > li")]
        .map((item) => JSON.parse(item.dataset.answer))"""

    def all_there():
        found = browser.execute_script(read)
        return len(found) >= n and found

    found = wait(all_there, 30 + 3 * n)
    assert len(found) == n
    return {answer["file"]: answer for answer in found}


def hold_against_python(model_path, paths, runtime, tmp_path, name) -> None:
    """Check that the page says what Python says to nearly every file."""
    page = tmp_path / "page"
    export(model_path, "web", page, runtime=runtime)
    rows = {Path(row["path"]).name: row for row in predict(model_path, paths)}
    with chromium(tmp_path / "profile") as browser, serve(page) as (url, asked):
        open_page(browser, url)
        given = "\n".join(map(str, paths))
        browser.find_element("id", "files").send_keys(given)
        found = answers(browser, len(paths))
        time.sleep(1)
        keep(browser, name)
        errors = [x for x in browser.get_log("browser") if "SEVERE" in str(x)]
    # LiteRT.js reports what it does as errors.
    assert [x for x in errors if "/runtime/litert" not in x["message"]] == []
    assert {command for command, _ in asked} == {"GET"}
    same = [found[f].get("verdict") == x["verdict"] for f, x in rows.items()]
    known = [f for f in rows if "probability" in found[f]]
    apart = [
        abs(found[f]["probability"] - rows[f]["probability"]) for f in known
    ]
    print(f"{name}: same verdict {np.mean(same)}, apart {np.median(apart)}")
    assert np.quantile(apart, 0.9) < 0.02
    assert np.mean(same) >= 0.99


def test_the_page_answers_as_python_does(sample_run, runtime, tmp_path):
    model_path = sample_run / "models" / "bottleneck.keras"
    paths = draw_files(tmp_path / "drawn")
    hold_against_python(model_path, paths, runtime, tmp_path, "page_sample")


def test_drop_camera_broken_files_and_not_sure(sample_run, runtime, tmp_path):
    model_path = sample_run / "models" / "bottleneck.keras"
    page = tmp_path / "page"
    export(model_path, "web", page, runtime=runtime)
    card = json.loads((page / "model.json").read_text("utf-8"))
    flags = [f"--use-fake-{x}-for-media-stream" for x in ("ui", "device")]
    with (
        chromium(tmp_path / "profile", *flags) as browser,
        serve(page) as (url, _),
    ):
        open_page(browser, url)
        browser.execute_script(
            """const data = new DataTransfer();
            data.items.add(new File(["no picture"], "text.jpg"));
            const dropped = {dataTransfer: data, bubbles: true};
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", dropped));"""
        )
        assert "error" in answers(browser, 1)["text.jpg"]
        assert browser.find_element("id", "drawings").is_displayed() == (
            card.get("trained_on") == "drawings"
        )
        browser.find_element("id", "camera").click()
        live = "return Number(live.dataset.answers ?? 0)"
        wait(lambda: browser.execute_script(live) >= 3)
        # At once: each answer replaces the bars.
        labels = browser.execute_script(
            """return [...document.querySelectorAll("#live meter")]
            .map((bar) => bar.ariaLabel)"""
        )
        assert {text.partition(":")[0] for text in labels} == {*CLASS_NAMES}
        keep(browser, "page_live")
        browser.set_window_size(500, 900)
        wide = "return document.documentElement.scrollWidth > innerWidth"
        assert not browser.execute_script(wide)
        keep(browser, "page_live_phone")
        browser.find_element("id", "shoot").click()
        assert answers(browser, 2)["from the camera"]["class"] in CLASS_NAMES
        browser.find_element("id", "stop").click()
        stopped = browser.execute_script(live)
        time.sleep(1.5)
        assert browser.execute_script(live) == stopped
        stream = "return document.getElementById('video').srcObject"
        assert browser.execute_script(stream) is None

        # Verdicts, from given outputs
        def verdict(probabilities, distance=0.0, **changes):
            code = """import("./judge.js").then((module) => arguments[2](
                module.judge(arguments[0], arguments[1]).verdict))"""
            outputs = {"probabilities": probabilities, "distance": [distance]}
            given = card | {"not_sure_below": 0.8} | changes
            return browser.execute_async_script(code, outputs, given)

        assert verdict([0.1, 0.9]) == "dog"
        assert verdict([0.9, 0.1], 0.5, strange_above=0.4) == "not sure"
        assert verdict([0.3, 0.7], 0.3, strange_above=0.4) == "cat or dog"


def test_the_page_answers_as_python_does_on_photographs(
    shared, runtime, tmp_path
):
    """MobileNetV2 at 192 px, 200 photographs at their original size."""
    archive = shared / "data" / "cats_and_dogs_filtered_small.zip"
    weights = shared / "weights" / "mobilenet_v2_1.0_224_no_top.weights.h5"
    arguments = [f"DATASET={archive}", f"WEIGHTS={weights}", "BASE=MobileNetV2"]
    arguments += ["TRAIN=250", "VALIDATION=100", "TEST=100"]
    model_path = train(tmp_path, *arguments) / "models" / "bottleneck.keras"
    with zipfile.ZipFile(archive) as file:
        names = [n for n in file.namelist() if "/validation/" in n]
        names = [n for n in names if n.endswith(".jpg")]
        paths = [file.extract(n, tmp_path / "photos") for n in names]
    assert len(paths) == 200
    given = model_path, paths, runtime, tmp_path, "page_photographs"
    hold_against_python(*given)


@contextmanager
def jupyterlab(folder: Path, home: Path):
    """Start JupyterLab on a free local port, with a token and its own home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # All cells are on the page, not only those in sight.
    tracker = settings / "tracker.jupyterlab-settings"
    tracker.write_text('{"windowingMode": "none"}')
    token = "sample-token"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += ["--allow-root", "--expose-app-in-browser"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={token}"]
    environment = os.environ | {
        "HOME": str(home),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "PYTHONPATH": str(ROOT),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    with (home / "log.txt").open("wb") as log:
        output = {"stdout": log, "stderr": subprocess.STDOUT}
        server = subprocess.Popen(command, env=environment, **output)
        url = f"http://127.0.0.1:{port}"

        def answering():
            assert server.poll() is None, (home / "log.txt").read_text()[-2000:]
            try:
                query = {"params": {"token": token}, "timeout": 5}
                return requests.get(f"{url}/api/status", **query).ok
            except requests.ConnectionError:
                return False

        try:
            wait(answering)
            yield url, token
        finally:
            server.terminate()
            server.wait(30)


def test_notebook_05_in_jupyterlab(sample_run, tmp_path):
    """Run all cells, upload a file with the button, find the verdict."""
    folder, home = tmp_path / "notebooks", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    path = ROOT / "notebooks" / "05_predict.ipynb"
    notebook = nbformat.read(path, as_version=4)
    runner._inject(
        notebook, {"OUT": str(sample_run), "DATA": str(tmp_path / "data")}
    )
    nbformat.write(notebook, folder / path.name)
    shutil.copy(ROOT / "notebooks" / "pictures.py", folder)
    photo = tmp_path / "uploaded picture.png"
    draw("cat", np.random.default_rng(5), 120).save(photo)
    (expected,) = predict(
        sample_run / "models" / "bottleneck.keras", [str(photo)]
    )
    with (
        jupyterlab(folder, home) as (url, token),
        chromium(tmp_path / "profile") as browser,
    ):
        browser.get(f"{url}/lab/tree/{path.name}?token={token}")

        def is_idle():
            # Without the focus, JupyterLab has no current notebook.
            with suppress(Exception):  # it is still being drawn
                browser.find_element("class name", "jp-CodeCell").click()
            return browser.execute_script(KERNEL_IS_IDLE)

        wait(is_idle)
        assert browser.execute_async_script(RUN_ALL) is True, "a cell failed"
        keep(browser, "notebook_05_run")
        shown = 'return document.querySelector(".widget-output").innerText'
        assert photo.name not in browser.execute_script(shown)
        upload = ".jp-OutputArea .widget-upload"
        button = browser.find_element("css selector", upload)
        browser.execute_script("arguments[0].scrollIntoView()", button)
        send_to_button(browser, button, photo)
        wait(lambda: photo.name in browser.execute_script(shown))
        picture = ".widget-output img"
        wait(lambda: browser.find_elements("css selector", picture))
        keep(browser, "notebook_05_upload")
        (image,) = browser.find_elements("css selector", picture)
        assert image.size["width"] > 50
        table = browser.find_element("css selector", ".widget-output table")
        assert expected["verdict"] in table.text
        assert f"{expected['probability']:.2f}"[:3] in table.text


def send_to_button(browser, button, path: Path) -> None:
    """Choose a file as a person does after pressing the upload button.

    ipywidgets makes the field for it only then, and never puts it into the
    page: the click that would open a window is caught, and leaves the field.
    """
    browser.execute_script(CATCH_CLICK)
    button.click()
    field = browser.execute_script("return window.uploadField")
    field.send_keys(str(path))


KERNEL_IS_IDLE = """
const kernel = window.jupyterapp?.shell.currentWidget
    ?.sessionContext?.session?.kernel;
return kernel?.status === "idle";
"""
RUN_ALL = """
const [done] = arguments;
window.jupyterapp.commands.execute("notebook:run-all-cells").then(done, done);
"""
CATCH_CLICK = """
HTMLInputElement.prototype.click = function () {
    document.body.append(this);
    window.uploadField = this;
};
"""
