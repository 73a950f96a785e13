"""Run notebooks in order, 01 to 05, on the data and with the base you name.

    python tools/run.py DATASET=photos.zip BASE=MobileNetV2 EPOCHS=5

`make run` calls this. A value given here replaces the one in the notebooks'
`parameters` cells; executed notebooks, models and results land in `OUT`.
"""

import asyncio
import logging
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter

from dials import ROOT, SAMPLE_DIALS, DialError, inject, parse_dials


def run(
    dials: dict[str, str | int | None],
    notebooks: Iterable[str | Path] | None = None,
) -> Path:
    """Execute notebooks in order, each in a fresh kernel of this Python.

    Args:
        dials: Values by name, as `parse_dials` gives them. A notebook gets
            those which its `parameters` cell assigns.
        notebooks: Files to execute. Defaults to those of the series that
            the dial `NOTEBOOKS` numbers, without 04 if the base has no cut
            and so nothing to fine-tune.

    Returns:
        `OUT`; its `notebooks/` holds them as executed, also one that failed.

    Raises:
        DialError: If no notebook has one of the dials, or `BACKEND` is not
            installed.
        RuntimeError: If a cell fails; the message is one line.
    """
    from catdog_helpers import default_cut, use_backend

    try:
        use_backend(  # for the kernels, too
            dials.get("BACKEND"),
            precision=dials.get("PRECISION"),
            devices=dials.get("DEVICES"),
            persist=dials.get("PERSIST"),
        )
    except ValueError as error:
        raise DialError(error) from None
    numbers = dials.get("NOTEBOOKS", [1, 2, 3, 4, 5])
    series = sorted((ROOT / "notebooks").glob("0*.ipynb"))
    series = [path for path in series if int(path.name[:2]) in numbers]
    if not notebooks and not (dials.get("CUT") or default_cut(dials["BASE"])):
        _say("04 is left out: to fine-tune a saved base, name a CUT", "\n")
        series = [path for path in series if not path.name.startswith("04")]
    paths = [Path(path).resolve() for path in notebooks or series]
    loaded = [nbformat.read(path, as_version=4) for path in paths]
    values = {"DATA": str(ROOT / "data"), **dials}
    used = {"DATASET", "BASE", "IMAGE_SIZE", "NOTEBOOKS", "OUT", "BACKEND"}
    used |= SAMPLE_DIALS.keys() | {"PRECISION", "DEVICES", "PERSIST"}
    used.update(*[inject(notebook, values) for notebook in loaded])
    unused = sorted(dials.keys() - used)
    if unused and notebooks:  # the series has a place for each dial
        raise DialError(f"No notebook has the dial {', '.join(unused)}.")
    folder = Path(dials["OUT"]) / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for notebook, path in zip(loaded, paths, strict=True):
        _run_notebook(notebook, path, folder / path.stem)
    return folder.parent


def _run_notebook(notebook, path: Path, target: Path):
    """Execute one notebook and write it and its HTML copy, come what may."""
    client = NotebookClient(notebook, timeout=None, coalesce_streams=True)
    client.km = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    start = time.monotonic()
    try:
        asyncio.run(_execute(client, path))
    except RuntimeError as error:
        raise RuntimeError(f"{error} (see {_shown(target)}.html)") from None
    finally:
        _say(f"{path.stem}  {time.monotonic() - start:.1f} s in all", "\n")
        client.set_widgets_metadata()
        nbformat.write(notebook, f"{target}.ipynb")
        title = {"metadata": {"name": path.stem}}
        html, _ = HTMLExporter().from_notebook_node(notebook, title)
        Path(f"{target}.html").write_text(html, encoding="utf-8")


