"""Execute a notebook in a fresh kernel, and keep it with an HTML copy."""

import asyncio
import html
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbconvert import HTMLExporter

VIEW = "application/vnd.jupyter.widget-view+json"


def execute(notebook, path: Path, target: Path, environment: dict) -> None:
    """Execute a notebook in the folder of its file `path`.

    It is changed in place, and written to `target`, with an HTML copy, even if
    a cell or the kernel fails: a RuntimeError, whose message is one line.
    """
    try:
        run_cells(notebook, path, environment)
    except RuntimeError as error:
        raise RuntimeError(f"{error} (see {shown(target)}.html)") from None
    finally:
        nbformat.write(notebook, f"{target}.ipynb")
        title = {"metadata": {"name": path.stem}}
        page, _ = HTMLExporter().from_notebook_node(notebook, title)
        page = re.sub(r'(href="\d\d_\w+)\.ipynb\b', r"\1.html", page)
        Path(f"{target}.html").write_text(page, encoding="utf-8")


def run_cells(notebook, path: Path, environment: dict) -> None:
    """Execute a notebook in place, showing a line for each cell.

    Args:
        notebook: As for `execute`.
        path: As for `execute`.
        environment: As for `execute`.

    Raises:
        RuntimeError: As `execute`.
    """
    client = NotebookClient(notebook, timeout=None, coalesce_streams=True)
    client.km = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    start = time.monotonic()
    try:
        asyncio.run(_run_all(client, path, os.environ | environment))
    finally:
        say(f"{path.stem}  {time.monotonic() - start:.1f} s in all", "\n")
        _keep_last_state(notebook, client.widget_state)
        client.set_widgets_metadata()


async def _run_all(client: NotebookClient, path: Path, env: dict) -> None:
    """Run the code cells; leave no kernel behind, not even after Ctrl-C."""
    cells, manager = client.nb.cells, client.km
    code = [i for i, c in enumerate(cells) if c.cell_type == "code"]
    where = f"{path.stem}: the kernel did not start"
    options = {"env": env, "stderr": asyncio.subprocess.DEVNULL}
    try:
        await client.async_start_new_kernel(cwd=str(path.parent), **options)
        await client.async_start_new_kernel_client()
        for number, index in enumerate(code, 1):
            title = _heading(cells[:index])
            where = f"{path.stem}, cell {number} ({title})"
            label = f"{path.stem}  [{number:2}/{len(code)}]"
            await _run_cell(client, index, label, title)
    except CellExecutionError as error:
        reason = (error.evalue.strip().splitlines() or [""])[0]
        raise RuntimeError(f"{where}: {error.ename}: {reason}") from None
    except DeadKernelError:
        if asyncio.current_task().cancelling():  # by Ctrl-C
            raise asyncio.CancelledError from None
        raise RuntimeError(f"{where}: Python died; out of memory?") from None
    except Exception as error:  # of the connection, so of many kinds
        raise RuntimeError(
            f"{where}: {error}; too few open files (ulimit -n), or no memory?"
        ) from None
    finally:
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
        if client.kc:
            client.kc.stop_channels()


async def _run_cell(client, index: int, label: str, title: str) -> None:
    """Run one cell and show how long it takes, each second on a terminal."""
    start = time.monotonic()

    def show():
        say(f"{label} {time.monotonic() - start:6.1f} s  {title}")

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
    """Return the last heading of these cells."""
    text = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return (re.findall(r"^#+ +(.+)", text, re.MULTILINE) or ["start"])[-1]


def _keep_last_state(notebook, states: dict) -> None:
    """Show each progress bar as text, in its last state, in place of a widget.

    The text beside a widget is the one it had when it was made, and a copy
    that is read without its kernel may show nothing else.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get(VIEW, {})
            parts = states.get(view.get("model_id"), {}).get("children", [])
            parts = [states[part.removeprefix("IPY_MODEL_")] for part in parts]
            names = [part["_model_name"] for part in parts]
            if names == ["HTMLModel", "FloatProgressModel", "HTMLModel"]:
                text = "".join(parts[i].get("value", "") for i in (0, 2))
                text = html.unescape(text).replace("\u2007", " ")
                output["data"] = {"text/plain": text}


def say(line: str, end: str = "") -> None:
    """Print a line; on a terminal the next one replaces it."""
    on_terminal = sys.stdout.isatty()
    if on_terminal:
        line = f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}"
    print(line, end=end if on_terminal else "\n", flush=True)


def shown(path: str | Path) -> str:
    """Return a path as it is shown: from the working directory if inside."""
    return str(path).removeprefix(f"{Path.cwd()}{os.sep}")
