"""Names as they were written: RFC 2603's examples and known vectors of Rust's demanglers, C++ of a compiled program."""
from __future__ import annotations

import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpfwright import _host
from bpfwright.symbols import ElfSymbols, demangle, knows_cxx
from bpfwright.symbols.demangling.legacy import demangle_legacy
from bpfwright.symbols.demangling.v0 import demangle_v0
from tests.symbols.building import compiled, nm

V0 = {
    # RFC 2603: the crate root, nested names, disambiguators
    "_RNvC6_123foo3bar": "123foo::bar",
    "_RNvCs1234_7mycrate3foo": "mycrate::foo",
    "_RNvNtCs1234_7mycrate3foo3bar": "mycrate::foo::bar",
    "_RNCNvCs1234_7mycrate4main0B3_": "mycrate::main::{closure#0}",
    "_RNCNvCs1234_7mycrate4mains_0B3_": "mycrate::main::{closure#1}",
    # inherent and trait implementations
    "_RNvMsr_NtCs3ssYzQotkvD_3std4pathNtB5_7PathBuf3newCs15kBYyAo9fc_7mycrate": "<std::path::PathBuf>::new",
    "_RNvXCs15kBYyAo9fc_7mycrateNtCs3ssYzQotkvD_3std4path7PathBufNtB4_3foo3barCs15kBYyAo9fc_7mycrate": None,
    "_RNvYNtC7mycrate3FooNtC5other5Trait3bar": "<mycrate::Foo as other::Trait>::bar",
    # generic arguments
    "_RINvNtC3std3mem8align_ofjdE": "std::mem::align_of::<usize, f64>",
    "_RINvNtC3std3mem8align_ofNtNtC3std3mem12DiscriminantE": "std::mem::align_of::<std::mem::Discriminant>",
    "_RINvC1a1fTxEE": "a::f::<(i64,)>",
    "_RINvC1a1fTE": None,
    "_RINvC1a1fTEE": "a::f::<()>",
    "_RINvC1a1fAhj3_SmE": "a::f::<[u8; 3], [u32]>",
    "_RINvC1a1fRhQePaOzE": "a::f::<&u8, &mut str, *const i8, *mut !>",
    "_RINvC1a1fFKCheEuE": 'a::f::<extern "C" fn(u8, str)>',
    "_RINvC1a1fFUhEtE": "a::f::<unsafe fn(u8) -> u16>",
    "_RINvC1a1fFG_RL0_hEuE": "a::f::<for<'a> fn(&'a u8)>",
    "_RINvC1a1fFG0_RL1_hRL0_tEuE": "a::f::<for<'a, 'b> fn(&'a u8, &'b u16)>",
    "_RINvC1a1fL_E": "a::f::<'_>",
    "_RINvC1a1fDNtC1b1TEL_E": "a::f::<dyn b::T>",
    "_RINvC1a1fDNtC1b1Tp4ItemmNtC1b4SendEL_E": "a::f::<dyn b::T<Item = u32> + b::Send>",
    "_RINvC1a1fDINtC1b1ThEp3OutjEL_E": "a::f::<dyn b::T<u8, Out = usize>>",
    # constants
    "_RINvC1a1fKj7b_E": "a::f::<123>",
    "_RINvC1a1fKin1_E": "a::f::<-1>",
    "_RINvC1a1fKb1_Kb0_E": "a::f::<true, false>",
    "_RINvC1a1fKc76_E": "a::f::<'v'>",
    "_RINvC1a1fKca_E": "a::f::<'\\n'>",
    "_RINvC1a1fKc2202_E": "a::f::<'∂'>",
    "_RINvC1a1fKo1234567890abcdef0_E": "a::f::<0x1234567890abcdef0>",
    "_RINvC1a1fKRe616263_E": 'a::f::<"abc">',
    "_RINvC1a1fKpE": "a::f::<_>",
    "_RINvC1a1fKRAh1_h2_EE": "a::f::<{&[1, 2]}>",
    "_RINvC1a1fKVNtC1b4SomeThs_E": None,
    "_RINvC1a1fKVNtC1b4SomeTh5_EE": "a::f::<{b::Some(5)}>",
    "_RINvC1a1fKVNtC1b1PS1xh5_EE": "a::f::<{b::P { x: 5 }}>",
    # punycode (the RFC's own example), references, suffixes
    "_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y": "utf8_idents::საჭმელად_გემრიელი_სადილი",
    "_RNvC1au8gdel_5qa": "a::gödel",
    "_RNvC6_123foo3bar.llvm.9D1C9369": "123foo::bar",
    "_RNvC6_123foo3bar.cold": "123foo::bar.cold",
    "_RNvB_1a": None,
    "_RNvC6_123foo": None,
    "_R": None,
}