async def _execute(client: NotebookClient, path: Path):
    """Run the code cells; leave no kernel behind, not even after Ctrl-C."""
    cells = client.nb.cells
    code = [i for i, c in enumerate(cells) if c.cell_type == "code"]
    env = {
        **os.environ,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    try:
        given = {"env": env, "stderr": asyncio.subprocess.DEVNULL}
        await client.async_start_new_kernel(cwd=str(path.parent), **given)
        await client.async_start_new_kernel_client()
        for number, index in enumerate(code, 1):
            title = _heading(cells[:index])
            where = f"{path.stem}, cell {number} ({title})"
            label = f"{path.stem}  [{number:2}/{len(code)}]"
            await _execute_cell(client, index, label, title)
    except CellExecutionError as error:
        reason = (error.evalue.strip().splitlines() or [""])[0]
        raise RuntimeError(f"{where}: {error.ename}: {reason}") from None
    except DeadKernelError:
        if asyncio.current_task().cancelling():  # by Ctrl-C
            raise asyncio.CancelledError from None
        raise RuntimeError(f"{where}: Python died; out of memory?") from None
    finally:
        if client.km.has_kernel:
            await client.km.shutdown_kernel(now=True)
        if client.kc:
            client.kc.stop_channels()


async def _execute_cell(client, index: int, label: str, title: str):
    """Run one cell and say how long it takes, each second on a terminal."""
    start = time.monotonic()

    def show():
        _say(f"{label} {time.monotonic() - start:6.1f} s  {title}")

    async def tick():
        while sys.stdout.isatty():
            show()
            await asyncio.sleep(1)

    ticker = asyncio.create_task(tick())
    try:
        await client.async_execute_cell(client.nb.cells[index], index)
    finally:
        ticker.cancel()
        show()


class _ThisPython(KernelSpecManager):
    """Start kernels with this Python, whatever kernels are registered."""

    def get_kernel_spec(self, kernel_name):
        launcher = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]
        quiet = "--IPKernelApp.capture_fd_output=False"  # TensorFlow's C++ log
        return KernelSpec(argv=[sys.executable, *launcher, quiet])


def _heading(cells) -> str:
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return (re.findall(r"^#+ +(.+)", text, re.MULTILINE) or ["start"])[-1]


def _say(line: str, end: str = ""):
    """Print a line; on a terminal the next one replaces it."""
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        line = f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}"
    print(line, end=end if on_terminal else "\n", flush=True)


def _shown(path: str | Path) -> str:
    return str(path).removeprefix(f"{Path.cwd()}{os.sep}")


def _report(out: Path):
    from catdog_helpers import last_method, load_results
    from catdog_helpers.results import to_scores

    results = load_results(out)
    if results:  # else only notebook 01 has run
        title = "test accuracy [95 %]"
        board = to_scores(results.values()).reset_index()
        figures = board["test accuracy"], board["low"], board["high"]
        board[title] = list(map("{:.3f} [{:.3f}, {:.3f}]".format, *figures))
        board = board[["method", title, "training images", "seconds"]]
        table = board.to_string(index=False, float_format="{:.0f}".format)
        print(f"\n{table}")
    advice = out / "advice.txt"
    if advice.is_file():
        print(f"\n{advice.read_text('utf-8')}")
    print(f"\nLook at  {_shown(out / 'notebooks')}/*.html")
    if results:
        model = out / results[last_method(results)]["model"]
        names = (shlex.quote(_shown(p)) for p in (sys.executable, model))
        predict = "{} -m catdog_helpers predict --model {} PHOTO"
        print(f"Predict  {predict.format(*names)}")


def main(arguments: list[str]) -> int:
    """Run the series and print the scoreboard.

    Args:
        arguments: `NAME=VALUE` for each dial.

    Returns:
        The exit status: 0; or, after one line on stderr, 1 if a cell failed,
        2 for a wrong dial, 130 for Ctrl-C.
    """
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    try:
        _report(run(parse_dials(arguments)))
        return 0
    except KeyboardInterrupt:
        status, reason = 130, "Stopped; what is in the run's folder stays."
    except (DialError, RuntimeError, OSError) as error:
        status, reason = 2 if isinstance(error, DialError) else 1, error
    print(reason, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
