"""Profiles for pprof, read by Google's protobuf library by profile.proto's schema, and by pprof itself where Go is."""
from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields

from bpfwright.facets.profile import Frame, Options, Profile, profile

from . import workloads as w

# github.com/google/pprof, proto/profile.proto: message -> field -> (number, type); `*` for repeated ones.
SCHEMA = {
    "Profile": {"sample_type": (1, "ValueType*"), "sample": (2, "Sample*"), "mapping": (3, "Mapping*"),
                "location": (4, "Location*"), "function": (5, "Function*"), "string_table": (6, "string*"),
                "drop_frames": (7, "int64"), "keep_frames": (8, "int64"), "time_nanos": (9, "int64"),
                "duration_nanos": (10, "int64"), "period_type": (11, "ValueType"), "period": (12, "int64"),
                "comment": (13, "int64*"), "default_sample_type": (14, "int64"), "doc_url": (15, "int64")},
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Sample": {"location_id": (1, "uint64*"), "value": (2, "int64*"), "label": (3, "Label*")},
    "Label": {"key": (1, "int64"), "str": (2, "int64"), "num": (3, "int64"), "num_unit": (4, "int64")},
    "Mapping": {"id": (1, "uint64"), "memory_start": (2, "uint64"), "memory_limit": (3, "uint64"),
                "file_offset": (4, "uint64"), "filename": (5, "int64"), "build_id": (6, "int64"),
                "has_functions": (7, "bool"), "has_filenames": (8, "bool"), "has_line_numbers": (9, "bool"),
                "has_inline_frames": (10, "bool")},
    "Location": {"id": (1, "uint64"), "mapping_id": (2, "uint64"), "address": (3, "uint64"), "line": (4, "Line*"),
                 "is_folded": (5, "bool")},
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64"), "column": (3, "int64")},
    "Function": {"id": (1, "uint64"), "name": (2, "int64"), "system_name": (3, "int64"), "filename": (4, "int64"),
                 "start_line": (5, "int64")},
}
TYPES = {"int64": 3, "uint64": 4, "bool": 8, "string": 9}  # FieldDescriptorProto.Type; 11 for messages
SHELL, MAIN = Frame("sh", "process"), Frame("main", "user", "/bin/x")
WORK = Frame("wörk<T>", "user", "/bin/x", "/s/a.c", 7)


def schema() -> Any:
    """The class of the message Profile."""
    file = descriptor_pb2.FileDescriptorProto(name="profile.proto", package="perftools.profiles", syntax="proto3")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, type) in fields.items():
            plain = type.rstrip("*")
            made = message.field.add(name=field, number=number, label=3 if type.endswith("*") else 1,
                                     type=TYPES.get(plain, 11))
            if plain not in TYPES:
                made.type_name = f".perftools.profiles.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


def parsed(taken: Profile) -> Any:
    """The message, when everything in it is as pprof's own check (Profile.CheckValid) wants it."""
    made = taken.text("pprof")
    assert isinstance(made, bytes)
    read = schema()()
    read.ParseFromString(gzip.decompress(made))
    assert len(unknown_fields.UnknownFieldSet(read)) == 0
    texts = len(read.string_table)
    assert read.string_table[0] == "" and len(set(read.string_table)) == texts
    groups = read.mapping, read.function, read.location
    mappings, functions, locations = ([one.id for one in group] for group in groups)
    for ids in (mappings, functions, locations):
        assert 0 not in ids and len(set(ids)) == len(ids)
    for location in read.location:
        assert location.mapping_id in {0, *mappings} and all(line.function_id in functions for line in location.line)
        assert location.line
    for function in read.function:
        assert all(0 < number < texts for number in (function.name, function.system_name)) and function.filename < texts
    for sample in read.sample:
        assert len(sample.value) == len(read.sample_type) and set(sample.location_id) <= set(locations)
        assert all(0 < label.key < texts and 0 < label.str < texts for label in sample.label)
    return read


def stacks_of(read: Any) -> dict[tuple[str, ...], list[int]]:
    """Names, outermost first, with what each weighs."""
    names = {function.id: read.string_table[function.name] for function in read.function}
    at = {location.id: names[location.line[0].function_id] for location in read.location}
    found: dict[tuple[str, ...], list[int]] = {}
    for sample in read.sample:
        names_here = tuple(at[number] for number in reversed(sample.location_id))
        known = found.setdefault(names_here, [0] * len(sample.value))
        found[names_here] = [a + b for a, b in zip(known, sample.value, strict=True)]
    return found


def test_what_is_written_is_read() -> None:
    period = round(1e9 / 99)
    read = parsed(Profile({(SHELL, MAIN): 5, (SHELL, MAIN, WORK): 70, (SHELL,): 1 << 33}, hz=99, duration_s=1.5))
    assert stacks_of(read) == {("sh", "main"): [5, 5 * period], ("sh", "main", "wörk<T>"): [70, 70 * period],
                               ("sh",): [1 << 33, period << 33]}
    kinds = [(read.string_table[one.type], read.string_table[one.unit]) for one in read.sample_type]
    assert kinds == [("samples", "count"), ("cpu", "nanoseconds")]
    assert (read.period, read.duration_nanos) == (period, 1_500_000_000)
    assert read.string_table[read.period_type.unit] == "nanoseconds"
    work = next(one for one in read.function if read.string_table[one.name] == "wörk<T>")
    assert (read.string_table[work.filename], work.start_line) == ("/s/a.c", 7)
    assert [read.string_table[one.filename] for one in read.mapping] == ["/bin/x"]
    labels = {(label.key, label.str) for one in read.sample for label in one.label}
    assert [(read.string_table[key], read.string_table[text]) for key, text in labels] == [("process", "sh")]


def test_waiting_and_nothing_at_all() -> None:
    read = parsed(Profile({(SHELL, MAIN): 2_000_000}, unit="ns"))
    assert stacks_of(read) == {("sh", "main"): [2_000_000]} and read.period == 0
    assert not parsed(Profile({})).sample


@pytest.mark.kernel
def test_a_profile_that_was_taken(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    taken = profile(options=Options(hz=499, command=(path, "400")))
    stacks = stacks_of(parsed(taken))
    assert sum(values[0] for values in stacks.values()) == taken.total > 20
    chain = sum(values[0] for names, values in stacks.items() if names[-5:] == tuple(w.CHAIN))
    assert chain > 0.5 * taken.total
    if shutil.which("go"):
        taken.write(str(tmp_path / "taken.pb.gz"), "pprof")
        command = ["go", "tool", "pprof", "-top", "-sample_index=samples", str(tmp_path / "taken.pb.gz")]
        said = subprocess.run(command, capture_output=True, text=True, check=True,
                              env={**os.environ, "HOME": str(tmp_path)})
        assert f"of {taken.total} total" in said.stdout
        own = re.search(r"^\s*(\d+)\s.*\sspin$", said.stdout, re.MULTILINE)
        assert own is not None and int(own[1]) == next(own for frame, own, _ in taken.top(99) if frame.name == "spin")
