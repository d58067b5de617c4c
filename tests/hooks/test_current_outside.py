"""`current` outside of programs: what looks at objects without knowing them finds no attributes, and no surprise."""
from __future__ import annotations

import doctest
import inspect
from types import ModuleType
from unittest import mock

import pytest

from bpfwright.errors import InsideOnly
from bpfwright.helpers import current


def test_asking_is_no_error_and_using_is() -> None:
    assert not hasattr(current, "x") and not hasattr(current, "pid") and getattr(current, "comm", None) is None
    with pytest.raises(InsideOnly):
        _ = current.pid


def test_tools_look_at_it() -> None:
    assert inspect.unwrap(current) is current  # type: ignore[arg-type]  # asks for __wrapped__
    assert mock.create_autospec(current) is not None
    module = ModuleType("looked_at")
    module.current = current  # type: ignore[attr-defined]
    assert doctest.DocTestFinder().find(module, "looked_at", module) is not None
