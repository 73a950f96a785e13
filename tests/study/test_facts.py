"""What a file tells without a look at the picture."""

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from catdog_helpers.study.facts import file_facts


def manifest_of(formats):
    n = len(formats)
    names = [f"{i}.x" for i in range(n)]
    sizes = {"width": [40] * n, "height": [20] * n}
    return pd.DataFrame({"path": names, "format": formats, **sizes})


def test_the_facts_are_those_of_the_files(tmp_path):
    (tmp_path / "0.x").write_bytes(b"12345")
    images = np.zeros((2, 4, 4, 3), dtype="uint8")
    images[1, ..., 0] = 200
    facts = file_facts(manifest_of(["PNG", "JPEG"]), tmp_path, images)
    assert facts["bytes"].tolist() == [5, 0]  # the second is gone
    assert facts["shape"].tolist() == [2, 2]
    assert facts["red"].tolist() == [0, 200]
    assert facts["PNG"].tolist() == [1, 0]


def test_classes_of_different_formats_are_told_apart(tmp_path):
    """The shortcut that a network may take as well."""
    labels = np.arange(80) % 2
    images = np.random.default_rng(0).integers(0, 256, (80, 4, 4, 3), "uint8")
    for formats, least in ((np.where(labels, "JPEG", "PNG"), 0.99), (None, 0)):
        table = manifest_of(["PNG"] * 80 if formats is None else formats)
        facts = file_facts(table, tmp_path, images)
        forest = RandomForestClassifier(50, random_state=0)
        forest.fit(facts[:40], labels[:40])
        found = forest.score(facts[40:], labels[40:])
        assert least <= found <= (1 if least else 0.75)
