"""The lab's own parts, without booting anything."""
from __future__ import annotations

import json
import lzma
import os
import signal
import subprocess
import time
import types
from pathlib import Path

import pytest

from vmtest import boot, guest, initramfs, kernels, lab, report
from vmtest.__main__ import main
from vmtest.protocol import Case, Result, case, case_names


def kernel_in(folder: Path) -> kernels.KernelImage:
    """Module files as a kernel package has them: virtio_pci needs two others, one of them compressed."""
    for name, data in (("virtio.ko", b"one"), ("virtio_ring.ko", b"two"), ("virtio_pci.ko", b"three")):
        (folder / name).write_bytes(data)
    (folder / "overlay.ko.xz").write_bytes(lzma.compress(b"four"))
    (folder / "modules.dep").write_text("virtio.ko:\nvirtio_ring.ko: virtio.ko\n"
                                        "virtio_pci.ko: virtio_ring.ko virtio.ko\noverlay.ko.xz:\n")
    return kernels.KernelImage("6.1", "6.1.0-test", folder / "vmlinuz", folder)


@pytest.mark.skipif(not initramfs.BUSYBOX.exists(), reason="needs busybox-static")
def test_the_initramfs_unpacks_and_names_modules_in_order(tmp_path: Path) -> None:
    modules, target = tmp_path / "modules", tmp_path / "target"
    modules.mkdir()
    target.mkdir()
    archive = initramfs.build(kernel_in(modules), ["echo", "it's"], folder="/some where", environment={"A": "b c"})
    unpack = ["busybox", "cpio", "-i", "-d"]
    subprocess.run([str(initramfs.BUSYBOX), *unpack[1:]], cwd=target, input=archive, check=True, capture_output=True)
    assert (target / "modules.list").read_text().split() == ["virtio.ko", "virtio_ring.ko", "virtio_pci.ko",
                                                             "overlay.ko"]
    assert (target / "overlay.ko").read_bytes() == b"four"
    start = (target / "start").read_text()
    assert "export A='b c'" in start and "cd '/some where' && exec echo 'it'\"'\"'s'" in start
    assert "/lib/modules/6.1.0-test" in (target / "init").read_text()
    assert (target / "bin" / "busybox").stat().st_mode & 0o111
    for script in ("init", "start"):
        subprocess.run(["sh", "-n", str(target / script)], check=True)


def test_every_case_says_what_it_shows() -> None:
    assert len(case_names()) >= 20
    for name in case_names():
        found = case(name)
        assert found.title.endswith("."), name
        assert found.since in kernels.SERIES, name
        assert callable(found.module.build) and callable(found.module.check), name


def test_a_hook_must_work_since_its_kernel_and_be_refused_before() -> None:
    multi = case("kprobe_multi")
    assert multi.expected_on("5.10") == {"refused"}
    assert multi.expected_on("6.12") == multi.expected_on("7") == {"ok"}
    assert multi.expected_on("host") == {"ok", "refused"}


def test_the_table_shows_the_worst_of_a_hook_and_what_was_not_tested() -> None:
    def row(hook: str, verdict: str) -> dict[str, str]:
        return {"hook": hook, "verdict": verdict, "title": "", "why": ""}

    records = {"5.10": {"release": "5.10.0-46-cloud", "cases": {"a": row("tc", "ok"), "b": row("tc", "refused")}},
               "7": {"release": "7.3.4+deb13-cloud", "cases": {"a": row("tc", "ok"), "b": row("xdp", "died")}}}
    assert report.table(records).splitlines() == [
        "| hook | Linux 5.10 | Linux 7.3 |", "|---|---|---|", "| tc | no | yes |", "| xdp | not tested | **broken** |"]


def test_a_line_shows_all_of_a_failure_and_one_line_of_a_refusal() -> None:
    refused = Result("a", "refused", 0.1, "too old\nmore")
    good = report.line("6.1", frozenset(("refused",)), refused)
    assert good.startswith("ok ") and good.endswith("too old")
    bad = report.line("6.1", frozenset(("ok",)), refused)
    assert bad.startswith("FAIL") and "more" in bad


