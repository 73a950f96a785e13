"""`make run`: arguments, execution, quoting."""

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import keras
import nbformat
import pytest
from conftest import save_method
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import dials
import run
from catdog_helpers.bases import BASES
from catdog_helpers.data.defaults import USUAL

ROOT = Path(__file__).resolve().parents[2]
SERIES = ["01", "02", "03", "04", "05"]
PARAMETERS = 'DATA = "../data"\nOUT = "../runs/small"\nSEED = 1'


def write_notebook(path: Path, *cells: str) -> Path:
    """Write cells: "# ..." is Markdown, PARAMETERS gets its tag."""
    made = []
    for source in cells:
        is_text = source.startswith("#")
        made.append((new_markdown_cell if is_text else new_code_cell)(source))
        if source == PARAMETERS:
            made[-1].metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=made), path)
    return path


def texts(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    outputs = [o for c in cells for o in c.get("outputs", [])]
    return "".join(o.get("text", "") for o in outputs)


# Arguments


def test_defaults_are_the_drawn_sample():
    found = dials.parse_dials([])
    assert found.pop("OUT") == str(ROOT / "runs/sample")
    assert found.pop("DATASET") == found["BASE"] == "sample"
    assert [name[:2] for name in found.pop("NOTEBOOKS")] == SERIES
    assert found == {k.upper(): v for k, v in USUAL["sample"].items()}
    assert all(dials.parse_dials([f"BASE={base}"]) for base in BASES)
    other = dials.parse_dials(["BASE=MobileNetV2", "TEST=9"])
    assert other["BASE"] == "MobileNetV2"
    assert other["TEST"] == 9
    assert other["IMAGE_SIZE"] == BASES["MobileNetV2"].image_size
    assert other["OUT"].endswith("sample-MobileNetV2")


def test_paths_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    paths = {
        "DATASET": "Мои фото.tar.gz",
        "WEIGHTS": "~/w.weights.h5",
        "BASE": "./my base.keras",
    }
    absolute = {k: str(tmp_path / Path(v).name) for k, v in paths.items()}
    for path in absolute.values():
        Path(path).touch()
    others = {"SEED": 0, "IMAGE_SIZE": 32, "CUT": "mixed7"}
    found = dials.parse_dials(f"{k}={v}" for k, v in (paths | others).items())
    assert [name[:2] for name in found.pop("NOTEBOOKS")] == SERIES
    key = "[0-9a-f]{8}"  # of the archive's path
    out = re.escape(str(ROOT / "runs/Мои_фото"))
    assert re.fullmatch(f"{out}-{key}-my-base", found.pop("OUT"))
    assert found == absolute | others


@pytest.mark.parametrize("word", ["None", "none"])
def test_random_weights_show_in_the_name(word):
    address = "DATASET=https://example.org/a/pets.zip?x=1"
    found = dials.parse_dials([address, f"WEIGHTS={word}"])
    assert (found["WEIGHTS"], found["BASE"]) == (None, "VGG16")
    assert re.search("runs/pets-[0-9a-f]{8}-random$", found["OUT"])


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("DATSET=x", "Did you mean DATASET?"),
        ("dataset=x", "Did you mean DATASET?"),
        ("URL=x", "Known: DATASET, "),
        ("DATASET=", "has no value"),
        ("DATASET=no/such.zip", "folder that exists"),
        ("DATASET=smal", "Did you mean small?"),
        ("DATASET=http://example.org/a.zip", "https://"),
        ("BASE=vgg-16", "Did you mean VGG16?"),
        ("BASE=no.keras", ".keras file that exists"),
        ("WEIGHTS=no.h5", "imagenet, None, or a file"),
        ("WEIGHTS=.", "imagenet, None, or a file"),
        ("SEED=-1", "whole number, 0 or more"),
        ("TRAIN=0", "whole number, 1 or more"),
        ("TEST=1.5", "whole number, 1 or more"),
        ("EPOCHS=ten", "whole number, 1 or more"),
        ("NOTEBOOKS=1-", "1-6,lab"),
        ("NOTEBOOKS=x,", "1-6,lab"),
        ("NOTEBOOKS=5-1", "rising ranges of 0 to"),
        ("NOTEBOOKS=99", "rising ranges of 0 to"),
        ("SOLUTION=no", "True or False"),
        ("BACKEND=numpy", "tensorflow, jax, torch"),
        ("PRECISION=int8", "float32, bfloat16, float16"),
        ("COPIES=none", "near, identical"),
        ("BASES=VGG16,Inception", "Did you mean InceptionV3?"),
        ("BASES=MobileNetV2:no.h5", "imagenet, None, or a file"),
    ],
)
def test_wrong_argument_is_one_line(argument, hint, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert run.main([argument]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert hint in err
    assert err.endswith(f"Received: {argument}\n")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("4", ["04"]),
        ("1-3", ["01", "02", "03"]),
        ("5,1-2,2", ["01", "02", "05"]),
        ("scratch", ["02"]),  # a word of its name
    ],
)
def test_notebooks_are_named_by_number_or_word(text, numbers):
    found = dials.parse_dials([f"NOTEBOOKS={text}"])["NOTEBOOKS"]
    assert [name[:2] for name in found] == numbers


