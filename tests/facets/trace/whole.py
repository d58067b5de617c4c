"""Whole programs by chance, mostly well typed: numbers, texts, tuples, maps, what maps gather, loops, calls."""
from __future__ import annotations

from random import Random

__all__ = ["program"]

_NUMBERS = ("0", "1", "2", "7", "255", "256", "65535", "-1", "-128", "4294967295", "9223372036854775807",
            "18446744073709551615")
_WIDTHS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_FACTS = ("pid", "tid", "uid", "cpu", "nsecs", "elapsed", "rand", "cgroup", "ncpus", "jiffies", "ppid", "numaid",
          "curtask.pid", "curtask.flags", "curtask.mm.pgd", "curtask.real_parent.tgid", "(uint64)curtask")
_TEXTS = ('"a"', '"sys"', '"hello world"', '"/usr/bin/"', '"xxxxxxxxxxxxxxxxxxxx"', '""', '"\\n"', '"ä"')
_OTHERS = ("kstack", "ustack", "kstack(5)", 'strftime("%H", nsecs)', "ntop(1)", "*curtask.cred", "curtask",
           "cgroup_path(cgroup)", "signal_name(9)", "ksym(1)", "usym(pid)", "buf(comm, 3)", "buf(comm, pid)")
_OPERATORS = ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>", "==", "!=", "<", ">", "<=", ">=", "&&", "||"]
_PLACES = ("begin", "end", "i:ms:10", "t:sched:sched_switch", "t:syscalls:sys_enter_openat", "p:hz:99",
           "rt:sched_switch", "s:page-faults:1", "u:/bin/bash:main")
_FILE = "str(curtask.mm.exe_file.f_path.dentry.d_name.name)"


