"""Write a folder for a model hub: the model, and its card as Markdown."""

import shutil
from pathlib import Path

from catdog_helpers.data.names import DRAWINGS
from catdog_helpers.machine.files import read_json, write_text
from catdog_helpers.prediction.predictor import BORDER
from catdog_helpers.saving import load_model

TEMPLATE = Path(__file__).with_name("model_card.md")
LICENCES = Path(__file__).with_name("licences.json")  # as the authors state


def write_hub(model_path: str | Path, folder: Path) -> None:
    """Write the model, what lies beside it, and `README.md`.

    Args:
        model_path: `<run>/models/<method>.keras`, as `save_result` wrote it.
        folder: Where to; it exists.

    Raises:
        ValueError: If the run has no result of this model.
    """
    path = Path(model_path)
    _, card = load_model(path)
    result = read_json(path.parents[1] / "results" / f"{path.stem}.json")
    if not result or result["split_sha256"] != card.get("split_sha256"):
        raise ValueError(
            f"a card states the test result, and {path.parents[1]} has none of "
            f"this model: run its notebook again. Received: {path}"
        )
    known, licences = card | result, read_json(LICENCES)
    base, dataset = known["base"], Path(known["dataset"]).name
    licence = licences["base"].get(base, "not known here: state it")
    if known["weights"] == "imagenet":
        licence += licences["imagenet"]
    drawings = f"\n**{DRAWINGS.capitalize()}.**\n"
    known |= {
        "title": f"{base if base != 'none' else 'CNN'} on {dataset}",
        "n_classes": len(known["class_names"]),
        "classes": ", ".join(known["class_names"]),
        "drawings": drawings if "trained_on" in known else "",
        "dataset": dataset,  # no path of this machine
        "border": BORDER,
        "base_licence": licence,
        "data_licence": licences["data"].get(
            dataset, "your photographs: state it"
        ),
    }
    text = TEMPLATE.read_text("utf-8").format_map(known)
    write_text(folder / "README.md", text)
    for suffix in (".keras", ".json", ".npz"):
        if (file := path.with_suffix(suffix)).is_file():
            shutil.copyfile(file, folder / f"model{suffix}")