LEGACY = {
    "_ZN4testE": None,
    "_ZN4test1a2bcE": None,
    "_ZN3foo17h05af221e174051e9E": "foo",
    "_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE": "core::fmt::Write::write_fmt",
    "_ZN13test$u20$test4foob17h05af221e174051e9E": "test test::foob",
    "_ZN12test$BP$test4foob17h05af221e174051e9E": "test*test::foob",
    "_ZN32_$LT$$RF$T$u20$as$u20$a..B$GT$3fmt17h05af221e174051e9E": None,
    "_ZN30_$LT$$RF$T$u20$as$u20$a..B$GT$3fmt17h05af221e174051e9E": "<&T as a::B>::fmt",
    "_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$3bar17h930b740aa94f1d3aE":
        "<Test + 'static as foo::Bar<Test>>::bar",
    "_ZN3foo17h05af221e174051e9E.llvm.123": "foo",
    "_ZN3foo17h05af221e174051e9E.cold": "foo.cold",
}

CXX = r"""
#include <cstdio>
#include <map>
#include <string>
#include <vector>
namespace outer { namespace { struct Hidden { int value; }; }
template <typename T, int N> struct Box { __attribute__((noinline)) T take(const T &x) const { return x + N; } };
struct Base { virtual ~Base(); virtual int operator()(int) const; }; Base::~Base() {}
int Base::operator()(int x) const { return x; }
__attribute__((noinline)) int use(std::map<std::string, std::vector<int>> &m) { return m["a"].size(); } }
int main(int count, char **) { std::map<std::string, std::vector<int>> m; outer::Box<long, 7> b; outer::Base f;
    auto g = [](int x) { return x + getchar(); };
    return outer::use(m) + b.take(count) + f(1) + g(2); }
"""


@pytest.mark.parametrize("name", [*V0, *LEGACY])
def test_rust(name: str) -> None:
    wanted = {**V0, **LEGACY}[name]
    if wanted is None:
        assert (demangle_legacy if name.startswith("_Z") else demangle_v0)(name) == ""
    else:
        assert demangle(name) == wanted


def test_cxx_of_a_compiled_program(tmp_path: Path) -> None:
    assert knows_cxx()
    path = compiled(tmp_path, "program", source=CXX, language="cc")
    names = [name for name in nm(path) if name.startswith("_Z")]
    said = subprocess.run(["c++filt"], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    assert len(names) > 10
    assert [demangle(name) for name in names] == said.rstrip("\n").split("\n")
    symbols = ElfSymbols(path)
    [take] = [name for name in names if "4take" in name]
    written = symbols.find(symbols.address(take)).name
    assert written.partition(" [clone")[0] == "outer::Box<long, 7>::take(long const&) const"
    assert symbols.find(symbols.address(take), demangled=False).name == take


def test_a_name_that_means_a_terabyte_stays() -> None:
    doubled = "_Z1f1aIiiE" + "".join(f"S_IS{digit}_S{digit}_E" for digit in string.digits[:9] * 5)
    assert demangle(doubled) == doubled
    rust = "_RINvC1a1fThhE" + "".join(f"TB{c}_B{c}_E" for c in "7c") + "E"
    assert demangle(rust) != ""
    nest = "_RINvC1a1f" + "R" * 5000 + "hE"
    assert demangle(nest) == nest
    assert demangle("_RINvC1a1f" + "R" * 3000 + "hE").startswith("_R")
    # Each tuple names the one before twice.
    parts, at = ["ThhE"], 8
    for _ in range(60):
        part = f"TB{base62(at)}B{base62(at)}E"
        at += len(parts[-1])
        parts.append(part)
    bomb = "_RINvC1a1f" + "".join(parts) + "E"
    assert demangle(bomb) == bomb or len(demangle(bomb)) < 1 << 17


def base62(number: int) -> str:
    digits = string.digits + string.ascii_letters
    number -= 1
    if number < 0:
        return "_"
    text = digits[number % 62]
    while number >= 62:
        number = number // 62
        text = digits[number % 62] + text
    return text + "_"


def test_without_a_runtime_names_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes
    real = ctypes.CDLL

    def without(name: str | None) -> ctypes.CDLL:
        if name:
            raise OSError(f"no {name}")
        return real(name)
    monkeypatch.setattr(ctypes, "CDLL", without)
    monkeypatch.setattr(_host, "_cxx", [])
    demangle.cache_clear()
    try:
        assert not knows_cxx()
        assert demangle("_ZN3foo3barEv") == "_ZN3foo3barEv"
        assert demangle("_RNvC6_123foo3bar") == "123foo::bar"
    finally:
        demangle.cache_clear()


@given(st.text("RNvtCsMXYIBEKLGTASPOFDUpQ_0123456789abchijnu", max_size=60))
@example("IC1aB_E")
@example("NvNv" * 15)
def test_any_text_has_a_reading_or_none(text: str) -> None:
    for name in ("_R" + text, "_ZN" + text, "_RINvC1a1f" + text):
        assert isinstance(demangle(name), str)


@given(st.text(max_size=40))
def test_other_names_stay(text: str) -> None:
    if not text.startswith("_"):
        assert demangle(text) == text
    assert isinstance(demangle("_" + text), str)
