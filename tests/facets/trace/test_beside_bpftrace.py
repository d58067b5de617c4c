"""The same scripts by Debian's bpftrace (0.17) and here: the same on stdout, as text and as JSON.

Left out is what bpftrace itself changed since: comparisons are bool now, `print(@m[key])`, `str` of texts and several
`begin` are allowed, `probe` says `begin`, `hist` of unsigned numbers has no negative bucket, keys of equal values have
an order, `%%` is one character, negative numbers are divided as such, a `max` of negative numbers is printed.
"""
from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.kernel

_BODIES = (
    'print(1 + 2 * 3); print(10 / 3); print(1 << 5); print(0xff & 0x0f); print(~5); print(5 ^ 1);'
    'print((uint8)300); print((int8)200); print((int32)5000000000); print(4294967295 + 1); print(1e3); print(0777);'
    '$x = 5; $x <<= 4; $x |= 3; $x %= 7; print($x); print($x++); print(--$x); print(1 ? 2 : 3); unroll(3) { print(7); }'
    '$i = 0; while (1) { $i++; if ($i > 3) { break; } if ($i == 2) { continue; } print($i); } if (0) { print(1) } else { print(2) }',
    'printf("%5d|%-5d|%05d|%x|%X|%o|%c|%p\\n", 42, 42, 42, 255, 255, 8, 72, 255); printf("%10s|%-10s|%.2s\\n", "ab", "cd", "hello");'
    'printf("%hd %hhd %lld %lu\\n", 70000, 300, -6, 2); printf("a\\"b\\\\c\\t\\x41\\102\\n"); printf("%r\\n", buf("abc", 3));'
    'print("q\\"uote"); print((1, "a", (2, 3))); $t = (1, 2, "x"); print($t.2); print(ntop(0x0100007f)); time("%Y\\n");',
    '@a[1] = 2; @a[2] = 3; @a[3] = 1; @b["x", 1] = 1; @b["y", 2] = 2; @c = 5; @c += 3; @d = "abc"; @d = "d"; @e = (1, "abc");'
    '@f["a b"] = 1; @f["c\\"d"] = 2; @f["e\\\\f"] = 3; @g[-1] = 1; @g[1] = 2; @h[1] = (1, 2); @i[1] = 1; delete(@i[1]);'
    '@j[1] = "one"; @j[2] = "two"; @k = -5; @x[1] = 1; @x[1]++; @x[2]++;',
    '@a = count(); @b = sum(5); @b = sum(7); @c = avg(5); @c = avg(8); @d = min(5); @d = min(3); @e = max(5); @e = max(8);'
    '@f = stats(5); @f = stats(10); @g[1] = sum(5); @g[2] = sum(-7); @h["x"] = avg(5); @h["y"] = avg(1); @i["x"] = stats(5);'
    '@i["y"] = stats(9); @j[1] = min(4); @j[2] = min(-4); @k[1] = count(); @k[2] = count(); @k[2] = count(); @l[1] = count(); zero(@l);',
    '@a = hist(0); @a = hist(1); @a = hist(3); @a = hist(1000); @b = hist(-5); @b = hist(100); @c = hist(1048576);'
    '@c = hist(1073741824); @d["k"] = hist(5); @d["k"] = hist(6); @d["j"] = hist(70000); @e = lhist(5, 0, 100, 10);'
    '@e = lhist(95, 0, 100, 10); @e = lhist(-5, 0, 100, 10); @e = lhist(500, 0, 100, 10); @f[1] = lhist(5, 0, 10, 1);'
    '@g = hist(1023); @g = hist(1024); @g = hist(2047); @g = hist(2048); @h = lhist(1500, 1000, 3000, 500);',
    '@a[1] = 1; @a[2] = 5; @a[3] = 3; print(@a, 2); clear(@a); @b[1] = sum(10); @b[2] = sum(50); @b[3] = sum(30); print(@b, 2);'
    'clear(@b); @c[1] = sum(1000); @c[2] = sum(5000); print(@c, 5, 10); clear(@c); @d = hist(8); print(@d); clear(@d);'
    '@e = stats(8); print(@e); @f = lhist(8, 0, 10, 5); print(@f); @g = avg(8); print(@g);',
)


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [line.rstrip() for line in done.stdout.decode().splitlines()
            if line.strip() and not line.startswith("Attach") and "attached_probes" not in line]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("body", _BODIES)
def test_the_same_is_printed(body: str, form: str) -> None:
    script = f"BEGIN {{ {body} exit(); }}"
    assert _lines(sys.executable, "-m", "bpfwright", "trace", "-f", form, "-e", script) \
        == _lines("bpftrace", "-f", form, "-e", script)
