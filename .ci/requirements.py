"""Print what to install for a backend: the run-time list, and extras.

    python .ci/requirements.py tensorflow|jax|torch

Only what that backend needs: the others do without TensorFlow, and without
the exporters, which are TensorFlow's.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def requirements(backend: str) -> list[str]:
    """List what pip must install.

    Args:
        backend: What Keras is to compute with.

    Returns:
        Lines of a requirements file.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    if backend == "tensorflow":
        chosen = ("export", "fast", "ray", "test")
        return [*lines, *(x for name in chosen for x in extras[name])]
    lines = [line for line in lines if not line.startswith("tensorflow")]
    return [*lines, *extras[backend], *extras["test"]]


if __name__ == "__main__":
    print(*requirements(sys.argv[1]), sep="\n")
