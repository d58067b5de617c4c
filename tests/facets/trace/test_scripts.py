"""What was compiled before is used again only where it would be compiled to the same."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.facets.trace.options import Options
from bpfwright.facets.trace.scripts import Compiled, compiled
from bpfwright.kernel import Kernel

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def texts(text: str, file: str = "", *include: str) -> tuple[str, ...]:
    """What the compiled script says, as the texts of its messages."""
    with Kernel() as machine:
        made: Compiled = compiled(text, file, Options(include=include), machine)
    return tuple(part for message in made.plan.messages for part in message.texts if part.startswith("said"))


def test_an_import_that_changes(tmp_path: Path) -> None:
    script = 'import "a.bt"; begin { m(); }'
    main = str(tmp_path / "main.bt")
    (tmp_path / "a.bt").write_text('import "b.bt"; macro m() { n(); }')
    for said in ("said 1", "said 2"):
        (tmp_path / "b.bt").write_text(f'macro n() {{ printf("{said}"); }}')
        assert texts(script, main) == (said,)


def test_a_folder_that_gets_a_script(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    script, main = 'import "all"; begin { printf("said 0"); }', str(tmp_path / "main.bt")
    (folder / "a.bt").write_text("macro m() { 1 }")
    assert texts(script, main) == ("said 0",)
    (folder / "b.bt").write_text('begin { printf("said 1"); }')
    assert set(texts(script, main)) == {"said 0", "said 1"}


def test_a_header_that_changes(tmp_path: Path) -> None:
    header = tmp_path / "own.h"
    for said in ("said 1", "said 2"):
        header.write_text(f'#define SAID "{said}"\n')
        assert texts("#include \"own.h\"\nbegin { printf(SAID); }", "", str(tmp_path)) == (said,)


def test_the_same_words_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("said 1", "said 2"):
        folder = tmp_path / said
        folder.mkdir()
        (folder / "a.bt").write_text(f'macro m() {{ printf("{said}"); }}')
        monkeypatch.chdir(folder)
        assert texts('import "a.bt"; begin { m(); }') == (said,)


def test_one_found_before_the_one_that_was_found(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
    (second / "a.bt").write_text('macro m() { printf("said 2"); }')
    script, main = 'import "a.bt"; begin { m(); }', str(tmp_path / "main.bt")
    assert texts(script, main, str(first), str(second)) == ("said 2",)
    (first / "a.bt").write_text('macro m() { printf("said 1"); }')
    assert texts(script, main, str(first), str(second)) == ("said 1",)


def test_a_program_on_another_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Path("/bin/bash").read_bytes()
    for name in ("1", "2"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "traced-shell").write_bytes(shell)
        (folder / "traced-shell").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        with Kernel() as machine:
            (attachment,) = compiled("u:traced-shell:main { }", "", Options(), machine).plan.attachments
        assert attachment.where[0] == str(folder / "traced-shell")


def test_two_at_once(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "bpfwright", "trace", "-q", "-e", "begin { print(strlen(comm) > 0); }")
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    for each in running:
        out, errors = each.communicate(timeout=60)
        assert (each.returncode, out.strip(), errors) == (0, b"true", b"")


@pytest.mark.parametrize("license", ["GPL", "GPL v2", "Dual BSD/GPL", "Dual MPL/GPL"])
def test_the_license_that_the_kernel_is_told(license: str) -> None:
    with Kernel() as machine:
        for _ in range(2):  # made now, and out of the cache
            made = compiled(f'config = {{ license="{license}" }} begin {{ print(1); }}', "", Options(), machine)
            assert made.object.license == license
            machine.load(made.object).close()
