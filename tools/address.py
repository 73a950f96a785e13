"""Write the project's public address into the README and the notebooks.

    python tools/address.py REPOSITORY=owner/name REF=v1

`make address` calls this. The address is kept in pyproject.toml; without
arguments it is written again, for example into a new notebook. While none is
set, there are no badges, and the set-up cells clone nothing.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLAB = (
    "[![Open in Colab](https://colab.research.google.com/assets/"
    "colab-badge.svg)](https://colab.research.google.com/github/"
)
KAGGLE = (
    "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
    "(https://kaggle.com/kernels/welcome?src=https://github.com/"
)
BADGES = re.compile(r"(?m)^\[!\[Open in [^\n]*\n+")
# The first code cell of each notebook. On a mounted Drive, `notebooks/..` is
# the project's folder, and no folder if only data were kept there.
SETUP = """\
# Find the helpers: {places}.
import sys
from importlib.util import find_spec
from pathlib import Path

DRIVE = "/content/drive/MyDrive/catdog"
sys.path.append(str(Path("..").resolve()))
if not find_spec("catdog_helpers"):
    !test -d catdog || cp -r {{DRIVE}}/notebooks/.. catdog 2> /dev/null{clone}
    if not Path("catdog/notebooks").is_dir():
        sys.exit("No helpers: {remedy}")
    %cd -q catdog/notebooks
    sys.path.append(str(Path("..").resolve()))

import catdog_helpers as ch

ch.use_backend()  # or "jax" or "torch"; TensorFlow where it is installed"""
ALONE = {
    "places": "here, or on a mounted Drive",
    "clone": "",
    "remedy": "open this notebook in a copy of the project.",
}
ONLINE = {
    "places": "here, on a mounted Drive, or online (Kaggle: internet on)",
    "clone": " || \\\n        git clone -q --depth 1 -b <ref> <url> catdog",
    "remedy": "turn the internet on, or open the whole project.",
}


def read_address(root: Path = ROOT) -> tuple[str, str]:
    """Read the address that is kept in pyproject.toml."""
    text = (root / "pyproject.toml").read_text("utf-8")
    found = tomllib.loads(text)["tool"]["catdog"]
    return found["repository"], found["ref"]


def badges(repository: str, ref: str, name: str) -> str:
    """Return the badges that open a notebook, as a paragraph of Markdown."""
    if not repository:
        return ""
    path = f"{repository}/blob/{ref}/notebooks/{name}"
    return f"{COLAB}{path}) {KAGGLE}{path})\n\n"


def setup_cell(repository: str, ref: str) -> str:
    """Return the source of the first code cell of every notebook."""
    text = SETUP.format(**ONLINE if repository else ALONE)
    url = f"https://github.com/{repository}"
    return text.replace("<ref>", ref).replace("<url>", url)


def write_address(repository: str, ref: str, root: Path = ROOT) -> list[Path]:
    """Write the address into pyproject.toml, the README and the notebooks."""
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    new = {}
    toml = root / "pyproject.toml"
    given = f'repository = "{repository}"\nref = "{ref}"'
    text = toml.read_text("utf-8")
    new[toml] = re.sub(r'(?m)^repository = ".*"\nref = ".*"', given, text)
    if (readme := root / "README.md").exists():
        line = badges(repository, ref, notebooks[0].name)
        new[readme] = _below_title(readme.read_text("utf-8"), line)
    for path in notebooks:
        notebook = json.loads(path.read_text("utf-8"))
        text = notebook["cells"][0]
        code = next(c for c in notebook["cells"] if c["cell_type"] == "code")
        line = badges(repository, ref, path.name)
        _set_source(text, _below_title("".join(text["source"]), line))
        _set_source(code, setup_cell(repository, ref))
        new[path] = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    changed = [p for p in new if new[p] != p.read_text("utf-8")]
    for path in changed:
        path.write_text(new[path], "utf-8")
    return changed


def _below_title(text: str, line: str) -> str:
    """Put the badges below the first heading, in place of those there."""
    return re.sub(
        r"(?m)^(# .+\n+)", rf"\1{line}", BADGES.sub("", text), count=1
    )


def _set_source(cell: dict, source: str) -> None:
    cell["source"] = source.splitlines(keepends=True)


def main(arguments: list[str]) -> int:
    """Set the address from `REPOSITORY=owner/name` and `REF=v1`."""
    given = dict(argument.partition("=")[::2] for argument in arguments)
    repository, ref = given.pop("REPOSITORY", ""), given.pop("REF", "")
    if not arguments:
        repository, ref = read_address()
    elif (
        given
        or not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", repository, re.ASCII)
        or not re.fullmatch(r"[\w.][\w.-]*", ref, re.ASCII)
    ):
        print(
            "Give the address as REPOSITORY=owner/name REF=v1 (a tag or a "
            f"branch). Received: {' '.join(arguments)}",
            file=sys.stderr,
        )
        return 2
    for path in write_address(repository, ref):
        at = f"names {repository} at {ref}" if repository else "has no address"
        print(f"{path.relative_to(ROOT)} now {at}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
