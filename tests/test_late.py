"""Packages whose names come late: each is found, kept, listed, and what is not there is said as Python says it."""
from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = ("bpfwright", "bpfwright.events", "bpfwright.facets.blast", "bpfwright.facets.profile", "bpfwright.headers",
            "bpfwright.helpers", "bpfwright.maps", "bpfwright.symbols", "bpfwright.testing")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_name_is_found_and_kept(name: str) -> None:
    package = import_module(name)
    assert set(package.__all__) <= set(dir(package))
    for each in package.__all__:
        assert getattr(package, each) is package.__dict__[each], each


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        _ = import_module(name).nothing


@pytest.mark.parametrize("name", PACKAGES)
def test_no_file_is_read_before_it_is_asked_for(name: str) -> None:
    code = f"import sys, {name}; package = sys.modules[{name!r}]; " \
           "print([n for n in package._FILES if n in package.__dict__])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout in ("[]\n", "['Packet']\n")
