"""Files of networks read in columns: the same as line by line."""
from __future__ import annotations

import ipaddress

from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright.errors import UsageError
from bpfwright.facets.firewall.bulk import plain_networks
from bpfwright.facets.firewall.elements import file_lines, one_network

LINE = st.one_of(
    st.sampled_from(["", "10.0.0.0/8", "192.0.2.7", "0.0.0.0/0", "255.255.255.255", "1.2.3.4/32", "256.0.0.1",
                     "01.2.3.4",
                     "1.2.3", "1.2.3.4.5", "1.2.3.4/33", "10.0.0.1/8", "1..2.3", "/8", "1.2.3.4/", ".", "1/2/3/4",
                     "1.2.3/4", "1.2.3.4/5/6", "2001:db8::/32", "# nothing", "10.1.0.0/16 # why", " 10.2.0.0/16 ",
                     "1.2.3.4\r", "1.2.3.4567", "9999999999", "a.b.c.d", "1.2.3.4/08", "\x00"]),
    st.text("0123456789./ #:ab\r", max_size=20),
    st.builds(lambda value, length: str(ipaddress.ip_network((value >> 32 - length << 32 - length, length))),
              st.integers(0, (1 << 32) - 1), st.integers(0, 32)))


@given(st.lists(LINE, max_size=12), st.booleans())
@settings(max_examples=400, deadline=None)
def test_as_line_by_line(lines: list[str], ended: bool) -> None:
    content = ("\n".join(lines) + "\n" * ended).encode()
    found, rest = plain_networks(content)
    plain = list(zip(found.high.tolist(), found.low.tolist(), found.length.tolist(), strict=True))
    others = dict(rest)
    expected = []
    for number, text in file_lines(content):
        if number in others:
            assert others[number] == text
        else:
            expected.append(one_network(text))  # what was taken for plain can be read
    assert plain == expected


def test_what_is_not_plain_is_left_and_what_is_plain_is_not() -> None:
    found, rest = plain_networks(b"10.0.0.0/8\n\n192.0.2.7\n# so\n2001:db8::/32\n10.0.0.1/8\n300.1.1.1")
    assert len(found) == 2 and rest == [(5, "2001:db8::/32"), (6, "10.0.0.1/8"), (7, "300.1.1.1")]
    for _, text in rest[1:]:
        try:
            one_network(text)
        except UsageError:
            continue
        raise AssertionError(text)