def test_dials_are_those_of_the_notebooks(tmp_path, monkeypatch):
    """A new notebook needs no entry anywhere."""
    (tmp_path / "notebooks").mkdir()
    write_notebook(
        tmp_path / "notebooks/07_new.ipynb",
        "# A",
        PARAMETERS,
        'SHARE = 0.5  # of the images # in all\nNAMES = ["a", "b"]',
    )
    monkeypatch.setattr(dials, "ROOT", tmp_path)
    dials.known_dials.cache_clear()
    try:
        known = dials.known_dials()
    finally:
        monkeypatch.undo()
        dials.known_dials.cache_clear()
    assert known["SEED"] == [("07", "1", "")]
    assert "SHARE" not in known  # it is in no tagged cell
    assert known.keys() >= dials.TOOLS.keys()


def test_the_page_and_the_help_have_the_dials(capsys):
    """`python tools/dials.py` writes the page anew."""
    assert dials.DOCS.read_text("utf-8") == dials.to_markdown()
    assert run.main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name in ("DATASET", "BASE", "EPOCHS", "NOTEBOOKS", "PERSIST"):
        assert re.search(rf"\b{name}\b", out)


def test_several_bases_with_weights(tmp_path, monkeypatch):
    (tmp_path / "w.h5").touch()
    (tmp_path / "own.keras").touch()
    monkeypatch.chdir(tmp_path)
    given = "BASES=VGG16,MobileNetV2:w.h5,own.keras"
    expected = f"VGG16,MobileNetV2:{tmp_path}/w.h5,{tmp_path}/own.keras"
    assert dials.parse_dials([given])["BASES"] == expected
    assert dials.parse_dials(["BASES=all"])["BASES"] == "all"


def test_wrong_argument_needs_no_tensorflow():
    code = (
        "import sys; sys.path.insert(0, 'tools'); import run; "
        "run.main(['BASE=x']); "
        "sys.exit({'tensorflow', 'keras'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.startswith("BASE must be")
    assert done.stderr.endswith("set()\n")


# Execution


def test_values_reach_the_notebooks_in_order(tmp_path, capsys):
    show = "import os, sys\nprint(DATA, OUT, SEED, os.getcwd())"
    more = "print(sys.executable, os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    save = "open(f'{OUT}/made', 'w').write('by 01')"
    first = write_notebook(
        tmp_path / "01_a.ipynb", "# 1. A", PARAMETERS, "## Show", show, more
    )
    cells = nbformat.read(first, as_version=4).cells
    notebooks = [first] + [
        write_notebook(tmp_path / f"0{i}_b.ipynb", "# B", PARAMETERS, source)
        for i, source in [(2, save), (3, "print(open(f'{OUT}/made').read())")]
    ]
    out = tmp_path / "it's $OUT"
    given = {"DATASET": "sample", "BASE": "sample", "SEED": 7, "OUT": str(out)}
    assert run.run(given, notebooks) == out
    done = out / "notebooks"
    expected = f"{ROOT / 'data'} {out} 7 {tmp_path}\n{sys.executable} 2\n"
    assert texts(done / "01_a.ipynb") == expected
    assert texts(done / "03_b.ipynb") == "by 01\n"
    assert "<title>01_a</title>" in (done / "01_a.html").read_text("utf-8")
    injected = nbformat.read(done / "01_a.ipynb", as_version=4).cells[2]
    assert injected.metadata["tags"] == ["injected-parameters"]
    names = [line.split()[0] for line in injected.source.splitlines()]
    assert sorted(names) == ["DATA", "OUT", "SEED"]
    assert nbformat.read(first, as_version=4).cells == cells
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split()[0] for line in lines]
    assert heads == ["01_a"] * 5 + ["02_b"] * 4 + ["03_b"] * 4
    assert lines[2].startswith("01_a  [ 3/4] ")
    assert lines[2].endswith(" s  Show")


