"""Write the page that runs a model in the browser."""

import base64
import hashlib
import shutil
from pathlib import Path

PAGE = Path(__file__).with_name("page")
# A pinned version, and the hashes of its files: neither the content-delivery
# network nor a copy can put other code into the page.
RUNTIME = "onnxruntime-web@1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/{RUNTIME}/dist/"
INTEGRITY = {
    "ort.wasm.bundle.min.mjs": "sha384-"
    "PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    "ort-wasm-simd-threaded.wasm": "sha384-"
    "vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}


def write_page(folder: Path, runtime: str | Path | None) -> None:
    """Write the page beside `model.onnx` and `model.json`.

    Args:
        folder: Where to.
        runtime: Folder with the files of `INTEGRITY`, to be copied; `None`:
            the page loads them from `CDN`.

    Raises:
        ValueError: If a file of the runtime is missing or another version's.
    """
    for file in PAGE.iterdir():
        shutil.copyfile(file, folder / file.name)
    if runtime is not None:
        _copy_runtime(Path(runtime), folder / "runtime")
    script, wasm = INTEGRITY.values()
    text = (PAGE / "index.html").read_text("utf-8")
    for name, value in {
        "{runtime}": CDN if runtime is None else "runtime/",
        "{source}": CDN if runtime is None else "",
        "{runtime_integrity}": script,
        "{wasm_integrity}": wasm,
    }.items():
        text = text.replace(name, value)
    (folder / "index.html").write_text(text, encoding="utf-8")


def _copy_runtime(runtime: Path, target: Path) -> None:
    target.mkdir()
    for name, integrity in INTEGRITY.items():
        file = runtime / name
        data = file.read_bytes() if file.is_file() else b""
        digest = base64.b64encode(hashlib.sha384(data).digest()).decode()
        if f"sha384-{digest}" != integrity:
            raise ValueError(
                f"`runtime` must be the dist folder of {RUNTIME} (npm pack "
                f"{RUNTIME}). Received: {runtime}, whose {name} is "
                f"{'another' if data else 'missing'}"
            )
        (target / name).write_bytes(data)
