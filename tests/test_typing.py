"""The stand-ins for `typing` at run time, and that a cached start loads nothing that is not needed."""
from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Literal as TypingLiteral

import pytest

from bpfwright import L, Struct, char
from bpfwright._typing import Generic, NamedTuple, TypeVar
from bpfwright.types.ctype import ctype_of

TOP = Path(__file__).parents[1]
TRACER = TOP / "bench" / "tracers" / "opens.py"
HEAVY = {"typing", "re", "enum", "json", "collections", "functools", "contextlib", "inspect", "dataclasses", "ast",
         "linecache", "numpy", "llvmlite", "subprocess"}
T = TypeVar("T")


class Point(NamedTuple):
    x: int
    y: int = 2


class Box(Generic[T]):
    pass


def test_a_named_tuple_is_made_by_place_and_by_name() -> None:
    assert Point(1) == (1, 2) == Point(x=1) and Point(1, y=5).y == 5
    assert repr(Point(1)) == "Point(x=1, y=2)" and Point(1)._replace(x=4) == Point(4)
    assert Point._fields == ("x", "y") and Point(1)._asdict() == {"x": 1, "y": 2}
    match Point(3, 4):
        case Point(a, b):
            assert (a, b) == (3, 4)


@pytest.mark.parametrize(("given", "named"), [((), {}), ((1, 2, 3), {}), ((1,), {"x": 1}), ((1,), {"z": 1})])
def test_a_named_tuple_refuses_what_does_not_fit(given: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point\(x, y\)"):
        Point(*given, **named)


def test_a_named_tuple_is_copied_and_pickled() -> None:
    point = Point(7, 8)
    assert copy.deepcopy(point) == point == pickle.loads(pickle.dumps(point))
    assert type(copy.copy(point)) is Point


def test_generics_keep_their_arguments() -> None:
    assert Box[int].__args__ == (int,)  # type: ignore[attr-defined]
    assert isinstance(Box[int](), Box)


def test_typings_own_names_work_in_users_annotations() -> None:
    class Both(Struct):
        ours: char[L[8]]
        theirs: char[TypingLiteral[4]]

    assert ctype_of(Both).size == 12


@pytest.mark.kernel
def test_a_cached_start_loads_nothing_heavy(tmp_path: Path) -> None:
    script = (f"import sys; before = set(sys.modules); sys.argv = ['x', '0']\n"
              f"sys.path.insert(0, {str(TOP / 'src')!r})\n"
              f"sys.path.append({str(next(p for p in map(Path, sys.path) if p.name == 'site-packages'))!r})\n"
              f"exec(compile(open({str(TRACER)!r}).read(), {str(TRACER)!r}, 'exec'))\n"
              "print(*sorted(set(sys.modules) - before))")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-I", "-S", "-c", script], env={"XDG_CACHE_HOME": str(tmp_path)},
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & HEAVY
