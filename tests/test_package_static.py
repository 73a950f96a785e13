"""The package stays thin, and says what each of its functions does."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path
    for path in (ROOT / "catdog_helpers").rglob("*.py")
    if path.parent.name != "sample"
)
# Import name -> the requirement that brings it, where they differ
BROUGHT_BY = {
    "PIL": "Pillow",
    "pillow_heif": "pillow-heif",
    "sklearn": "scikit-learn",
    "IPython": "jupyter",
    "lazy_loader": "lazy-loader",
    "ipywidgets": "jupyter",
    "jupyter_client": "jupyter",
    "nbclient": "jupyter",
    "nbconvert": "jupyter",
    "nbformat": "jupyter",
    "threadpoolctl": "scikit-learn",
    "urllib3": "requests",
}
# Imported only where somebody exports a model: the extra, and LiteRT's own
# runtime, which is used if it is there; by the extra `ray`, for shards; and
# for bases that are called `hub:...`
OPTIONAL = {"openvino", "onnxruntime", "tf2onnx", "ai_edge_litert"}
OPTIONAL |= {"ray", "fsspec", "keras_hub"}
# Keras runs on these as well; whoever wants that installs them
INSTEAD = {"jax", "torch"}
# Keras and matplotlib objects: a hint would need the import
UNHINTED = {"model", "base_model", "front", "back", "head", "history", "ax"}

modules = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)


def nodes(path: Path, *kinds: type) -> list:
    tree = ast.parse(path.read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def public_functions(path: Path) -> list[ast.FunctionDef]:
    """Those that `catdog_helpers` lists, and methods of classes it lists."""
    import catdog_helpers

    listed = catdog_helpers.__all__
    found = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if getattr(node, "name", None) in listed:
            found += [node, *(node.body if hasattr(node, "bases") else [])]
    found = [node for node in found if isinstance(node, ast.FunctionDef)]
    return [node for node in found if not node.name.startswith("_")]


def arguments(function: ast.FunctionDef) -> list[ast.arg]:
    given = function.args
    named = given.posonlyargs + given.args + given.kwonlyargs
    return [a for a in named if a.arg not in ("self", "cls")]


def lines_of_code(path: Path) -> int:
    """Count lines without docstrings, comments and blank ones."""
    source = path.read_text("utf-8")
    prose = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            prose |= set(range(node.lineno, node.end_lineno + 1))
    return sum(
        bool(line.strip()) and line.strip()[0] != "#" and number not in prose
        for number, line in enumerate(source.splitlines(), 1)
    )


ROOMS = ("data", "deploy", "machine", "prediction", "scale", "study")
MAY_IMPORT = {  # besides itself
    "machine": set(),
    "data": {"machine"},
    "": {"machine", "data"},  # the front
    "prediction": {"machine", "data", ""},
    "study": {"machine", "data", "", "prediction"},
    "deploy": {"machine", "data", "", "prediction"},
    "scale": {"machine", "data", "", "prediction"},
}


def room_of(module: str) -> str:
    name = module.split(".")[1] if "." in module else ""
    return name if name in ROOMS else ""


def test_the_front_is_thin():
    front = [path for path in MODULES if path.parent.name == "catdog_helpers"]
    front = [path for path in front if path.stem != "__main__"]  # the command
    assert sum(map(lines_of_code, front)) <= 1200


def test_the_package_has_few_public_names_and_all_exist():
    import catdog_helpers

    names = set(catdog_helpers.__all__) - set(ROOMS)
    assert 0 < len(names) <= 40
    for name in catdog_helpers.__all__:
        assert getattr(catdog_helpers, name) is not None
        assert name in dir(catdog_helpers)


@modules
def test_rooms_import_in_one_direction(path):
    """So there is no circle, and the front knows nothing of what uses it."""
    here = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if path.stem == "__main__":  # it calls every room
        return
    for node in nodes(path, ast.ImportFrom):
        parts = [node.module or ""]
        if node.module == "catdog_helpers":
            parts = [f"catdog_helpers.{a.name}" for a in node.names]
        for module in parts:
            if module.split(".")[0] == "catdog_helpers":
                assert room_of(module) in MAY_IMPORT[here] | {here}, module


@modules
def test_module_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 250
    for function in nodes(path, ast.FunctionDef, ast.AsyncFunctionDef):
        body = function.body[ast.get_docstring(function) is not None :]
        length = function.end_lineno - body[0].lineno + 1 if body else 0
        assert length <= 35, f"{function.name}: {length} lines"


@modules
def test_public_functions_are_documented_and_hinted(path):
    for function in public_functions(path):
        name, text = function.name, ast.get_docstring(function)
        bare = {a.arg for a in arguments(function) if a.annotation is None}
        assert bare <= UNHINTED, f"{name}: {bare - UNHINTED}"
        assert text, f"{name} has no docstring"
        for argument in arguments(function):
            assert "Args:" in text, f"{name} does not say what it takes"
            said = rf"(?m)^    (\w+, )*{argument.arg}(, \w+)*:"
            assert re.search(said, text), f"{name}: {argument.arg}"
        if function.decorator_list:  # a property's text says what it is
            continue
        inside = ast.walk(function)
        if any(isinstance(n, ast.Return) and n.value for n in inside):
            assert re.search("^Return |(Returns|Yields):", text), name


def test_import_is_light():
    heavy = {"tensorflow", "keras", "matplotlib", "sklearn"}
    code = (
        "import sys, catdog_helpers; "
        f"sys.exit(', '.join({heavy} & sys.modules.keys()) or None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"imports {done.stderr}"


def test_requirements_are_what_is_imported():
    own = {"catdog_helpers", "google", "lab", "pictures"}
    own |= {path.stem for path in (ROOT / "tools").glob("*.py")}
    needed = set()
    for source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                needed |= {a.name.partition(".")[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                needed.add(node.module.partition(".")[0])
    needed -= own | INSTEAD | sys.stdlib_module_names
    needed = {BROUGHT_BY.get(name, name) for name in needed}
    assert needed - requirements().keys() == OPTIONAL
    assert requirements().keys() - needed == set()


def requirements() -> dict[str, Requirement]:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = [Requirement(x) for x in lines if x and not x.startswith("#")]
    return {one.name: one for one in found}


def sources() -> list[str]:
    """Code of the package and the notebooks, without `!` and `%` lines."""
    scripts = [*MODULES, *(ROOT / "notebooks").glob("*.py")]
    scripts += (ROOT / "tools").glob("*.py")
    found = [path.read_text("utf-8") for path in scripts]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                code = "".join(cell["source"])
                found.append(re.sub(r"(?m)^(\s*)[!%].*", r"\1pass", code))
    return found


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-colab.txt"])
def test_constraints_satisfy_the_requirements(name):
    lines = (ROOT / name).read_text("utf-8").splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    pins = (line.lower().split("==") for line in lines)
    pinned = {re.sub(r"[-_.]+", "-", package): pin for package, pin in pins}
    # Colab lacks these two, and pip finds a wheel of either.
    lacks = {"jupyter", "pillow-heif"} if "colab" in name else set()
    for package, wanted in requirements().items():
        if package not in lacks:
            assert pinned[package.lower()] in wanted.specifier
