"""What rejections of real kernels become: every log that the lab recorded has a cause, a place and a cure."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.kernel.cures import CURES, cure_for
from bpfwright.kernel.registers import describe
from bpfwright.kernel.verifier_log import parse

# Recorded with a buffer that ended before the verifier did: there is no cause in them.
TRUNCATED = {(kernel, "unbounded_loop") for kernel in ("5.10", "6.1")}
LOGS = sorted(path for path in (Path(__file__).parent.parent / "data" / "verifier_logs").glob("*/*.log")
              if (path.parent.name, path.stem) not in TRUNCATED)
# Said before or after the walk over instructions: they name no instruction.
PLACELESS = {"combined_stack", "falls_through", "global_function_null"}
CAUSES = {
    "null_map_value": ("null|NULL", "None|NULL"),
    "packet_out_of_bounds": ("packet|object_size", "long enough|bounds check"),
    "uninitialized_register": ("R7", "stored|nitialize"), "missing_release": ("release|Unreleased", "elease"),
    "helper_not_allowed": ("bpf_skb_load_bytes", "may not call|allowed"), "wrong_return_value": ("R0", "action"),
    "infinite_loop": ("infinite loop", "counter"), "gpl_only_helper": ("GPL", "GPL"),
    "context_write": ("bpf_context", "context"), "call_under_lock": ("lock", "lock|unlock"),
}


@pytest.mark.parametrize("path", LOGS, ids=[f"{path.parent.name}-{path.stem}" for path in LOGS])
def test_every_recorded_log_has_a_cause_a_place_and_a_cure(path: Path) -> None:
    verdict = parse(path.read_text())
    assert verdict.reason
    assert verdict.suggestion or cure_for(verdict.reason)
    if path.stem not in PLACELESS:
        assert verdict.instruction >= 0
    reason, cure = CAUSES.get(path.stem, ("", ""))
    assert re.search(reason, verdict.reason)
    assert re.search(cure, verdict.suggestion or cure_for(verdict.reason))


def test_the_structured_report_of_7_3_gives_source_and_path() -> None:
    verdict = parse((LOGS[0].parent.parent / "7" / "null_map_value.log").read_text())
    assert verdict.reason.startswith("R0 may be NULL here")
    assert (verdict.file, verdict.line, verdict.source) == ("null_map_value.c", 11, "*value += 1;")
    assert verdict.instruction == 7
    assert verdict.state == (("line 10", "R0 changed from uninitialized value to nullable map value from counts at "
                                         "offset 0"),)
    assert verdict.suggestion.startswith("Add a NULL check")


def test_the_old_report_gives_what_was_known() -> None:
    verdict = parse((LOGS[0].parent.parent / "6.18" / "packet_variable_offset.log").read_text())
    assert ("R1", "a pointer into the packet, 0 bytes in, with 0 bytes of it checked, plus a number up to 255") \
        in verdict.state


def test_what_an_old_log_does_not_say_is_not_made_up() -> None:
    log = ("from 2 to 3: R0_w=inv1 R1=ctx(id=0,off=0,imm=0) R10=fp0\n3: (61) r1 = *(u32 *)(r1 +0)\n"
           "4: (71) r0 = *(u8 *)(r1 +20)\ninvalid access to packet, off=20 size=1, R1(id=0,off=20,r=0)\n"
           "R1 offset is outside of the packet\nprocessed 5 insns (limit 1000000) max_states_per_insn 0\n")
    assert parse(log).state == ()
    told = log.replace("4: (71)", "4: R0_w=inv1 R1_w=pkt(id=0,off=0,r=0,imm=0) R10=fp0\n4: (71)")
    assert parse(told).state == (("R1", "a pointer into the packet, 0 bytes in, with 0 bytes of it checked"),)


@pytest.mark.parametrize(("state", "words"), [
    ("scalar(smin=0,smax=umax=255,var_off=(0x0; 0xff))", "a number from 0 to 255"),
    ("scalar(smin=0xffffffff80000000,smax=63)", "a number from -2147483648 to 63"),
    ("scalar()", "a number of any value"), ("inv(id=0,umax_value=7)", "a number from 0 to 7"),
    ("ctx()", "the context"), ("fp-8", "a pointer to the stack at -8"), ("5", "the number 5"),
    ("map_value_or_null(id=1,map=x,ks=4,vs=8)", "a map's value, or None, of 8 bytes"),
    ("pkt(id=0,off=14,r=0)", "a pointer into the packet, 14 bytes in, with 0 bytes of it checked"),
    ("something_new(x=1)", "something_new(x=1)"),
])
def test_registers_in_words(state: str, words: str) -> None:
    assert describe(state) == words


def test_there_are_many_cures_and_each_can_be_found() -> None:
    assert len(CURES) >= 25
    for pattern, cure in CURES:
        assert cure.endswith(".") and re.compile(pattern)


@given(st.text(max_size=400))
def test_no_text_breaks_the_parser(text: str) -> None:
    parse(text)


@given(st.sampled_from(LOGS), st.integers(0, 4000), st.integers(0, 4000), st.text(max_size=30))
def test_no_damaged_log_breaks_the_parser(path: Path, start: int, length: int, junk: str) -> None:
    text = path.read_text()[-6000:]
    parse(text[:start] + junk + text[start + length:])


@given(st.text(max_size=80))
def test_no_register_state_breaks_the_words(text: str) -> None:
    assert isinstance(describe(text), str)
