"""What rules do besides letting packets pass or not: going on, logs, samples, redirects, bytes, ready profiles."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import ConfigurationError
from bpfwright.formats.pcap import read_capture
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, IPv4, IPv6
from bpfwright.userspace import Userspace

from .guard import Guard, settings_of

A, B, C = "192.0.2.7", "192.0.2.8", "198.51.100.9"


def udp(source: str = A, dport: int = 53, sport: int = 9, payload: bytes = b"", **ip: Any) -> Any:
    return Ethernet() / IPv4(source=source, **ip) / UDP(sport=sport, dport=dport) / payload


GOING_ON = """
  rules:
    - {name: friends, match: {source: 192.0.2.8}, action: allow}
    - {name: seen, match: {protocol: udp}, limit: {packets: 1/m, burst: 100}, action: continue}
    - {name: slow, match: {destination-port: 53}, limit: {packets: 1/m, burst: 3, per: source}, action: continue,
       reason: too many questions}
    - {name: bad, match: {source: 198.51.100.0/24}, action: drop}
    - {name: late, match: {protocol: tcp}, limit: {packets: 1/m, burst: 9}, action: continue}
"""


def test_rules_that_go_on(machine: Any) -> None:
    with Guard(GOING_ON, machine) as guard:
        assert [guard.drops(udp()) for _ in range(5)] == [False, False, False, True, True]
        assert not any(guard.drops(udp(B)) for _ in range(9))    # who is allowed before does not come to them
        assert guard.drops(udp(C)) and not guard.drops(udp(dport=54))
        counts = guard.counts()
        assert counts == {"friends": 9, "seen": 7, "slow": 6, "bad": 1, "late": 0, "default in": 4, "default out": 0}
        assert guard.reasons()["too many questions"] == 2
        limited = {row["rule"]: row["limited"] for row in guard.rows() if "rule" in row}
        assert limited["slow"] == 2 and limited["seen"] == 0
        assert not guard.drops(Ethernet() / IPv4(source=A) / TCP())
        assert guard.counts()["late"] == 1


BEYOND = """
  log: LOG
  rules:
    - {name: few, match: {destination-port: 53}, limit: {packets: 1/h, burst: 2, beyond: continue}, action: drop}
    - {name: some, match: {destination-port: [53, 54]}, limit: {packets: 1/h, burst: 3, per: source, beyond: continue},
       action: allow, log: {rate: all, prefix: "some: "}}
    - {name: counted, match: {protocol: udp}, action: continue, count: true}
    - {name: rest, match: {protocol: udp}, action: drop}
    - {name: late, match: {protocol: tcp}, limit: {packets: 1/h, burst: 1, beyond: continue}, action: continue,
       log: true}
"""


def test_what_is_beyond_a_limit_is_for_the_rules_behind(machine: Any, tmp_path: Path) -> None:
    with Guard(BEYOND.replace("LOG", str(tmp_path / "log")), machine) as guard:
        assert [guard.drops(udp()) for _ in range(7)] == [True, True, False, False, False, True, True]
        assert [guard.drops(udp(source=B)) for _ in range(4)] == [False, False, False, True]  # a bucket of its own
        assert [guard.drops(udp(source=A, dport=55)) for _ in range(2)] == [True, True]
        for _ in range(3):
            assert not guard.drops(Ethernet() / IPv4(source=A) / TCP(dport=7))
        rows = {row["rule"]: (row["packets"], row["limited"]) for row in guard.rows() if "rule" in row}
        assert rows == {"few": (11, 9), "some": (9, 3), "counted": (5, 0), "rest": (5, 0), "late": (3, 2),
                        "default in": (3, 0), "default out": (0, 0)}
        assert guard.reasons() == {"passed": 9, "rule": 7}
        guard.part.tend(guard.generation.maps)  # type: ignore[misc]
        said = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [(each["rule"], each.get("prefix")) for each in said] == [("some", "some: ")] * 6 + [("late", None)]


def test_sixty_four_rules_go_on_each_in_its_place(machine: Any) -> None:
    rules = "".join(f"    - {{name: g{number}, match: {{destination-port: {number}-100}}, "
                    f"limit: {{packets: 1/m, burst: 50}}, action: continue}}\n"
                    f"    - {{name: t{number}, match: {{destination-port: {number}}}, action: allow}}\n"
                    for number in range(1, 65))
    with Guard("\n  shadowed: allow\n  rules:\n" + rules, machine) as guard:
        for port in (1, 2, 33, 64, 100):
            before = guard.counts()
            assert not guard.drops(udp(dport=port))
            changed = {name for name, count in guard.counts().items() if count != before[name]}
            last = f"t{port}" if port <= 64 else "default in"
            assert changed == {f"g{number}" for number in range(1, min(port, 64) + 1)} | {last}
    with pytest.raises(ConfigurationError, match="more than 64 rules continue"):
        settings_of("\n  rules:\n" + rules + "    - {name: more, match: {destination-port: 100}, log: true, "
                    "action: continue}\n  log: x.log\n")


def test_logs_and_samples(machine: Any, tmp_path: Path) -> None:
    log, samples = tmp_path / "log.jsonl", tmp_path / "samples.pcap"
    with Guard(f"""
  log: {log}
  samples: {samples}
  rules:
    - {{name: few, match: {{destination-port: 7}}, log: 1/h, action: drop}}
    - {{name: kept, match: {{destination-port: 53}}, sample: 1/1, action: continue}}
    - {{name: rare, match: {{destination-port: 54}}, sample: 1/4294967296, log: true, action: allow}}
