"""Rows of the benchmark: start-up, the whole series, and a GPU's seconds."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import catdog_helpers as ch
from benchmarks import material
from benchmarks.measure import alternate
from benchmarks.rows_images import save_a_model, to_row
from catdog_helpers.models import unfreeze

NOTEBOOK = r"(?m)^(\d\d_\w+) +([\d.]+) s in all$"
NVIDIA_SMI = [
    "nvidia-smi",
    "--query-gpu=utilization.gpu",
    "--format=csv,noheader,nounits",
    "--loop-ms=100",
]


def measure_start_up(work: Path, size: dict) -> list[dict]:
    """Predict one photograph, against the framework's own start-up alone."""
    folder = material.originals(work, size["originals"])
    photograph = next(folder.rglob("*.jpg"))
    path, *_ = save_a_model(work, size)
    predict = ["-m", "catdog_helpers", "predict", "--model", path, photograph]
    sides = {
        "ours": lambda: _python(*predict),
        "theirs": lambda: _python("-c", "import tensorflow, keras"),
        "import": lambda: _python("-c", "import catdog_helpers"),
    }
    found = alternate(sides, size["few_rounds"])
    light = np.median(found.pop("import")["seconds"])
    note = (
        "theirs: `import tensorflow, keras`; `import catdog_helpers` alone "
        f"takes {light:.2f} s"
    )
    for side in found.values():  # in processes of their own
        side["peak_mb"] = None
    return [to_row("start-up", 0.5, **found, note=note)]


def measure_series(work: Path, size: dict) -> list[dict]:
    """Run the notebooks as the first `make run` does; say what they took."""
    sys.path.append(str(material.ROOT / "notebooks"))
    import dials
    import run

    said = _Said(sys.stdout)
    with tempfile.TemporaryDirectory(dir=work) as target:
        folders = {"DATA": f"{target}/data", "OUT": f"{target}/out"}
        values = dials.parse_dials(size.get("series_dials", []))
        start = time.perf_counter()
        with contextlib.redirect_stdout(said):
            run.run({**values, **folders}, size.get("series_notebooks"))
        seconds = time.perf_counter() - start
    name, slowest = slowest_notebook(said.getvalue())
    return [
        {
            "absolute": "first `make run`, install apart",
            "text": f"{seconds:.0f} s; its slowest notebook, {name}, "
            f"{slowest:.0f} s",
            "seconds": {"all": seconds, name: slowest},
        }
    ]


def slowest_notebook(printed: str) -> tuple[str, float]:
    """Find the slowest notebook in what `tools/run.py` printed.

    Args:
        printed: Lines such as "02_cnn_from_scratch  58.3 s in all".

    Returns:
        Its name and its seconds.
    """
    times = {name: float(s) for name, s in re.findall(NOTEBOOK, printed)}
    name = max(times, key=times.get)
    return name, times[name]


def measure_gpu(work: Path, size: dict) -> list[dict]:
    """Absolute seconds on a GPU: prepare, extract, a head, fine-tuning."""
    if not _has_gpu():
        print("no GPU: left out", flush=True)
        return []
    import keras

    from benchmarks.rows_training import compile_model, train_head

    side, rest = size["predict_side"], size["gpu_images"] // 5
    seconds, start = {}, time.perf_counter()

    def note(step):
        nonlocal start
        seconds[step] = time.perf_counter() - start
        start = time.perf_counter()

    n = size["gpu_images"] - 2 * rest
    images, manifest = material.prepared(work, side, train=n, rest=rest)
    train, validation, test = ch.data.split_rows(manifest)
    labels, used = manifest.label.to_numpy(), np.flatnonzero(manifest.split)
    note("prepare")
    name, base_model = material.load_base(side)
    front, back = ch.cut_base(base_model, ch.default_cut(name))
    pooled = keras.Sequential([back, keras.layers.GlobalAveragePooling2D()])
    front.predict_on_batch(images[:32].astype("float32"))  # builds it
    note("load the base")
    with Busy() as busy:
        kept = ch.extract_features(front, images, used, name="gpu-front")
    features = ch.extract_features(pooled, kept, used, name="gpu-pooled")
    note("extract")
    head = train_head(np.float32(features), labels, train, validation)[0]
    note("head")
    unfreeze(back)
    tail = ch.join(back, head)
    compile_model(tail, 3e-5)
    tail.fit(
        ch.Batches(kept, labels, train, shuffle=True),
        validation_data=ch.Batches(kept, labels, validation),
        epochs=5,
        verbose=0,
        shuffle=False,
    )
    note("fine-tune, 5 epochs")
    spent = ", ".join(f"{step} {s:.1f} s" for step, s in seconds.items())
    text = f"{spent}; device busy {busy.share:.0%} during extraction"
    label = f"GPU, {len(used):,} images of {side} px, {name}"
    found = {"seconds": seconds, "busy": busy.share}
    return [{"absolute": label, "text": text, **found}]


def to_busy_share(printed: str) -> float:
    """Average what `nvidia-smi` printed.

    Args:
        printed: One line a sample and device: its use in per cent.

    Returns:
        Share in [0, 1]; 0 without samples.
    """
    samples = [int(x) for x in printed.split() if x.isdigit()]
    return float(np.mean(samples)) / 100 if samples else 0.0


class Busy:
    """Sample how busy the GPU is inside a `with` block, as `share`."""

    def __enter__(self):
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(NVIDIA_SMI, text=True, **pipe)
        self._lines = []
        read = self._process.stdout.readlines
        self._thread = threading.Thread(
            target=lambda: self._lines.extend(read()), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        self.share = to_busy_share("".join(self._lines))


def gpu_names() -> list[str]:
    """List the NVIDIA GPUs of this machine."""
    if not shutil.which("nvidia-smi"):
        return []
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True)
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def _has_gpu() -> bool:
    """Tell if Keras, on whatever backend, computes on a GPU."""
    if not gpu_names():
        return False
    import keras

    devices = keras.distribution.list_devices("gpu")
    return bool(devices)


def _python(*arguments):
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    path = [str(material.ROOT), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    command = [sys.executable, *map(str, arguments)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


class _Said(io.StringIO):
    """Keep what is printed, and print it."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(text)
        return super().write(text)
