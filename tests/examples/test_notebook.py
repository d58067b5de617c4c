"""The notebook answers its questions, in a real Jupyter kernel, and draws what it found."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "questions.ipynb"


@pytest.mark.kernel
def test_the_notebook_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1] / "src"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    book: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [output["data"]["text/html"] for cell in book.cells if cell.cell_type == "code"
                for output in cell.outputs if "text/html" in output.get("data", {})]
    assert len(pictures) == 4
    reads, opens, again, stacks = pictures
    assert "@latency[" in reads and "background:" in reads
    assert "<th>process</th>" in opens
    assert again.startswith("<table")
    assert "<td" in stacks and "<br>" in stacks