class _Writer:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.variables: dict[str, str] = {}
        self.maps: dict[str, tuple[str, str]] = {}
        self.last = 0
        self.budget = 0

    def new(self, prefix: str) -> str:
        self.last += 1
        return f"{prefix}{self.last}"

    def known(self, kind: str) -> list[str]:
        found = [name for name, of in self.variables.items() if of == kind]
        return found + [self.entry(name) for name, (_, of) in self.maps.items() if of == kind][:3]

    def entry(self, name: str) -> str:
        keys = ", ".join(self.number(3) if key == "n" else self.text(3) for key in self.maps[name][0])
        return f"{name}[{keys}]" if keys else name

    def map(self, kind: str) -> str:
        found = [name for name, (_, of) in self.maps.items() if of == kind]
        if found and self.random.random() < 0.6:
            return self.random.choice(found)
        name = self.new("@m")
        self.maps[name] = ("".join(self.random.choices("nnt", k=self.random.choice((0, 0, 1, 1, 2, 3)))), kind)
        return name

    def number(self, deep: int = 0) -> str:
        self.budget -= 1
        way = self.random.randrange(20)
        if deep > 3 or way < 4 or self.budget < 0:
            return self.random.choice(_NUMBERS)
        if way < 8 and deep < 3 and (known := self.known("n")):
            return self.random.choice(known)
        inner, other = self.number(deep + 1), self.number(deep + 1)
        if way < 11:
            return f"({inner} {self.random.choice(_OPERATORS)} {other})"
        if way < 13:
            return self.random.choice((f"({self.random.choice(_WIDTHS)}){inner}", f"({inner} ? {other} : 5)",
                                       f"-({inner})", f"!({inner})", f"~({inner})", f"bswap({inner})"))
        if way < 17:
            return self.random.choice(_FACTS)
        one, two = self.text(deep + 1), self.text(deep + 1)
        return self.random.choice((f"strlen({one})", f"strncmp({one}, {two}, 16)", f"strcontains({one}, {two})",
                                   f'strstr({one}, "usr")', f"({one} == {two})", f"*(uint32 *)({inner})",
                                   f"sizeof({inner})"))

    def text(self, deep: int = 0) -> str:
        self.budget -= 1
        way = self.random.randrange(20)
        if deep > 3 or way < 5 or self.budget < 0:
            return self.random.choice(_TEXTS)
        if way < 9:
            return self.random.choice(("comm", "pcomm", "leader_comm", "curtask.comm", _FILE))
        if way < 13 and deep < 3 and (known := self.known("t")):
            return self.random.choice(known)
        number = self.number(deep + 1)
        return self.random.choice((f"({number} ? {self.text(deep + 1)} : {self.text(deep + 1)})", f"str({number})",
                                   f"str({number}, pid)", f"str_concat({self.text(deep + 1)}, {self.text(deep + 1)})"))

    def value(self, deep: int = 0) -> str:
        way = self.random.randrange(10)
        if way < 4 or deep > 2:
            return self.number(deep)
        if way < 7:
            return self.text(deep)
        if way < 9:
            form = self.random.choice(("({}, {})", "(a={}, b={})"))
            return form.format(self.value(deep + 1), self.value(deep + 1))
        return self.random.choice(_OTHERS)

    def statement(self, deep: int) -> str:
        way = self.random.randrange(15)
        if way < 4:
            kind, value = self.random.choice((("n", self.number()), ("t", self.text()), ("o", self.value())))
            name = self.new("$v")
            self.variables[name] = kind
            return f"{name} = {value};"
        if way == 4:
            entry = self.entry(self.map("n"))
            return f"{entry} {self.random.choice(('=', '+=', '-=', '*=', '|='))} {self.number()};"
        if way == 5:
            return f"{self.entry(self.map('t'))} = {self.text()};"
        if way == 6:
            kind, call = self.random.choice((
                ("count", "count()"), ("sum", f"sum({self.number(1)})"), ("avg", f"avg({self.number(1)})"),
                ("min", f"min({self.number(1)})"), ("stats", f"stats({self.number(1)})"),
                ("hist", f"hist({self.number(1)})"), ("lhist", f"lhist({self.number(1)}, 0, 100, 10)")))
            return f"{self.entry(self.map(kind))} = {call};"
        if way == 7:
            return f"{self.new('@k')}[{self.value(1)}, {self.value(1)}] = count();"
        if way < 10:
            return self.random.choice((f'printf("%d %s\\n", {self.number(1)}, {self.value(1)});',
                                       f"print({self.value()});"))
        if way == 10 and self.maps:
            return f"{self.random.choice(('print', 'clear', 'zero'))}({self.random.choice(list(self.maps))});"
        if deep > 1:
            return "time();"
        if way == 11:
            return f"if ({self.number(1)}) {self.block(deep + 1)} else {self.block(deep + 1)}"
        if way == 12:
            return f"unroll(3) {self.block(deep + 1)}"
        name = self.new("$i")
        if way == 13:
            self.variables[name] = "n"
            body = self.block(deep + 1)
            del self.variables[name]
            return f"for ({name} : 0..{self.random.choice(('5', '100', '3000', 'cpu', 'pid'))}) {body}"
        self.variables[name] = "n"
        body = self.block(deep + 1)
        return f"{name} = 0; while ({name} < {self.random.choice(('10', '100'))}) {{ {name}++; {body} }}"

    def block(self, deep: int = 0) -> str:
        kept = dict(self.variables)
        body = " ".join(self.statement(deep) for _ in range(self.random.randrange(1, 5)))
        self.variables = kept
        return f"{{ {body} }}"

    def probe(self) -> str:
        self.variables = {}
        self.budget = self.random.choice((30, 80, 160))
        predicate = f" /{self.number(1)}/" if self.random.random() < 0.2 else ""
        return f"{self.random.choice(_PLACES)}{predicate} {self.block()}"


def program(random: Random) -> str:
    """A script of one or two probes."""
    writer = _Writer(random)
    return "\n".join(writer.probe() for _ in range(random.randrange(1, 3)))
