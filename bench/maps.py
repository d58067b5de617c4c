"""Filling maps from Python: a hash of a million entries from NumPy columns, and from a dict of address strings.

    sudo .venv/bin/python bench/maps.py [--quick] [--rounds N]

The hash is preallocated and empty at each start. Each way's entries are counted and some are read back. The LPM trie
takes networks as text, one at a time by m[k] = v. Times are CPU time; --quick fills a tenth once.
"""
from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bpfwright import load, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, LpmTrie

COLUMNS_BAR, DICT_BAR = 1.0, 0.3  # million entries a second
MILLION = 1_000_000

table = Hash[IPv4.Address, u64](max_entries=MILLION)
trie = LpmTrie[IPv4.Address, u64](max_entries=MILLION)


@xdp.program
def looking(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is not None and (ip.source in table or ip.source in trie):
        return xdp.DROP
    return xdp.PASS


def address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def columns(count: int) -> Callable[[], None]:
    keys = (numpy.arange(count, dtype=">u4") + (10 << 24)).astype(">u4")
    values = numpy.arange(count, dtype="<u8")
    return lambda: table.update_columns(keys, values)


def texts(count: int) -> Callable[[], None]:
    entries = {address(number): number for number in range(count)}
    return lambda: table.update(entries)  # type: ignore[arg-type]


def one_by_one(count: int) -> Callable[[], None]:
    entries = {address(number): number for number in range(count)}

    def fill() -> None:
        for key, value in entries.items():
            table[key] = value  # type: ignore[index]
    return fill


def networks(count: int) -> Callable[[], None]:
    entries = {f"{address(number * 256)}/24": number for number in range(count)}

    def fill() -> None:
        for key, value in entries.items():
            trie[key] = value
    return fill


Way = tuple[str, Callable[[int], Callable[[], None]], int, float]
WAYS: list[Way] = [
    ("hash, update_columns(NumPy)", columns, 1, COLUMNS_BAR),
    ("hash, update(dict of address strings)", texts, 1, DICT_BAR),
    ("hash, m[text] = n, one at a time", one_by_one, 10, 0.0),
    ("LPM trie, m[text/24] = n, one at a time", networks, 20, 0.0),
]


def fill(make: Callable[[int], Callable[[], None]], count: int) -> float:
    """Million entries a second of CPU time, into fresh maps; what went in is checked."""
    run = make(count)
    with load(looking):
        began = time.process_time()
        run()
        took = time.process_time() - began
        if make is networks:
            assert trie[f"{address((count - 1) * 256)}/24"] == count - 1
        else:
            assert len(table) == count
            for number in (0, 1, count // 2, count - 1):
                assert table[IPv4.Address(address(number))] == number
    return count / took / 1e6


def report(count: int, rounds: int) -> tuple[str, bool]:
    """The table, and whether the bars are met."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make, part, _ in WAYS:
            found.setdefault(name, []).append(fill(make, count // part))
    rows: list[list[object]] = []
    for name, _, part, bar in WAYS:
        middle = statistics.median(found[name])
        rows.append([name, count // part, max(found[name]), middle, bar or "", measuring.verdict(middle >= bar)
                     if bar else "stated"])
    text = measuring.table(["filling", "entries", "best M/s", "median M/s", "bar", ""], rows)
    return text, all(row[-1] != "MISSED" for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the entries, once")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(MILLION // 10, 1) if chosen.quick else report(MILLION, chosen.rounds)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
