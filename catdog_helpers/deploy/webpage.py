"""Write the page that runs a model in the browser, with its runtime."""

import os
import shutil
import tarfile
from pathlib import Path

from catdog_helpers.data.download import download

PAGE = Path(__file__).with_name("page")
VERSION = "2.5.3"  # of LiteRT.js, Apache-2.0
REGISTRY = "https://registry.npmjs.org"
# Package: its bytes and SHA-256, so that nobody can put other code into pages.
PACKAGES = {
    "core": (
        11_817_097,
        "a97660833e9e7e1063c95e12016718881240b14f7438728a2f62785e912d30fd",
    ),
    "wasm-utils": (
        4_698,
        "ce2a1f8379c067be49e59752e5a7f40db6be09f6e497f0f11e59f17b515366a7",
    ),
}
# A browser loads one of the two: "compat" if it lacks relaxed SIMD.
FILES = {
    "wasm-utils": {"dist/index.js": "wasm-utils.js"},
    "core": {"dist/index.js": "litert.js"}
    | {
        f"wasm/litert_wasm_{kind}.{suffix}": f"litert_wasm_{kind}.{suffix}"
        for kind in ("internal", "compat_internal")
        for suffix in ("js", "wasm")
    },
}
NOTICE = f"""LiteRT.js {VERSION}: @litertjs/core and @litertjs/wasm-utils.
Copyright Google LLC. Licensed under the Apache License, Version 2.0:
https://www.apache.org/licenses/LICENSE-2.0
"""


def find_runtime(folder: str | Path | None = None) -> Path:
    """Return a folder with LiteRT.js, which is downloaded if it is missing.

    Args:
        folder: Where its two packages are, or shall be, as `npm pack` names
            them. Defaults to `catdog` in the user's folder for caches.

    Returns:
        The folder; what is in it has the expected hashes.

    Raises:
        ConnectionError: If they cannot be downloaded.
        ValueError: If another file is in their place.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(folder or Path(cache, "catdog"))
    folder.mkdir(parents=True, exist_ok=True)
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or REGISTRY
    for name, (size, sha256) in PACKAGES.items():
        url = f"{registry.rstrip('/')}/@litertjs/{name}/-/{name}-{VERSION}.tgz"
        download([url], _package(folder, name), size=size, sha256=sha256)
    return folder


def write_page(folder: Path, runtime: Path) -> None:
    """Write the page beside `model.tflite` and `model.json`."""
    for file in PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    target = folder / "runtime"
    target.mkdir()
    for package, files in FILES.items():
        with tarfile.open(_package(runtime, package)) as archive:
            for member, name in files.items():
                with archive.extractfile(f"package/{member}") as file:
                    (target / name).write_bytes(file.read())
    # A browser knows no packages.
    path = target / "litert.js"
    text = path.read_text("utf-8")
    text = text.replace('"@litertjs/wasm-utils"', '"./wasm-utils.js"')
    path.write_text(text, "utf-8")
    (target / "NOTICE.txt").write_text(NOTICE, "utf-8")


def _package(folder: Path, name: str) -> Path:
    return folder / f"litertjs-{name}-{VERSION}.tgz"
