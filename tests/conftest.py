"""What all tests share."""

import os
from pathlib import Path

import pytest

# Before TensorFlow or matplotlib is first imported
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["MPLBACKEND"] = "agg"

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark `real` whatever asks for `shared`, so that nobody can forget it."""
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real photographs and weights beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real photographs and weights at {SHARED}")
    return SHARED