""", machine) as guard:
        frames = [udp(dport=53, payload=bytes(size)) for size in (0, 1, 100, 214, 215, 1000)]
        for frame in frames:
            assert not guard.drops(frame)
        assert guard.drops(udp(dport=7)) and guard.drops(udp(dport=7))
        assert not guard.drops(Ethernet() / IPv6() / UDP(sport=9, dport=54))
        assert guard.part.tend is not None
        guard.part.tend(guard.generation.maps)
        said = [json.loads(line) for line in log.read_text().splitlines()]
        assert [each["rule"] for each in said] == ["few", "rare"]
        assert {key: said[0][key] for key in ("action", "direction", "length", "source", "source_port",
                                              "destination_port", "protocol")} == {
            "action": "drop", "direction": "in", "length": 42, "source": A, "source_port": 9, "destination_port": 7,
            "protocol": 17}
        kept = read_capture(samples.read_bytes())
        assert list(kept) == [bytes(frame)[:256] for frame in frames]
        assert [record.length for record in kept.records] == [len(bytes(frame)) for frame in frames]
        guard.drops(frames[0])
        guard.part.tend(guard.generation.maps)
        assert len(list(read_capture(samples.read_bytes()))) == 7  # one capture, gone on with
        assert {"packets not told of": 0} in guard.rows()


def test_a_full_ring_is_counted(tmp_path: Path) -> None:
    with Guard(f"\n  samples: {tmp_path / 'x'}\n  rules:\n"
               "    - {name: all, match: {protocol: udp}, sample: 1/1, action: allow}\n", Userspace()) as guard:
        for _ in range(4000):
            assert not guard.drops(udp())
        guard.part.tend(guard.generation.maps)  # type: ignore[misc]
        kept = len(list(read_capture((tmp_path / "x").read_bytes())))
        (lost,) = (row["packets not told of"] for row in guard.rows() if "packets not told of" in row)
        assert lost > 0 and kept + lost == 4000


BYTES = """
  shadowed: allow
  rules:
    - {name: get, match: {bytes: {payload+0: [47455420, 48454144]}}, action: drop}
    - {name: two, match: {bytes: {payload+1: "616263", payload+5: 7f/7f}}, action: drop}
    - {name: eight, match: {bytes: {payload+8: "0102030405060708"}}, action: drop}
    - {name: seven, match: {bytes: {payload+8: "11121314151617"}}, action: drop}
    - {name: window, match: {protocol: tcp, bytes: {transport+14: "0400"}}, action: drop}
    - {name: header, match: {bytes: {network+4: "beef"}}, action: drop}
    - {name: group, match: {bytes: {frame+0: 01/01}}, action: drop}
    - {name: short, match: {protocol: udp}, not: {bytes: {payload+0: "00"}}, action: allow}
"""


def rows_of_bytes() -> list[tuple[str, Any]]:
    return [
        ("get", udp(payload=b"GET / HTTP")), ("get", Ethernet() / IPv4() / TCP(window=9) / b"HEAD /"),
        ("get", Ethernet() / IPv6() / UDP() / b"GET "), ("short", udp(payload=b"GET")), ("short", udp(payload=b"get ")),
        ("two", udp(payload=b"\0abcd\xffz")), ("two", udp(payload=b"\0abcd\x7f")),
        ("default in", udp(payload=b"\0abcd\x7e")),
        ("default in", udp(payload=b"\0abcd")),
        ("eight", udp(payload=bytes(8) + bytes(range(1, 9)))),
        ("default in", udp(payload=bytes(8) + bytes(range(1, 8)))),
        ("seven", udp(payload=bytes(8) + bytes(range(0x11, 0x18)))),
        ("window", Ethernet() / IPv4() / TCP(window=0x400)), ("default in", Ethernet() / IPv4() / TCP(window=0x401)),
        ("header", Ethernet() / IPv4(identification=0xBEEF) / ICMP()),
        ("group", Ethernet(destination="01:00:5e:00:00:01") / IPv4(identification=1) / ICMP()),
        ("default in", udp(payload=b"\0")), ("short", udp(payload=b"")),
        ("short", Ethernet() / IPv4(more_fragments=1, identification=2) / UDP() / b"xx"),
    ]


def test_bytes_at_places(machine: Any) -> None:
    with Guard(BYTES, machine) as guard:
        for number, (wanted, frame) in enumerate(rows_of_bytes()):
            assert guard.rule(frame) == wanted, (number, wanted)


def test_options_move_the_payload(machine: Any) -> None:
    frame = bytearray(bytes(Ethernet() / IPv4(total_length=20 + 24 + 4) / TCP(window=9)))
    frame[14 + 20 + 12] = 6 << 4
    with Guard(BYTES, machine) as guard:
        assert guard.rule(bytes(frame) + b"\1\1\1\0" + b"GET ") == "get"
        assert guard.rule(bytes(frame) + b"GET " + b"\1\1\1\0") == "default in"


PROTECTED = """
  protect: {syn: 1/h, udp: 2/h, icmp: 1/h, fragments: 1/h, amplification: 2/h}
