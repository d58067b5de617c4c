"""Asks backends whether they serve, all of them in one thread, and lets rings follow.

What is known is in tables, so that another controller goes on where this one ended; only when to ask next is not.
"""
from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import threading
from contextlib import contextmanager
from random import random

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple
from bpfwright.facets.balancer.control import numbers_in, refreshed
from bpfwright.facets.balancer.health import delay_s, judged
from bpfwright.facets.balancer.model import Check, Vip
from bpfwright.facets.balancer.probing import mark_of
from bpfwright.facets.balancer.standing import PROBED, State, key_of, read, written

if TYPE_CHECKING:
    from bpfwright.facets.balancer.model import Settings
    from bpfwright.facets.balancer.tables import Tables

__all__ = ["Target", "prober", "probed", "targets_of"]

_AT_ONCE = 64
_MOST_HEADER_BYTES = 16384
_FIRST_S = 1.0
_HEADERS_BYTES = {4: 40, 6: 60}     # IP and TCP
_OWN = (errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.ENETUNREACH,
        errno.EINVAL)
"""Errors of this host: no right to mark, no descriptors, no ports, no route."""
_SO_MARK = getattr(socket, "SO_MARK", 36)


class Target(NamedTuple):
    """A backend of a VIP to ask: where to connect, the mark that leads there (0: none), the largest segment."""

    vip: Vip
    name: str
    check: Check
    key: int
    address: bytes
    port: int
    mark: int
    segment: int
    context: Any


class Refused(Exception):
    """Why a check did not go well, in words."""


class NotAsked(Exception):
    """Why nobody was asked: something of this host's, which says nothing of a backend."""


def targets_of(settings: Settings, tables: Tables, maps: Any) -> list[Target]:
    """All backends that are to be asked."""
    from bpfwright.facets.balancer.control import shape_of
    vips, reals = numbers_in(settings, tables, maps)
    largest = shape_of(settings).largest - 14
    found = []
    for vip in settings.vips:
        if vip.check is None:
            continue
        context = _tls(vip.check) if vip.check.kind == "https" else None
        for use in vip.uses:
            number, real = vips[vip.text], reals[use.backend.address]
            straight = use.backend.local or vip.translates
            mark = 0 if straight else mark_of(settings.probe_mark, number, real)
            segment = largest - _HEADERS_BYTES[4 if len(vip.address) == 4 else 6]
            found.append(Target(vip, use.backend.name, vip.check, key_of(number, real),
                                use.backend.address if vip.translates else vip.address,
                                vip.check.port or use.port or vip.port, mark, segment, context))
    return found


def _tls(check: Check) -> ssl.SSLContext:
    made = ssl.create_default_context()
    if not check.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


@contextmanager
def prober(settings: Settings, tables: Tables, maps: Any) -> Iterator[Callable[[], None]]:
    """Ask while the block runs. What it gives raises what went wrong, if it is called."""
    working = _Prober(settings, tables, maps)
    thread = threading.Thread(target=working.run, name="health checks", daemon=True)
    thread.start()
    try:
        yield working.look
    finally:
        working.stop()
        thread.join()
    working.look()


