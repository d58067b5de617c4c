"""The tables that name files by number are what the files themselves say."""
from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import bpfwright
from bpfwright._abi.helpers import HELPER_NAMES
from bpfwright.helpers.bodies import BODIES, KERNEL_FUNCTIONS
from bpfwright.hooks import running
from bpfwright.maps import stores
from bpfwright.userspace.calls import PYTHON, STORE_CALLS

HERE = Path(bpfwright.__file__).parent


def modules(room: str) -> dict[str, ModuleType]:
    folder = HERE.joinpath(*room.split("."))
    return {path.stem: import_module(f"bpfwright.{room}.{path.stem}") for path in sorted(folder.glob("[!_]*.py"))}


def test_stores() -> None:
    found = {kind: name for name, module in modules("maps.stores").items() for kind in module.KINDS}
    assert found == stores.FILES
    for place in stores.HELPERS.values():
        file, _, name = place.partition(":")
        assert callable(getattr(import_module(f"bpfwright.maps.stores.{file}"), name))


def test_contexts() -> None:
    found = {kind: name for name, module in modules("hooks.running").items() for kind in getattr(module, "TYPES", ())}
    assert found == running.FILES


def test_helpers() -> None:
    for number, place in (*BODIES.items(), *KERNEL_FUNCTIONS.items()):
        file, _, name = place.partition(":")
        module = import_module(f"bpfwright.helpers.bodies.{file}")
        assert name in module.__all__, (number, place)
    named = {*BODIES.values(), *KERNEL_FUNCTIONS.values()}
    constants = {"BUFFER", "BUFFER_END", "DATA", "DATA_END", "MAC", "NETWORK", "packet_load"}
    for file, module in modules("helpers.bodies").items():
        unused = {name for name in module.__all__ if f"{file}:{name}" not in named} - constants
        assert not unused, (file, unused)


def test_no_helper_has_two_bodies() -> None:
    tables = [set(BODIES), set(stores.HELPERS), set(PYTHON), set(STORE_CALLS)]
    every = [number for table in tables for number in table]
    assert len(every) == len(set(every)) and set(every) <= set(HELPER_NAMES)
    for place in PYTHON.values():
        file, _, name = place.partition(":")
        assert name in import_module(f"bpfwright.userspace.{file}").__all__, place


def test_words_of_the_machines_page_do_not_overlap() -> None:
    from bpfwright.spec import page
    places = {name: value for name, value in vars(page).items() if name.isupper() and value > page.PAGE}
    lengths = {"COMM": 16, "ANCESTORS": 128, "DESCENT": 256, "CPUS": 4, "FAULT": 4, "FAULT_SLOT": 4}
    ends = [(at, at + lengths.get(name, 8), name) for name, at in places.items() if name != "JIFFY_NS"]
    for (_, end, one), (start, _, two) in zip(sorted(ends), sorted(ends)[1:], strict=False):
        assert end <= start, (one, two)
