"""XDP in the generic mode, which every interface has."""
from __future__ import annotations

HOOK = "XDP generic"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.cases.xdp_native import build as same
    return same()


def check(files: dict[str, bytes]) -> None:
    from vmtest.cases.xdp_native import ETH_P, packets
    from vmtest.running import interface_pair, loaded, until
    with loaded(files) as case, interface_pair() as (left, right):
        with case.kernel.xdp(case.program, right, "generic") as link:
            assert "generic" in link.description
            with packets(left) as sender:
                sender.send(b"\xff" * 12 + ETH_P.to_bytes(2, "big") + b"d" * 50)
            assert until(lambda: case.seen[0] == 1)