def test_the_machine_is_set_in_the_kernels_only(tmp_path, monkeypatch):
    monkeypatch.delenv("CATDOG_PRECISION", raising=False)
    show = "import os\nprint(os.environ['CATDOG_PRECISION'])\n"
    show += "print(os.environ['KERAS_BACKEND'], os.environ['CATDOG_PERSIST'])"
    notebook = write_notebook(tmp_path / "01.ipynb", "# A", show)
    given = {"PRECISION": "bfloat16", "BACKEND": "jax", "PERSIST": "/a b"}
    before = dict(os.environ)
    run.run({"OUT": str(tmp_path), **given}, [notebook])
    assert texts(tmp_path / "notebooks/01.ipynb") == "bfloat16\njax /a b\n"
    assert dict(os.environ) == before


def test_copies_have_plots_links_to_each_other_and_finished_bars(tmp_path):
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    bar = "from tqdm.auto import tqdm\nfor _ in tqdm(range(4), 'ü<b'): pass"
    text = "# A\n[next](02_b.ipynb#end) and [more](https://x.org/02_b.ipynb)"
    notebook = write_notebook(tmp_path / "01_a.ipynb", text, plot, bar)
    run.run({"OUT": str(tmp_path)}, [notebook])
    done = tmp_path / "notebooks/01_a.ipynb"
    _, plotted, counted = nbformat.read(done, as_version=4).cells
    (output,) = counted.outputs
    assert list(output.data) == ["text/plain"]
    assert output.data["text/plain"].startswith("ü<b: 100% 4/4 [")
    page = done.with_suffix(".html").read_text("utf-8")
    assert 'href="02_b.html#end"' in page
    assert 'href="https://x.org/02_b.ipynb"' in page
    picture = plotted.outputs[0].data["image/png"].replace("\n", "")
    assert page.replace("\n", "").count(picture) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('too\\nlong')", "ValueError: too"),
        ("import os; os.kill(os.getpid(), 9)", "Python died"),
        ("1 +", "SyntaxError: "),
    ],
)
def test_failing_cell_ends_the_run(
    tmp_path, monkeypatch, capsys, source, reason
):
    monkeypatch.chdir(tmp_path)
    files = [
        write_notebook(tmp_path / "01_a.ipynb", "# A", "1", "## B c", source),
        write_notebook(tmp_path / "02_b.ipynb", "# B", "1"),
    ]
    values = {"OUT": str(tmp_path / "out"), "BASE": "sample"}
    monkeypatch.setattr(run, "parse_dials", lambda _: values)
    execute = run.run
    monkeypatch.setattr(run, "run", lambda dials: execute(dials, files))
    assert run.main([]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"01_a, cell 2 (B c): {reason}")
    assert err.endswith(" (see out/notebooks/01_a.html)\n")
    assert err.count("\n") == 1
    assert "02_b" not in out
    cells = nbformat.read("out/notebooks/01_a.ipynb", as_version=4).cells
    assert cells[1].execution_count == 1


PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


