"""The guide tells the truth: the Python of each page is one module that checks, loads and runs; nothing public is left
out of the reference."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bpfwright import load
from bpfwright.cli.sources import load_module, programs_of

TOP = Path(__file__).parent.parent
GUIDE = TOP / "docs" / "guide"
PAGES = sorted(path.stem for path in GUIDE.glob("*.md") if "```python" in path.read_text())
TRIED = {"first-program": ("test_drops_telnet",), "maps": ("count_runs",), "tools": ("disk_latency",),
         "tracing": ("all_three",),
         "profiling": ("slowest",), "blast": ("first_frames",)}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each page's Python as a file."""
    folder = tmp_path_factory.mktemp("guide")
    for page in PAGES:
        blocks = re.findall(r"```python\n(.*?)```", (GUIDE / f"{page}.md").read_text(), re.DOTALL)
        (folder / f"guide_{page.replace('-', '_')}.py").write_text("\n".join(blocks))
    return folder


def test_there_is_python_to_try() -> None:
    assert len(PAGES) >= 4


def test_the_guide_passes_a_strict_checker(modules: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(modules / ".cache"),
                           *(str(path) for path in modules.glob("*.py"))], cwd=modules, capture_output=True, text=True,
                          env={**os.environ, "MYPYPATH": str(TOP / "src")})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kernel
@pytest.mark.parametrize("page", PAGES)
def test_the_guides_programs_load_and_run(modules: Path, page: str) -> None:
    names: dict[str, Any] = vars(load_module(str(modules / f"guide_{page.replace('-', '_')}.py")))
    programs = programs_of(names)
    assert programs or page in TRIED
    for program in programs:
        load(program).close()
    for name in TRIED.get(page, ()):
        names[name]()


@pytest.mark.parametrize("room", ["hooks", "maps", "headers", "helpers"])
def test_the_reference_has_every_public_module(room: str) -> None:
    there = re.findall(r"^::: bpfwright\.(\S+)$", (TOP / "docs" / "reference" / f"{room}.md").read_text(), re.MULTILINE)
    files = (TOP / "src" / "bpfwright" / room).glob("[a-z]*.py")
    assert sorted(there) == sorted(f"{room}.{path.stem}" for path in files)


RULES_V4 = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
-A FORWARD -j DROP
COMMIT
"""


@pytest.mark.kernel
@pytest.mark.parametrize(("page", "number"), [
    (page, number) for page in ("docs/guide/network.md", "README.md")
    for number in range((TOP / page).read_text().count("```yaml\n"))])
def test_the_configurations_of_the_guide_load(tmp_path: Path, page: str, number: int) -> None:
    """Each of them, in a namespace with such an interface."""
    from bpfwright.datapath.sections import facets
    from bpfwright.datapath.controller import Controller
    from bpfwright.kernel.namespace import NetworkNamespace
    from bpfwright.kernel.netlink import Netlink
    from vmtest.c_programs import compile_c
    text = re.findall(r"```yaml\n(.*?)```", (TOP / page).read_text(), re.DOTALL)[number]
    (tmp_path / "bad.txt").write_text("203.0.113.0/24\n")
    (tmp_path / "rules.v4").write_text(RULES_V4)
    (tmp_path / "guard.o").write_bytes(compile_c('SEC("xdp") int guard(struct xdp_md *ctx) { return 2; }')["object"])
    for sid, name in enumerate(("local", "emerging"), 1):
        (tmp_path / f"{name}.rules").write_text(f'alert tcp any any -> $HOME_NET 80 (content:"{name}"; sid:{sid};)\n')
    shutil.copy(TOP / "examples" / "own_protocol" / "telemetry.py", tmp_path)
    with NetworkNamespace.create() as space, space.entered(), Controller("docs", facets()) as controller:
        with Netlink() as netlink:
            netlink.create_veth("eth0", "far")
        assert controller.check(text, str(tmp_path / "net.yaml"))
