"""The config block, and what the environment says."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "config"


def configured(name: str, block: str, body: str, output: str, **more: object) -> Case:
    return said(C, name, f"config = {{ {block} }} begin {{ {body} exit(); }}", output, **more)


CASES: list[Case] = [
    configured("max_strlen", "max_strlen=32", "print(default_str_length());", "32"),
    configured("long names", "BPFTRACE_MAX_STRLEN=32", "print(default_str_length());", "32"),
    configured("several", "max_strlen=32; max_map_keys=2", "print(default_str_length());", "32"),
    configured("max_map_keys", "max_map_keys=2", "@x[1] = 1; @x[2] = 1; @x[3] = 1; clear(@x);", "",
               warning="@x is full"),
    configured("print_maps_on_exit", "print_maps_on_exit=false", "@x = 1; print(5);", "5"),
    configured("stack_mode", "stack_mode=raw", "print(1);", "1"),
    configured("license", 'license="Dual BSD/GPL"', "print((pid > 0, comm != \"\"));", "(true, true)"),
    configured("missing_probes", "missing_probes=ignore", "print(1);", "1"),
    configured("cpp_demangle", "cpp_demangle=false", "print(1);", "1"),
    said(C, "the environment goes first", "config = { max_strlen=32 } begin { print(default_str_length()); exit(); }",
         "64",
         settings={"max_strlen": "64"}),
    wrong(C, "a setting that is not there", "config = { nothing=1 } begin { }", "nothing"),
    wrong(C, "a word where a number stands", "config = { max_strlen=long } begin { }", "max_strlen"),
    wrong(C, "a word that is not allowed", "config = { stack_mode=pretty } begin { }", "stack_mode"),
    wrong(C, "a number that is too large", "config = { max_strlen=100000000 } begin { }", "max_strlen"),
    said(C, "missing probes are warned about", "tracepoint:sched:nothing_at_all { @ = count(); } begin { exit(); }", "",
         settings={"missing_probes": "warn"}, warning="there is no tracepoint `sched:nothing_at_all`"),
    said(C, "missing probes are ignored", "tracepoint:sched:nothing_at_all { @ = count(); } begin { exit(); }", "",
         settings={"missing_probes": "ignore"}),
    wrong(C, "a map that only a missing probe fills",
          "tracepoint:sched:nothing_at_all { @[args.pid] = 1; } begin { print(@[1]); }",
          "`args` is not known where a probe is left out", settings={"missing_probes": "warn"}),
    wrong(C, "what is wrong with a missing probe is why its maps have no type",
          "kprobe:nothing_at_all { @[curtask.nothing] = 1; } begin { print(@[1]); }",
          "`struct task_struct` has no field `nothing`", settings={"missing_probes": "warn"}),
    wrong(C, "missing probes are mistakes", "tracepoint:sched:nothing_at_all { }",
          "there is no tracepoint `sched:nothing_at_all`"),
    wrong(C, "a group that is not there", "tracepoint:shced:sched_switch { }", "Did you mean `sched`?"),
    wrong(C, "too many probes", "tracepoint:*:* { @ = count(); }", "more than 1024"),
]