def fake_case(name: str) -> Case:
    module = types.SimpleNamespace(HOOK="none", SINCE="5.10", build=lambda: {"text": b"x"}, check=lambda files: None)
    return Case(name, "A test.", "none", "5.10", module)


class Guest:
    """Stands for a booted guest: plays what each boot says."""

    def __init__(self, *boots: tuple[list[str], int | None]) -> None:
        self.boots = list(boots)
        self.asked: list[list[str]] = []

    def run(self, kernel: object, command: list[str], *, on_line: object, **others: object) -> boot.Outcome:
        self.asked.append(command[5:])
        lines, status = self.boots.pop(0)
        for line in lines:
            on_line(line)  # type: ignore[operator]
        return boot.Outcome(status, False, "", "Kernel panic", 1.0)


def test_a_guest_that_dies_boots_again_without_its_killer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = [json.dumps({"start": "a"}), Result("a", "ok", 0.1).line(), "a stray line", json.dumps({"start": "b"})]
    second = [json.dumps({"start": "c"}), Result("c", "ok", 0.1).line()]
    played = Guest((first, None), (second, 0))
    monkeypatch.setattr(boot, "run", played.run)
    seen: list[Result] = []
    run = lab.run_kernel(kernel_in(tmp_path), [fake_case(name) for name in "abc"], tmp_path, seen.append)
    assert [(result.case, result.verdict) for result in run.results] == [("a", "ok"), ("b", "died"), ("c", "ok")]
    assert seen == run.results and "Kernel panic" in run.results[1].detail
    assert played.asked == [["a", "b", "c"], ["c"]]


def test_a_guest_that_never_comes_up_is_tried_three_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    played = Guest(([], None), ([], None), ([], None))
    monkeypatch.setattr(boot, "run", played.run)
    run = lab.run_kernel(kernel_in(tmp_path), [fake_case("a")], tmp_path, lambda result: None)
    assert [result.verdict for result in run.results] == ["died"] and not played.boots
    assert capsys.readouterr().err.count("did not come up") == 3


def test_a_case_that_does_not_build_is_reported(tmp_path: Path) -> None:
    broken = fake_case("broken")
    broken.module.build = lambda: {"text": b"".join([])[0]}  # type: ignore[method-assign,dict-item]
    failed = lab.build_cases([broken, fake_case("good")], tmp_path)
    assert [result.case for result in failed] == ["broken"] and "IndexError" in failed[0].detail
    assert (tmp_path / "good" / "text").read_bytes() == b"x"


def test_checks_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bpfwright.errors import NotSupported

    def refuse(files: dict[str, bytes]) -> None:
        raise NotSupported("no kprobe.multi here", since="5.18")

    def fail(files: dict[str, bytes]) -> None:
        assert files == {"text": b"y"}

    def hang(files: dict[str, bytes]) -> None:
        time.sleep(30)

    def leak(files: dict[str, bytes]) -> None:
        leaked.append(os.open("/dev/null", os.O_RDONLY))

    leaked: list[int] = []
    verdicts = {}
    previous = signal.signal(signal.SIGALRM, guest.stop)
    for check in (refuse, fail, hang, leak):
        found = fake_case(check.__name__)
        found.module.check = check  # type: ignore[method-assign]
        lab.build_cases([found], tmp_path)
        monkeypatch.setattr(guest, "case", lambda name, found=found: found)
        verdicts[check.__name__] = guest.timed(check.__name__, tmp_path, 0.3)
    signal.signal(signal.SIGALRM, previous)
    os.close(leaked[0])
    assert {name: result.verdict for name, result in verdicts.items()} == {
        "refuse": "refused", "fail": "failed", "hang": "failed", "leak": "failed"}
    assert "5.18" in verdicts["refuse"].detail and "out of time" in verdicts["hang"].detail
    assert "/dev/null" in verdicts["leak"].detail


def test_wrong_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["4.19"])
    assert ended.value.code == 2 and "5.10" in capsys.readouterr().err
    assert main(["-k", "no such case"]) == 2
    assert "kprobe" in capsys.readouterr().err
