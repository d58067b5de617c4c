"""Records every example at its work and keeps the recordings, with what was printed, in tests/data/recordings.

    sudo .venv/bin/python scripts/record_examples.py [FOLDER]

Their tests do the work, on this kernel; the two that need none are started for a moment. The one that guards a file
runs on a kernel of the VM lab, since not every kernel has security hooks. Paths of this machine are replaced by others
of the same length: what a program reads is bytes to it, so that the replay prints those.
"""
from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).parent.parent
sys.path[:0] = [str(TOP / "src"), str(TOP)]

from bpfwright.formats.recording import Note, Recording  # noqa: E402  # after the path is set

FOLDER = TOP / "tests" / "data" / "recordings"
SHORT = {"run_queue_latency": "0.3", "syscall_latency": "0.03"}
GUARD = "lsm_file_guard"
_OURS = re.compile(rb"/(?:work|root|home|tmp|build|github)(?:/[^\0\n]*)?")


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "bpfwright.cli", "run", "--record", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(TOP / "src")}


def by_their_tests(folder: Path) -> None:
    names = "not " + " and not ".join(SHORT)
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/examples/test_replays.py",
                    "-k", names, "--keep-recordings", str(folder)], cwd=TOP, env=environment(), check=True)


def by_themselves(folder: Path) -> None:
    for name, seconds in SHORT.items():
        done = subprocess.run([*command(str(folder / f"{name}.rec"), str(TOP / "examples" / f"{name}.py"), "--",
                                        seconds)], env=environment(), check=True, stdout=subprocess.PIPE, text=True)
        (folder / f"{name}.txt").write_text(done.stdout)


def in_the_lab(folder: Path) -> None:
    from vmtest import boot, kernels
    said: dict[str, str] = {}

    def line(text: str) -> None:
        name, _, data = text.partition(" ")
        said[name] = data

    outcome = boot.run(kernels.get("6.12"), [sys.executable, __file__, "--in-guest"], folder=str(TOP),
                       environment={**environment(), "XDG_CACHE_HOME": "/run/cache"}, timeout_s=300, on_line=line)
    if outcome.status != 0:
        raise SystemExit(f"the guest failed: {outcome.console}\n{outcome.stderr}")
    for kind in ("rec", "txt"):
        (folder / f"{GUARD}.{kind}").write_bytes(base64.b64decode(said[kind]))


def in_guest() -> None:
    """Guard a file, try to open it twice, and print the recording and what was said."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        secret, kept = Path(folder) / "secret", Path(folder) / "kept.rec"
        secret.write_text("x")
        example = subprocess.Popen(command(str(kept), str(TOP / "examples" / f"{GUARD}.py"), "--", str(secret), "8"),
                                   stdout=subprocess.PIPE, text=True)
        denied = 0
        while denied < 2 and example.poll() is None:
            try:
                secret.read_text()
                time.sleep(0.2)
            except PermissionError:
                denied += 1
        out, _ = example.communicate()
        print("txt", base64.b64encode(out.encode()).decode())
        print("rec", base64.b64encode(kept.read_bytes()).decode(), flush=True)


def elsewhere(data: bytes) -> bytes:
    """The same with paths of this machine replaced by others as long."""
    def other(found: re.Match[bytes]) -> bytes:
        path = found[0]
        base = path.rsplit(b"/", 1)[-1]
        room = len(path) - len(base) - 1
        return b"/opt/" + b"_" * (room - 5) + b"/" + base if room >= 5 else b"/" + b"_" * (len(path) - 1)

    return _OURS.sub(other, data)


def anonymous(recording: Recording) -> Recording:
    runs = [run._replace(entries=tuple(entry._replace(data=elsewhere(entry.data)) for entry in run.entries))
            for run in recording.runs]
    words = [elsewhere(word.encode()).decode() for word in recording.facts["words"]]
    notes = [Note(note.what, note.before, note.after, _changed(note.data)) for note in recording.notes]
    return Recording({**recording.facts, "words": words, "kernel": ""}, recording.programs, runs, notes)


def _changed(value: object) -> object:
    if isinstance(value, str):
        return elsewhere(value.encode()).decode()
    return [_changed(each) for each in value] if isinstance(value, list) else value


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        by_their_tests(here)
        by_themselves(here)
        in_the_lab(here)
        for path in sorted(here.glob("*.rec")):
            made = anonymous(Recording.open(str(path)))
            made.write(str(folder / path.name))
            text = elsewhere_in_lines((here / f"{path.stem}.txt").read_bytes())
            (folder / f"{path.stem}.txt").write_bytes(text)
            print(f"{path.stem}: {len(made.runs):,} runs, {(folder / path.name).stat().st_size:,} bytes")
        (folder / "packet_capture.pcap").write_bytes((here / "packet_capture.pcap").read_bytes())


def elsewhere_in_lines(text: bytes) -> bytes:
    return b"\n".join(elsewhere(line) for line in text.split(b"\n"))


if __name__ == "__main__":
    if sys.argv[1:] == ["--in-guest"]:
        in_guest()
    else:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
