"""What is measured on: real photographs beside the checkout, or drawings."""

import sys
import zipfile
from importlib import import_module
from pathlib import Path, PurePosixPath

from PIL import Image

import catdog_helpers as ch
from catdog_helpers.data.sample.draw import draw_sample
from catdog_helpers.saving import save_model

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
WEIGHTS = "weights/mobilenet_v2_1.0_224_no_top.weights.h5"


def is_real() -> bool:
    """Return whether real photographs and weights lie beside the checkout."""
    return (SHARED / "data").is_dir()


def originals(work: Path, n: int) -> Path:
    """Return photographs at the size a camera or a website has them."""
    folder = work / f"originals-{n}"
    if not folder.is_dir():
        partial = folder.with_suffix(".partial")
        (_unpack if is_real() else _draw)(partial, n)
        partial.rename(folder)
    for path in folder.rglob("*.jpg"):  # from the disk into the page cache
        path.read_bytes()
    return folder


def many(work: Path) -> Path:
    """Return the larger set, the one that the notebooks are run on."""
    return ch.fetch(dataset(), work / "data")


def dataset() -> str:
    """Name the larger set as the notebooks' `DATASET` does."""
    return str(SHARED / "data/petimages_200px.zip") if is_real() else "sample"


def sound_archive(work: Path, n: tuple[int, int]) -> Path:
    """Return a zip of so many photographs that any program can decode.

    Half of them are cats; two more are for a test, which a split must have.
    """
    path, kinds = work / "sound.zip", []
    with zipfile.ZipFile(SHARED / "data/petimages_200px.zip") as source:
        for kind in ("Cat", "Dog"):
            names = (x for x in source.namelist() if f"/{kind}/" in x)
            kinds.append(sorted(x for x in names if _is_sound(x)))
        with zipfile.ZipFile(path, "w") as target:
            for pair in list(zip(*kinds, strict=False))[: sum(n) // 2 + 1]:
                for name in pair:
                    place = f"PetImages/{'/'.join(Path(name).parts[-2:])}"
                    target.writestr(place, source.read(name))
    return path


def _is_sound(name: str) -> bool:
    """Return whether a file is none of those that other ways stop at."""
    path = PurePosixPath(name)
    return path.suffix == ".jpg" and 1000 <= int(path.stem) < 11700


def prepared(work: Path, image_size: int):
    """Prepare the larger set; return its images and its manifest."""
    folder = ch.dataset_dir(dataset(), work / "data")
    return ch.prepare(many(work), folder, image_size)


def load_base(image_size: int):
    """Load the base with weights that were learned, for this material."""
    base, weights = "sample", "imagenet"
    if is_real():
        base, weights = "MobileNetV2", SHARED / WEIGHTS
    return base, ch.load_base(base, weights, image_size=image_size)


def save_a_model(work: Path, side: int):
    """Save a base with an untrained head: its speed is that of a trained."""
    _, base_model = load_base(side)
    model = ch.join(
        base_model, ch.build_head((base_model.output_shape[-1],), 2)
    )
    model.name = base_model.name
    path = work / "predict.keras"
    card = {"class_names": ["cat", "dog"], "image_size": side}
    save_model(model, path, card)
    return path, model


def import_tools():
    """Import what runs the notebooks, which is in no package."""
    sys.path.append(str(ROOT / "tools"))
    return import_module("dials"), import_module("run")


def _unpack(folder: Path, n: int):
    archive = SHARED / "data/cats_and_dogs_filtered_small.zip"
    with zipfile.ZipFile(archive) as file:
        names = [x for x in file.namelist() if x.endswith(".jpg")]
        for name in names[:: max(1, len(names) // n)][:n]:
            *_, kind, file_name = PurePosixPath(name).parts
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / file_name).write_bytes(file.read(name))


def _draw(folder: Path, n: int):
    drawn = folder.with_name("drawn")
    draw_sample(drawn, n_per_class=-(-n // 2), image_size=448)
    for path in sorted(drawn.rglob("*.png")):
        target = folder / path.relative_to(drawn).with_suffix(".jpg")
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(target, quality=90)