class _Prober:
    def __init__(self, settings: Settings, tables: Tables, maps: Any) -> None:
        self.settings, self.tables, self.maps = settings, tables, maps
        self.targets = targets_of(settings, tables, maps)
        self.down, self.standing = maps(tables.down), maps(tables.standing)
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self.begin()

    def begin(self) -> None:
        """Give every target its entry, without which its probes find no tunnel."""
        for target in self.targets:
            entry = self.standing.get(target.key)
            if entry is None:
                self.standing[target.key] = written(State(up=target.key | PROBED not in self.down))
        refreshed(self.settings, self.tables, self.maps)

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        except BaseException as error:  # told by the thread that tends
            self.failure = error
        finally:
            self._loop.close()

    def look(self) -> None:
        if self.failure is not None:
            raise self.failure

    def stop(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._over.set)
        except RuntimeError:  # it has ended already
            pass

    async def _work(self) -> None:
        room = asyncio.Semaphore(_AT_ONCE)
        tasks = [asyncio.ensure_future(self._tended(target, room)) for target in self.targets]
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (over, *tasks):
                task.cancel()
            ended = await asyncio.gather(over, *tasks, return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _tended(self, target: Target, room: asyncio.Semaphore) -> None:
        check, failed = target.check, 0
        await asyncio.sleep(random() * min(_FIRST_S, check.interval_s))
        while True:
            async with room:
                try:
                    latency_ns, error = await probed(target)
                except NotAsked as problem:
                    self._not_asked(target, str(problem))
                    await asyncio.sleep(check.interval_s)
                    continue
            failed = failed + 1 if error else 0
            state = self._noted(target, latency_ns, error)
            await asyncio.sleep(delay_s(state, check, random(), failed=failed))

    def _not_asked(self, target: Target, why: str) -> None:
        """The backend stays as it was; the status says why it is not known."""
        entry = self.standing.get(target.key)
        self.standing[target.key] = written((State() if entry is None else read(entry))._replace(error=why))

    def _noted(self, target: Target, latency_ns: int, error: str) -> State:
        entry = self.standing.get(target.key)
        before = State() if entry is None else read(entry)
        state = judged(before, target.check, now_ns(), latency_ns, error)
        self.standing[target.key] = written(state)
        if state.up != before.up:
            if state.up:
                self.down.discard(target.key | PROBED)
            else:
                self.down[target.key | PROBED] = 1
            refreshed(self.settings, self.tables, self.maps)
        return state


# one probe

async def probed(target: Target) -> tuple[int, str]:
    """Ask once: how long it took in ns, and why it did not go well; empty where it did. NotAsked: nobody was asked."""
    began = now_ns()
    try:
        async with asyncio.timeout(target.check.timeout_s):
            await _ask(target)
    except TimeoutError:
        return 0, f"no answer within {target.check.timeout_s:g} s"
    except Refused as error:
        return 0, str(error)
    except ssl.SSLCertVerificationError as error:
        return 0, f"certificate: {error.verify_message}"
    except ssl.SSLError as error:
        return 0, f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    except asyncio.IncompleteReadError:
        return 0, "the connection was closed before an answer"
    except asyncio.LimitOverrunError:
        return 0, "what came is no HTTP"
    except OSError as error:
        if error.errno in _OWN:
            raise NotAsked(f"not asked: {os.strerror(error.errno).lower()}") from None
        return 0, os.strerror(error.errno).lower() if error.errno else str(error)
    return now_ns() - began, ""


async def _ask(target: Target) -> None:
    made = _socket(target)
    try:
        await asyncio.get_running_loop().sock_connect(made, (socket.inet_ntop(made.family, target.address),
                                                             target.port))
        _check_way(target, made)
        if target.check.kind == "tcp":
            return
        reader, writer = await asyncio.open_connection(
            sock=made, ssl=target.context, limit=_MOST_HEADER_BYTES,
            server_hostname=(target.check.sni or "") if target.context else None)
        try:
            await _request(target, reader, writer)
        finally:
            writer.transport.abort()
    finally:
        made.close()


def _socket(target: Target) -> socket.socket:
    family = socket.AF_INET if len(target.address) == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if target.mark:
            made.setsockopt(socket.SOL_SOCKET, _SO_MARK, target.mark)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, target.segment)
    except BaseException:
        made.close()
        raise
    return made


def _check_way(target: Target, made: socket.socket) -> None:
    """A VIP that this host has itself is connected to here, whatever the mark says: that would tell of nobody."""
    if target.mark and socket.inet_pton(made.family, made.getsockname()[0]) == target.address:
        raise NotAsked("not asked: this host has the VIP itself")


async def _request(target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    check = target.check
    writer.write(f"GET {check.path} HTTP/1.1\r\nHost: {_host(target)}\r\nUser-Agent: bpfwright\r\nAccept: */*\r\n"
                 "Connection: close\r\n\r\n".encode("ascii"))
    await writer.drain()
    status = _status(await reader.readuntil(b"\r\n"))
    if not any(low <= status <= high for low, high in check.status):
        raise Refused(f"status {status}")


def _host(target: Target) -> str:
    if target.check.host:
        return target.check.host
    family = socket.AF_INET if len(target.address) == 4 else socket.AF_INET6
    text = socket.inet_ntop(family, target.address)
    host = f"[{text}]" if family == socket.AF_INET6 else text
    return host if target.port == (443 if target.check.kind == "https" else 80) else f"{host}:{target.port}"


def _status(line: bytes) -> int:
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (words[1].isdigit() and len(words[1]) == 3):
        raise Refused("what came is no HTTP")
    return int(words[1])
