"""Write one page about a run: `report.html`, from the notebook beside it."""

import html
from pathlib import Path

from nbconvert import HTMLExporter

from execute import run_cells

NOTEBOOK = Path(__file__).with_name("report.ipynb")
# Pictures and tables lie within the page, so that it can be sent as one file.
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; color: #222;
    background: #fff; max-width: 60rem; margin: auto; padding: 1rem; }}
  h1, h2, h3 {{ line-height: 1.2; margin: 1.5em 0 0.4em; break-after: avoid; }}
  p, li {{ margin: 0.4em 0; overflow-wrap: anywhere; }}
  li {{ margin-left: 1.2em; }}
  img {{ max-width: 100%; height: auto; }}
  .anchor-link {{ display: none; }}
  .output_subarea {{ overflow-x: auto; }}
  table {{ border-collapse: collapse; font-size: 0.9rem; }}
  th, td {{ padding: 0.25em 0.6em; text-align: right;
    border-bottom: 1px solid #ccc; }}
  th:first-child, td:first-child {{ text-align: left;
    overflow-wrap: anywhere; min-width: 5rem; }}
  .pictures {{ display: grid; gap: 0.6rem; margin: 0.6rem 0;
    grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); }}
  figure {{ margin: 0; break-inside: avoid; }}
  figure img {{ width: 100%; display: block; }}
  figcaption {{ font-size: 0.8rem; line-height: 1.3;
    overflow-wrap: anywhere; }}
  @media print {{ body {{ max-width: none; padding: 0; font-size: 10pt; }} }}
</style>
<body>
{body}
</body>
</html>
"""


def write_report(notebook, out: Path, environment: dict) -> Path:
    """Execute the report's notebook, and keep its outputs as one page.

    Args:
        notebook: What `NOTEBOOK` holds, with its parameters set.
        out: Directory of the run.
        environment: As for `execute`.

    Returns:
        `<out>/report.html`.

    Raises:
        RuntimeError: If a cell fails; the message is one line.
    """
    run_cells(notebook, NOTEBOOK, environment)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    title = html.escape(f"Report: {out.name}")
    page = out / "report.html"
    page.write_text(PAGE.format(title=title, body=body), "utf-8")
    return page
