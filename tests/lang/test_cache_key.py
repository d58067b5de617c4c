"""What an object depends on: each change of it compiles anew, nothing else does."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import _llvm
from bpfwright.lang.capture import Captures
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import Target
from bpfwright.objfile import read
from bpfwright.types import Config

TEXT = """
from bpfwright import Config, Struct, log, u32, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash
LIMIT = 5
class Entry(Struct):
    count: u64
class Limits(Config):
    most: u64 = 3
limits = Limits()
table = Hash[u32, Entry](max_entries=8)
def helper(x):
    return x + LIMIT
@xdp.program
def program(ctx: xdp.Context) -> xdp.Action:
    entry = table.get(u32(helper(ctx.length)))
    if entry is None:
        return xdp.PASS
    entry.count += limits.most
    return xdp.DROP
"""


def program_of(text: str) -> Any:
    import linecache
    file = "<cache test>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": "cache_test"}
    exec(compile(text, file, "exec"), space)
    return space["program"]


@pytest.fixture
def compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How often LLVM was asked, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked: list[int] = []
    real = _llvm.compile_bpf

    def counted(*arguments: Any, **more: Any) -> Any:
        asked.append(1)
        return real(*arguments, **more)

    monkeypatch.setattr(_llvm, "compile_bpf", counted)
    yield asked


def test_the_second_time_comes_from_the_cache(compiles: list[int]) -> None:
    program = program_of(TEXT)
    first = compile_programs([program], Target())
    second = compile_programs([program], Target())
    assert len(compiles) == 1 and first.elf == second.elf
    assert set(second.maps) == {"table"} and second.maps["table"] is first.maps["table"]
    compile_programs([program], Target("v4"))
    assert len(compiles) == 2


@pytest.mark.parametrize(("before", "after"), [
    ("LIMIT = 5", "LIMIT = 6"), ("count: u64", "count: u64\n    more: u64"), ("most: u64 = 3", "most: u64 = 4"),
    ("max_entries=8", "max_entries=9"), ("return x + LIMIT", "return x - LIMIT"), ("xdp.DROP", "xdp.TX"),
    ("Hash[u32, Entry]", "Hash[u64, Entry]"),
])
def test_what_changes_the_object_changes_its_key(before: str, after: str) -> None:
    one = Captures([program_of(TEXT).function]).digest()
    assert one == Captures([program_of(TEXT).function]).digest()
    assert one != Captures([program_of(TEXT.replace(before, after)).function]).digest()


def test_a_config_given_at_load_changes_its_key(compiles: list[int]) -> None:
    program = program_of(TEXT)
    (cls,) = Captures([program.function]).configs
    assert issubclass(cls, Config)
    for value in (1, 2, 1):
        compile_programs([program], Target(), {cls: cls(most=value)})
    assert len(compiles) == 2


def test_what_is_read_takes_other_settings_out_of_the_cache(compiles: list[int]) -> None:
    program = program_of(TEXT)
    (cls,) = Captures([program.function]).configs
    made = [compile_programs([program], Target(), {cls: cls(most=value)}, reader=read) for value in (1, 0xABCD, 1)]
    assert len(compiles) == 1
    contents = [next(spec.contents for spec in each.object.maps if spec.data_section == ".rodata.config")
                for each in made if each.object is not None]
    assert contents[0] == contents[2] == b"\x01" + bytes(7) and contents[1] == b"\xcd\xab" + bytes(6)


def test_a_field_has_nothing_to_do_with_a_function_of_its_name() -> None:
    """`from bpfwright.testing import packets` beside `entry.packets`: the function is no part of the program."""
    before = Captures([program_of(TEXT).function])
    after = Captures([program_of(TEXT.replace("LIMIT = 5", "LIMIT = 5\nfrom importlib import import_module as count",
                                              )).function])
    assert len(before.objects) == len(after.objects) == 1
