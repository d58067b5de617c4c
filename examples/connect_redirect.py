"""Connections to port 80 go to a local proxy: `sudo python connect_redirect.py CGROUP PROXY_PORT [SECONDS]`."""
import sys
import time

from bpfwright import Config, Struct, attach, shared, u16, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import cgroup


class Proxy(Config):
    port: u16 = 8080


class Totals(Struct):
    redirected: u64


proxy, totals = Proxy(), shared(Totals(0))


@cgroup.connect4
def redirect(ctx: cgroup.Connect4) -> cgroup.Action:
    if ctx.port == 80:
        ctx.address = IPv4.Address("127.0.0.1")
        ctx.port = proxy.port
        totals.redirected += 1
    return cgroup.ALLOW  # DENY would refuse the connection


if __name__ == "__main__":
    with attach(redirect, cgroup.Path(sys.argv[1]), config=Proxy(port=int(sys.argv[2]))):
        print("redirecting", file=sys.stderr, flush=True)
        time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 10)
        print(f"{totals.redirected} connections redirected")