def test_ctrl_c_leaves_no_kernel(tmp_path):
    source = "import os, time\nopen('pid', 'w').write(str(os.getpid()))"
    notebook = write_notebook(
        tmp_path / "01.ipynb", "# A", source, "time.sleep(99)"
    )
    code = (
        "import sys; sys.path.insert(0, 'tools'); import run\n"
        "execute, path, out = run.run, *sys.argv[1:]\n"
        "run.parse_dials = lambda _: {'OUT': out, 'BASE': 'sample'}\n"
        "run.run = lambda dials: execute(dials, [path])\n"
        "sys.exit(run.main([]))"
    )
    command = [sys.executable, "-c", code, notebook, tmp_path]
    runner = subprocess.Popen(command, cwd=ROOT, **PIPES)
    wait_for(lambda: (tmp_path / "pid").exists())
    time.sleep(1)
    runner.send_signal(signal.SIGINT)
    _, err = runner.communicate(timeout=60)
    assert runner.returncode == 130
    assert err == "Stopped; what is in the run's folder stays.\n"
    assert (tmp_path / "notebooks/01.html").exists()
    kernel = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(kernel))


def command(*arguments: str, **options) -> subprocess.Popen:
    """Start `tools/run.py`, as from a terminal: Ctrl-C is not ignored."""
    script = [sys.executable, ROOT / "tools/run.py"]
    return subprocess.Popen([*script, *arguments], **PIPES, **options)


def test_ctrl_c_in_the_first_second(tmp_path):
    started = command("NOTEBOOKS=1", f"OUT={tmp_path / 'out'}")
    time.sleep(0.7)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in out + err
    assert err.count("\n") <= 1


def test_a_kernel_that_cannot_start_is_one_line(tmp_path):
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (30, 30))
    given = "NOTEBOOKS=1", f"OUT={tmp_path / 'out'}"
    started = command(*given, preexec_fn=few)
    _, err = started.communicate(timeout=120)
    assert started.returncode == 1
    assert err.startswith("01_download_data: the kernel did not start")
    assert "ulimit -n" in err
    assert err.count("\n") == 1


def test_names_that_the_terminal_cannot_show():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    started = command("DATASET=no/猫.zip", env=environment)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (2, "")
    assert err.endswith("Received: DATASET=no/\\u732b.zip\n")


def test_a_base_is_checked_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run, "run", None)
    path = tmp_path / "fixed.keras"
    parts = [keras.Input((48, 48, 3)), keras.layers.Conv2D(2, 3)]
    keras.Sequential(parts).save(path)
    given = [f"BASE={path}", f"OUT={tmp_path / 'out'}"]
    assert run.main([*given, "IMAGE_SIZE=64"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("BASE: ")
    assert "48 x 48 pixels only" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    # Its size is read from it.
    seen = []
    monkeypatch.setattr(run, "run", seen.append)
    monkeypatch.setattr(run, "_sum_up", lambda _: None)
    monkeypatch.setattr(run, "_write_report", lambda *_: None)
    assert run.main(given) == 0
    assert seen[0]["IMAGE_SIZE"] == 48


def test_auto_runs_notebook_01_and_takes_the_chosen_base(monkeypatch, capsys):
    values = dials.parse_dials(["BASE=auto"])
    assert values["IMAGE_SIZE"] == BASES["sample"].image_size
    assert values["OUT"].endswith("sample-auto")
    small = dials.parse_dials(["BASE=auto", "DATASET=small"])
    assert small["IMAGE_SIZE"] == 192
    asked, ran = [], []

    def ask(code, argument, values):
        asked.append(argument)
        return ["VGG16 is left out: no", "own is best", '["own.keras", "w.h5"]']

    monkeypatch.setattr(run, "_ask", ask)
    monkeypatch.setattr(
        run, "run", lambda values, paths: ran.extend(paths) or Path("out")
    )
    run._choose_base(values)
    assert asked == [["out", ["sample"]]]
    assert [path.name[:2] for path in ran] == ["01"]
    assert [name[:2] for name in values["NOTEBOOKS"]] == SERIES[1:]
    assert values["BASE"] == "own.keras"
    assert values["WEIGHTS"] == "w.h5"
    assert "own is best" in capsys.readouterr().out
    run._choose_base(small | {"BASES": "VGG16,hub:dinov2_small"})
    run._choose_base(small)
    assert asked[1:] == [["out", ["VGG16", "hub:dinov2_small"]], ["out", None]]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_scoreboard_and_what_next(run_dir, monkeypatch, capsys):
    monkeypatch.chdir(run_dir.parent)
    run_dir = run_dir.rename(run_dir.with_name("a run"))
    run._sum_up(run_dir)  # notebook 01 alone has run
    assert capsys.readouterr().out == "\nLook at  a run/notebooks/*.html\n"
    result = save_method(run_dir)
    run._sum_up(run_dir)
    lines = capsys.readouterr().out.splitlines()
    figures = result["test_accuracy"], *result["test_interval"]
    row = "scratch CNN {:.3f} [{:.3f}, {:.3f}] 24 2".format(*figures)
    assert lines[2].split() == row.split()
    assert lines[-3] == "Look at  a run/notebooks/*.html"
    model = "'a run/models/scratch_cnn.keras'"
    assert lines[-2].endswith(f" predict --model {model} PHOTO")
    page = (run_dir / "report.html").as_uri()
    assert lines[-1] == f"Report   {page}"
    path = run_dir / "results/scratch_cnn.json"
    drawn = json.loads(path.read_text()) | {"trained_on": "drawings"}
    path.write_text(json.dumps(drawn))
    run._sum_up(run_dir)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"Report   {page} (trained on drawings; it knows nothing of "
        "photographs)"
    )


# make


def write_python(path: Path, code: str):
    """Write a stub that runs `code` whatever it is asked to do."""
    python = shlex.quote(sys.executable)
    code = shlex.quote(f"import sys; {code}")
    path.write_text(f'#!/bin/sh\nexec {python} -c {code} "$@"\n')
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path):
    """A copy of the Makefile with a .venv that only shows its arguments."""
    folder = tmp_path / "a copy"
    folder.mkdir()
    for name in ["Makefile", "requirements.txt", "constraints.txt"]:
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "pyproject.toml").touch()
    (folder / ".venv/bin").mkdir(parents=True)
    write_python(
        folder / ".venv/bin/python",
        "import json, os; print(json.dumps([sys.argv[1:], dict(os.environ)]))",
    )
    (folder / ".venv/.installed").touch()
    return folder


