"""The demo's stage: two network namespaces with a cable between them, an HTTP server and two clients."""
from __future__ import annotations

import sys
from contextlib import ExitStack

from bpfwright._host import Process
from bpfwright._typing import Self
from bpfwright.cli.demo.addresses import BLOCKED, FRIEND, PORT, SERVER
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink

__all__ = ["Stage"]

_LEASH = """
import os, sys, threading
def follow():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=follow, daemon=True).start()
"""
# A killed demo cannot end its processes: they see that their stdin has ended.

_SERVER = """
import http.server
class Quiet(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello from the demo\\n" * 20
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer((%r, %d), Quiet).serve_forever()
"""

_CLIENT = """
import http.client, time
end = time.monotonic() + %d
while time.monotonic() < end:
    try:
        connection = http.client.HTTPConnection(%r, %d, timeout=1, source_address=(%r, 0))
        connection.request("GET", "/")
        connection.getresponse().read()
        connection.close()
        time.sleep(0.02)
    except OSError:
        time.sleep(0.2)
"""


class Stage:
    """Everything that the demo makes in the network; closing it removes it all."""

    def __init__(self) -> None:
        self._undo = ExitStack()
        try:
            self.server = self._undo.enter_context(NetworkNamespace.create())
            self.client = self._undo.enter_context(NetworkNamespace.create())
            self._wire()
        except BaseException:
            self._undo.close()
            raise

    def _wire(self) -> None:
        with self.server.entered(), Netlink() as link:
            link.create_veth("server", "client")
            link.move("client", self.client.fd)
            link.add_address("server", SERVER, 24)
            link.set_up("server")
            link.set_up("lo")
        with self.client.entered(), Netlink() as link:
            for address in (FRIEND, BLOCKED):
                link.add_address("client", address, 24)
            link.set_up("client")

    def serve(self) -> None:
        """Start the HTTP server."""
        with self.server.entered():
            self._start(_LEASH + _SERVER % (SERVER, PORT))

    def call(self, seconds: int) -> None:
        """Start a client at each of the two addresses; they end by themselves."""
        with self.client.entered():
            for source in (FRIEND, BLOCKED):
                self._start(_LEASH + _CLIENT % (seconds, SERVER, PORT, source))

    def _start(self, script: str) -> None:
        child = Process(sys.executable, "-I", "-S", "-c", script)
        self._undo.callback(child.close)

    def close(self) -> None:
        """End the processes and take the namespaces down."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
