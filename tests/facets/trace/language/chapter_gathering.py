"""What maps gather: count, sum, avg, min, max, stats, hist, lhist, tseries; and reading them at once."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "gathering"
BAR = "@" * 52
CASES: list[Case] = [
    said(C, "count", "@ = count(); @ = count();", "@: 2"),
    said(C, "count by key", "@[1] = count(); @[1] = count(); @[2] = count();", "@[2]: 1\n@[1]: 2"),
    said(C, "sum", "@ = sum(5); @ = sum(6);", "@: 11"),
    said(C, "sum of negative numbers", "@ = sum(-5); @ = sum(2);", "@: -3"),
    said(C, "sum by key", "@[1] = sum(5); @[1] = sum(6); @[2] = sum(1);", "@[2]: 1\n@[1]: 11"),
    said(C, "avg", "@ = avg(10); @ = avg(20);", "@: 15"),
    said(C, "avg of negative numbers", "@ = avg(-10); @ = avg(-21);", "@: -15"),
    said(C, "min", "@ = min(5); @ = min(3); @ = min(9);", "@: 3"),
    said(C, "min has no default", "@ = min(5);", "@: 5"),
    said(C, "min of negative numbers", "@ = min(-5); @ = min(3);", "@: -5"),
    said(C, "max", "@ = max(5); @ = max(33); @ = max(9);", "@: 33"),
    said(C, "max of negative numbers", "@ = max(-5); @ = max(-3);", "@: -3"),
    said(C, "stats", "@ = stats(4); @ = stats(6);", "@: count 2, average 5, total 10"),
    said(C, "stats by key", "@[1] = stats(4); @[2] = stats(6);",
         "@[1]: count 1, average 4, total 4\n@[2]: count 1, average 6, total 6"),
    said(C, "hist", "@ = hist(5);", f"@:\n[4, 8)                 1 |{BAR}|"),
    said(C, "hist of 0 and 1", "@ = hist(0); @ = hist(1);",
         f"@:\n[0]                    1 |{BAR}|\n[1]                    1 |{BAR}|"),
    said(C, "hist of negative numbers", "@ = hist(-1);", f"@:\n(..., 0)               1 |{BAR}|"),
    said(C, "hist fills what lies between", "@ = hist(1); @ = hist(4);",
         f"@:\n[1]                    1 |{BAR}|\n[2, 4)                 0 |{' ' * 52}|\n"
         f"[4, 8)                 1 |{BAR}|"),
    said(C, "hist of large numbers", "@ = hist(1 << 40);", f"@:\n[1T, 2T)               1 |{BAR}|"),
    said(C, "hist of thousands", "@ = hist(1500);", f"@:\n[1K, 2K)               1 |{BAR}|"),
    said(C, "hist by key", "@[7] = hist(5);", f"@[7]:\n[4, 8)                 1 |{BAR}|"),
    said(C, "a finer hist", "@ = hist(5, 2);", f"@:\n[5]                    1 |{BAR}|"),
    said(C, "lhist", "@ = lhist(5, 0, 10, 2);", f"@:\n[4, 6)                 1 |{BAR}|"),
    said(C, "lhist below and above", "@ = lhist(-5, 0, 10, 5); @ = lhist(50, 0, 10, 5);",
         f"@:\n(..., 0)               1 |{BAR}|\n[0, 5)                 0 |{' ' * 52}|\n"
         f"[5, 10)                0 |{' ' * 52}|\n"
         f"[10, ...)              1 |{BAR}|"),
    said(C, "lhist at its edges", "@ = lhist(0, 0, 10, 5); @ = lhist(9, 0, 10, 5);",
         f"@:\n[0, 5)                 1 |{BAR}|\n[5, 10)                1 |{BAR}|"),
    said(C, "tseries", "@ = tseries(5, 1h, 3);", r"@:\n.*5.*", pattern=True, warning="`tseries` may change yet"),
    said(C, "variables and maps that are called so",
         "$count = 5; $sum = $count; @hist = $sum; @count = @hist; @x[1] = @count; print((@hist, @x[1])); "
         "clear(@hist); clear(@count); clear(@x);", "(5, 5)"),
    wrong(C, "no value to gather", "@ = hist;", "`hist` takes a value"),
    said(C, "tseries in the first interval after boot",
         "config = { unstable_tseries=enable } begin { @ = tseries(5, 36500d, 3, \"min\"); exit(); }",
         r"@:\n.* 5\n.*", pattern=True),
    said(C, "tseries that is allowed", "config = { unstable_tseries=enable } begin { @ = tseries(5, 1h, 3); exit(); }",
         r"@:\n.*5.*", pattern=True),
    wrong(C, "tseries that is forbidden", "config = { unstable_tseries=error } begin { @ = tseries(5, 1h, 3); }",
          "`tseries` may change yet"),
    *(said(C, f"tseries {how}", f"config = {{ unstable_tseries=enable }} begin {{ @ = tseries(4, 1h, 3, \"{how}\"); "
           f"@ = tseries(8, 1h, 3, \"{how}\"); exit(); }}", rf"@:\n.*\| {value}\b.*|@:\n.*\* {value}\b.*", pattern=True)
      for how, value in (("avg", 6), ("min", 4), ("max", 8), ("sum", 12))),
    *(said(C, f"tseries {how or 'last'} in an interval that began before the machine",
           f"config = {{ unstable_tseries=enable }} begin {{ @ = tseries(4, 900000h, 3{words}); "
           f"@ = tseries(8, 900000h, 3{words}); exit(); }}", rf"@:\n.*[|*] {value}\b.*", pattern=True)
      for how, words, value in (("", "", 8), ("avg", ', "avg"', 6), ("min", ', "min"', 4))),
    said(C, "count read at once", '@ = count(); @ = count(); printf("%d\\n", (int64)@); clear(@);', "2",
         since="5.19"),
    said(C, "sum read at once", '@ = sum(5); @ = sum(6); printf("%d\\n", (int64)@); clear(@);', "11", since="5.19"),
    said(C, "avg read at once", "@ = avg(5); @ = avg(7); if (@ == 6) { print(1); } clear(@);", "1", since="5.19"),
    said(C, "min and max read at once",
         "@a = min(5); @a = min(3); @b = max(5); @b = max(8); print((int64)@a + (int64)@b); "
         "clear(@a); clear(@b);", "11", since="5.19"),
    said(C, "count compared", "@ = count(); if (@ > 0) { print(1); } clear(@);", "1", since="5.19"),
    said(C, "count by key read at once", '@[5] = count(); @[5] = count(); printf("%d\\n", @[5]); clear(@);', "2",
         since="5.19"),
    said(C, "cleared and gathered again", "begin { @ = count(); clear(@); exit(); } end { @ = count(); }", "@: 1"),
    said(C, "zeroed", "begin { @[1] = count(); zero(@); exit(); }", "@[1]: 0"),
    said(C, "print of one key's histogram", "@[1] = hist(5); print(@[1]); clear(@);",
         f"@[1]:\n[4, 8)                 1 |{BAR}|"),
    wrong(C, "count assigned to a variable", "$x = count();", "what maps gather is kept in a map"),
    wrong(C, "count by itself", "count();", "`count` is assigned to a map"),
    wrong(C, "hist too fine", "@ = hist(1, 9);", "a histogram of 2^9 counters"),
    wrong(C, "lhist without a step", "@ = lhist(1, 0, 10, 0);", "a step of 0"),
    wrong(C, "lhist the wrong way round", "@ = lhist(1, 10, 0, 1);", "a histogram from 10 to 0"),
    wrong(C, "lhist of too many steps", "@ = lhist(1, 0, 100000, 1);", "a histogram of 100000 steps"),
    wrong(C, "sum of a text", '@ = sum("a");', "what `sum` takes is a number"),
    wrong(C, "gathered with +=", "@ += count();", "`+=` does not go with what maps gather"),
    wrong(C, "two histograms of different kinds", "@ = hist(1); @ = lhist(1, 0, 10, 1);",
          "@ holds `hist_t`, not `lhist_t`"),
    wrong(C, "a histogram as a number", "@ = hist(1); print((int64)@);", "`hist_t` is no number"),
]