def make(folder: Path, *arguments: str, **environment: str):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env=kept | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "with two  spaces",
        "it's",
        'a "b"',
        "a$b $(shell touch made) ${c} $$d",
        "`touch made`; touch made",
        "Мои фото/ü.zip",
        "back\\slash*?[a]#%,(x)&|",
        "a=b:=c",
    ],
)
def test_make_passes_values_as_they_are(checkout, value):
    done = make(checkout, "run", f"DATASET={value}", "DATSET=1", "PYTHON=x")
    assert done.stderr == ""
    arguments, environment = json.loads(done.stdout)
    assert arguments == ["tools/run.py", f"DATASET={value}", "DATSET=1"]
    assert "DATASET" not in environment
    assert not (checkout / "made").exists()


def test_make_ignores_the_environment_and_lists_its_targets(checkout):
    done = make(checkout, "run", SEED="5", OUT="/x", DATASET="y")
    assert json.loads(done.stdout)[0] == ["tools/run.py"]
    listed = make(checkout).stdout
    for target in ("run", "lab", "test", "test-all", "lint", "address"):
        assert f"\nmake {target} " in listed


def assert_no_install(checkout, done) -> str:
    """Check that `make` failed; return its first line."""
    first, *rest = done.stderr.splitlines()
    assert len(rest) == 1  # make's own "*** Error"
    assert done.returncode == 2
    assert not (checkout / ".venv/.installed").exists()
    return first


def test_make_refuses_an_old_python(checkout):
    (checkout / ".venv/.installed").unlink()
    old = "sys.version_info = (3, 10, 2); exec(sys.argv[2])"
    write_python(checkout / "old python", old)
    for python, why in [("./old python", "it is 3.10"), ("no-such", "not ")]:
        done = make(checkout, "test", f"PYTHON={python}")
        first = assert_no_install(checkout, done)
        assert first.startswith("TensorFlow needs Python 3.11, 3.12 or 3.13.")
        assert f"PYTHON={python} (" in first
        assert why in first


def test_make_leaves_no_stamp_when_installing_fails(checkout):
    (checkout / ".venv/.installed").unlink()
    write_python(checkout / "python", "")
    write_python(checkout / ".venv/bin/python", "sys.exit('ERROR: no index')")
    done = make(checkout, "run", "PYTHON=./python")
    first = assert_no_install(checkout, done)
    assert first.startswith("Installing failed")
    assert first.endswith("ERROR: no index")
