"""Write the project's public address wherever it stands.

    python tools/address.py REPOSITORY=owner/name REF=v1

`make address` calls this. The constant lies in pyproject.toml; the README's
and the notebooks' badges and set-up cells repeat it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/"
    "colab-badge.svg)](https://colab.research.google.com/github/"
    "{repository}/blob/{ref}/notebooks/{name})"
)
# The first code cell of each notebook
SETUP = """\
# On Colab only: fetch the project, once, and work in its folder.
import sys

if "google.colab" in sys.modules:
    REPOSITORY = "https://github.com/{repository}"
    REF = "{ref}"
    %cd -q /content
    !test -d catdog || git clone -q --depth 1 -b {{REF}} {{REPOSITORY}} catdog
    %cd -q catdog/notebooks
    sys.path.insert(0, "/content/catdog")

import catdog_helpers as ch

ch.use_backend()  # TensorFlow if it is there; or name "jax" or "torch" here"""


def read_address(root: Path = ROOT) -> tuple[str, str]:
    """Read the constant in pyproject.toml.

    Args:
        root: Folder of the project.

    Returns:
        repository, ref: For example `"owner/name"`, `"v1"`.
    """
    text = (root / "pyproject.toml").read_text("utf-8")
    repository = re.search(
        r'^Repository = "https://github.com/(.+)"', text, re.M
    )
    ref = re.search(r'^ref = "(.+)"', text, re.M)
    return repository[1], ref[1]


def write_address(repository: str, ref: str, root: Path = ROOT) -> list[Path]:
    """Replace the address in pyproject.toml, the README and the notebooks.

    Args:
        repository: `owner/name` on GitHub.
        ref: A tag or a branch.
        root: Folder of the project.

    Returns:
        The files that changed.
    """
    old, _ = read_address(root)
    old = rf"(github(?:\.com)?/){re.escape(old)}(?![\w-])"
    new = re.escape(repository)
    changed = []
    for path in [
        root / "pyproject.toml",
        root / "README.md",
        *sorted((root / "notebooks").glob("*.ipynb")),
    ]:
        before = path.read_text("utf-8") if path.exists() else ""
        text = re.sub(old, rf"\g<1>{repository}", before)
        links = rf"(github(?:\.com)?/{new}/(?:blob|tree)/)[\w.-]+"
        text = re.sub(links, rf"\g<1>{ref}", text)
        # In a notebook's JSON the quotes are escaped
        text = re.sub(r'(\bREF = \\?")[\w.-]+', rf"\g<1>{ref}", text)
        if path.name == "pyproject.toml":
            text = re.sub(r'(?m)^(ref = ")[\w.-]+', rf"\g<1>{ref}", text)
        if text != before:
            path.write_text(text, "utf-8")
            changed.append(path)
    return changed


def main(arguments: list[str]) -> int:
    """Set the address from `REPOSITORY=owner/name` and `REF=v1`.

    Args:
        arguments: Both of them.

    Returns:
        The exit status: 0, or 2 after one line on stderr.
    """
    given = dict(argument.partition("=")[::2] for argument in arguments)
    repository, ref = given.pop("REPOSITORY", ""), given.pop("REF", "")
    if (
        given
        or not re.fullmatch(r"[A-Za-z0-9-]+/[\w.-]+", repository, re.ASCII)
        or not re.fullmatch(r"[\w.-]+", ref, re.ASCII)
    ):
        print(
            "Give the address as REPOSITORY=owner/name REF=v1 (a tag or a "
            f"branch). Received: {' '.join(arguments) or 'nothing'}",
            file=sys.stderr,
        )
        return 2
    for path in write_address(repository, ref):
        print(f"{path.relative_to(ROOT)} now names {repository} at {ref}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
