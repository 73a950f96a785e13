"""A folder for a model hub: whole, true to the record, without a path."""

import re

import pytest
from conftest import save_method
from test_exporting import CARD, make_model, run

from catdog_helpers.deploy.exporting import export
from catdog_helpers.saving import load_model, save_model


def test_the_folder_is_whole_and_states_what_was_measured(run_dir, tmp_path):
    result = save_method(run_dir, "bottleneck", base="VGG16")
    path, hub = run_dir / "models" / "bottleneck.keras", tmp_path / "hub"
    (hub / "page").mkdir(parents=True)
    status, out, error = run("--model", path, "--format", "card", "--to", hub)
    assert status == 0, error
    assert f"hf upload YOUR_NAME/MODEL_NAME {hub}" in out[-1]
    names = {"model.keras", "model.json", "model.npz", "README.md", "page"}
    assert {path.name for path in hub.iterdir()} == names
    assert load_model(hub / "model.keras")[1] == load_model(path)[1]
    text = (hub / "README.md").read_text("utf-8")
    low, high = result["test_interval"]
    accuracy = result["test_accuracy"]
    assert f"| {accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}" in text
    assert "Base: Creative Commons Attribution" in text
    assert "your photographs: state it" in text
    assert "drawings" not in text
    assert str(tmp_path) not in text
    assert not re.search(r"\{\w+", text)
    yaml = pytest.importorskip("yaml")
    about = yaml.safe_load(text.split("---")[1])
    assert about["pipeline_tag"] == "image-classification"
    assert about["library_name"] == "keras"


def test_a_model_without_a_result_gets_no_card(run_dir, tmp_path):
    path = run_dir / "models" / "any.keras"
    save_model(make_model(), path, CARD)
    with pytest.raises(ValueError, match="has none of this model"):
        export(path, "card", tmp_path / "hub")
    assert list((tmp_path / "hub").iterdir()) == []
