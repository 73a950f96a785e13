"""Write a folder for a model hub: the model, and its card as Markdown."""

import shutil
from pathlib import Path

from catdog_helpers.bases import BASES, MIT
from catdog_helpers.data.names import DRAWINGS
from catdog_helpers.machine.files import read_json, write_text
from catdog_helpers.prediction.predictor import BORDER
from catdog_helpers.saving import load_model

TEMPLATE = Path(__file__).with_name("model_card.md")
IMAGENET = ". Its weights were learned from ImageNet, whose terms allow use "
IMAGENET += "for non-commercial research"
DATA_LICENCES = {
    "sample": f"{MIT} (drawings, by this project)",
    "sample_breeds": f"{MIT} (drawings, by this project)",
    "small": "Microsoft's terms for the Asirra photographs",
    "full": "Microsoft's terms for the Asirra photographs",
    "oxford_pets": "CC BY-SA 4.0 (University of Oxford, IIIT Hyderabad)",
}
PAGE = """
The folder `page` holds a page that runs the model in the browser.
"""


def write_hub(model_path: str | Path, folder: Path, *, has_page: bool) -> None:
    """Write the model, what lies beside it, and `README.md`.

    Args:
        model_path: `<run>/models/<method>.keras`, as `save_result` wrote it.
        folder: Where to; it exists.
        has_page: Whether the card mentions the page in `page`.

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
    text = _to_markdown(card | result, has_page=has_page)
    for suffix in (".keras", ".json", ".npz"):
        if (file := path.with_suffix(suffix)).is_file():
            shutil.copyfile(file, folder / f"model{suffix}")
    write_text(folder / "README.md", text)


def _to_markdown(known: dict, *, has_page: bool) -> str:
    low, high = known["test_interval"]
    base, dataset = known["base"], Path(known["dataset"]).name
    drawings = f"\n**{DRAWINGS.capitalize()}.**\n"
    licences = {name: row.licence for name, row in BASES.items()}
    licences |= {"none": "no pretrained base"}
    licence = licences.get(base, "not known here: state it")
    return TEMPLATE.read_text("utf-8").format_map(
        known
        | {
            "title": f"{base if base != 'none' else 'CNN'} on {dataset}",
            "n_classes": len(known["class_names"]),
            "classes": ", ".join(known["class_names"]) + ".",
            "drawings": drawings if "trained_on" in known else "",
            "low": low,
            "high": high,
            "dataset": dataset,  # no path of this machine
            "border": BORDER,
            "page": PAGE if has_page else "",
            "base_licence": licence
            + (IMAGENET if known["weights"] == "imagenet" else ""),
            "data_licence": DATA_LICENCES.get(
                dataset, "your photographs: state it"
            ),
        }
    )