"""


def test_profiles(machine: Any) -> None:
    with Guard(PROTECTED, machine) as guard:
        syn, ping = Ethernet() / IPv4(source=A) / TCP(syn=1), Ethernet() / IPv4(source=A) / ICMP(type=8)
        assert [guard.drops(syn) for _ in range(3)] == [False, True, True]
        assert not guard.drops(Ethernet() / IPv4(source=A) / TCP(ack=1))
        assert [guard.drops(ping) for _ in range(2)] == [False, True]
        assert [guard.drops(udp(sport=123)) for _ in range(2)] == [False, True]
        assert guard.drops(udp(source=B, sport=11211))          # a limit for all reflectors together
        later = Ethernet() / IPv4(source=C, fragment_offset=100, protocol=6) / bytes(40)
        assert [guard.drops(later) for _ in range(2)] == [False, True]
        reasons = guard.reasons()
        assert {name: reasons[name] for name in ("SYN flood", "ICMP flood", "amplification")} == {
            "SYN flood": 2, "ICMP flood": 1, "amplification": 2}
        assert reasons["fragments"] == 1


@pytest.mark.parametrize(("text", "said"), [
    ("{name: x, action: continue}", "a rule that continues does something before"),
    ("{name: x, action: drop, limit: {packets: 5/s}}", "packets beyond a limit are dropped"),
    ("{name: x, action: continue, limit: {packets: 5/s, beyond: continue}, reason: y}", "this rule drops nothing"),
    ("{name: x, action: continue, limit: {packets: 5/s, beyond: allow}}", "'allow' is none of drop, continue"),
    ("{name: x, action: allow, log: {rate: 5/s, prefixes: x}}", "there is no such key"),
    ("{name: x, action: allow, log: true}", "no file is named for it"),
    ("{name: x, action: drop, sample: 1/10}", "no file is named for them"),
    ("{name: x, action: allow, sample: 2/10}", "'2/10' is no share"),
    ("{name: x, action: allow, log: often}", "'often' is no rate"),
    ("{name: x, action: drop, mark: 7}", "carries no mark"),
    ("{name: x, action: allow, mark: 0x100/0xff}", "bits outside of its mask"),
    ("{name: x, action: redirect}", "a redirect goes to an interface"),
    ("{name: x, action: drop, to: lo}", "a redirect goes to an interface"),
    ("{name: x, action: redirect, to: lo, reason: y}", "drops nothing has no reason"),
    ("{name: x, action: continue, mark: 1, direction: out, reason: y}", "this rule drops nothing"),
    ("{name: x, match: {mark: 7}, action: drop}", "has no mark yet at the driver"),
    ("{name: x, match: {mark: [7, 1/1]}, direction: out, action: drop}", "marks of one rule have one mask"),
    ("{name: x, match: {bytes: {payload: 00}}, action: drop}", "this is no place in a packet"),
    ("{name: x, match: {bytes: {body+0: 00}}, action: drop}", "this is no place in a packet"),
    ("{name: x, match: {bytes: {payload+0: 0}}, action: drop}", "is not hexadecimal"),
    ("{name: x, match: {bytes: {payload+0: 00112233445566778899}}, action: drop}", "is not 1 to 8 bytes"),
    ("{name: x, match: {bytes: {payload+0: [00, 0000]}}, action: drop}", "one length and one mask"),
    ("{name: x, match: {bytes: {payload+0: ff/0f}}, action: drop}", "bits outside of its mask"),
])
def test_what_does_not_go_together(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        settings_of(f"\n  rules:\n    - {text}\n")
    assert said in str(error.value)


def test_too_many_places_and_interfaces_that_are_not_there() -> None:
    places = "".join(f"    - {{name: r{number}, match: {{bytes: {{payload+{number}: '00'}}}}, action: drop}}\n"
                     for number in range(17))
    with pytest.raises(ConfigurationError, match="rules look at 17 places"):
        Guard("\n  rules:\n" + places, Userspace())
    with pytest.raises(ConfigurationError, match="there is no interface 'nowhere0'"):
        Guard("\n  rules:\n    - {name: x, action: redirect, to: nowhere0}\n", Userspace())
