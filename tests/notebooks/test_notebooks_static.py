"""How a notebook reads: checked without running it."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OUTDATED = {
    r"ImageDataGenerator|flow_from_directory": "removed from Keras 3's way",
    r"\b(fit|evaluate|predict)_generator\b": "removed",
    r"tensorflow\.keras|\btf\.keras\b": "Keras 3 is `import keras`",
    r"\.save\([^)]*\.(h5|hdf5)\b": "a model is saved as .keras",
    r"except( Exception)?:\s*(#.*)?\n?\s*pass\b": "hides every mistake",
    r"\bplt\.show\b": "a notebook shows its figures by itself",
    r"%matplotlib": "inline is the default",
    r"pip3? install.*\b(tensorflow|keras|numpy)\b": "breaks Colab",
    r"\.(take|skip)\(": "on a reshuffled dataset it leaks",
}
MACHINE = r"/home/|/Users/|/root/|/tmp/|/mnt/|\b[A-Z]:\\"

notebooks = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path: Path) -> list:
    return [c for c in read(path).cells if c.cell_type == "code"]


def code(path: Path) -> str:
    return "\n\n".join(cell.source for cell in code_cells(path))


def plain_python(source: str) -> ast.Module:
    """Parse code without its `!` and `%` lines."""
    return ast.parse(re.sub(r"(?m)^(\s*)[!%].*", r"\1pass", source))


def prose(path: Path) -> str:
    """All Markdown, without what is fenced, so that `#` means a heading."""
    cells = [c.source for c in read(path).cells if c.cell_type == "markdown"]
    text = "\n\n".join(cells).replace("\u2019", "'")
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def test_the_series_is_complete():
    assert [int(path.name[:2]) for path in PATHS] == list(range(13))


@notebooks
def test_opening_and_ending(path):
    assert read(path).cells[0].cell_type == "markdown"
    (title,) = re.findall(r"(?m)^# (.+)", prose(path))
    assert re.match(rf"{int(path.name[:2])}\. [A-Z][\w-]+ \w", title)
    opening, _, rest = prose(path).partition("\n## Set up")
    assert rest, 'there must be a heading "## Set up"'
    places = [opening.find(f"What you'll {w}") for w in ("do", "learn", "need")]
    assert -1 not in places
    assert places == sorted(places)
    assert "minute" in opening[places[-1] :]
    headings = re.findall(r"(?m)^## (.+)", prose(path))
    assert headings[-2:] == ["Summary", "On your own"]
    for following in PATHS[PATHS.index(path) + 1 :][:1]:
        assert f"]({following.name})" in read(path).cells[-1].source
    for link in re.findall(r"\]\(([^)#:\s]+)\)", prose(path)):
        assert (path.parent / link).exists(), link


@notebooks
def test_parameters(path):
    cells = read(path).cells
    tags = [set(cell.metadata.get("tags", [])) for cell in cells]
    index = [i for i, tag in enumerate(tags) if "parameters" in tag]
    assert len(index) == 1
    # What the tools set may stand in a cell of its own below it.
    index += [i for i, tag in enumerate(tags) if "settings" in tag]
    assert index == list(range(index[0], index[0] + len(index)))
    names = []
    for cell in (cells[i] for i in index):
        for node in ast.parse(cell.source).body:
            assert isinstance(node, ast.Assign), ast.unparse(node)
            names += [ast.unparse(target) for target in node.targets]
            ast.literal_eval(node.value)
    assert all(name.isupper() and name.isidentifier() for name in names)
    assert {"DATA", "OUT"} & set(names)
    before = "\n".join(cell.source for cell in cells[: index[0]])
    assert re.findall(r"(?m)^## (.+)", before) == ["Set up"]


@notebooks
def test_format_without_outputs(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    allowed = {"kernelspec", "language_info", "accelerator", "colab"}
    assert set(notebook.metadata) <= allowed
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info.name == "python"
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}
        assert cell.source.strip()


@notebooks
def test_cells_are_short(path):
    lengths = [len(c.source.splitlines()) for c in code_cells(path)]
    assert max(lengths) <= 20
    assert 3 <= statistics.median(lengths) <= 7, sorted(lengths)
    too_long = [li for li in code(path).splitlines() if len(li) > 80]
    assert too_long == []


@notebooks
def test_text_and_code_alternate(path):
    kinds = [cell.cell_type for cell in read(path).cells]
    ratio = kinds.count("code") / kinds.count("markdown")
    assert 0.5 <= ratio <= 1.5
    # The set-up's four are the longest run of code without a word between
    assert re.search("c{5}", "".join(kind[0] for kind in kinds)) is None


@notebooks
def test_nothing_outdated_and_no_path_of_a_machine(path):
    for pattern, why in OUTDATED.items():
        found = re.search(pattern, code(path))
        assert not found, f"{found[0]}: {why}"
    for cell in read(path).cells:
        assert not re.search(MACHINE, cell.source)
    assert "/content" not in "".join(c.source for c in code_cells(path)[1:])


@notebooks
def test_only_public_names_of_the_package(path):
    import catdog_helpers

    used = set(re.findall(r"(?<![\w.])ch\.(\w+)", code(path)))
    assert used - set(catdog_helpers.__all__) == set()
    for node in ast.walk(plain_python(code(path))):
        if isinstance(node, ast.ImportFrom):
            assert not str(node.module).startswith("catdog_helpers")
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("catdog_helpers"):
                    assert ast.unparse(name) == "catdog_helpers as ch"


@pytest.mark.parametrize("path", PATHS[2:5], ids=lambda path: path.stem)
def test_the_lesson_stays_in_the_notebook(path):
    for said in (".compile(", ".fit(", "Test accuracy"):
        assert said in code(path)
