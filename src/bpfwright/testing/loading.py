"""Loading programs for the length of one test."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, TypeVar, overload
from bpfwright.session import Loaded, Session, load

if TYPE_CHECKING:
    from bpfwright.spec.machine import Machine
    from bpfwright.spec.program import Program
    from bpfwright.types.config import Config

__all__ = ["Bpf"]

I = TypeVar("I")
A = TypeVar("A")


class Bpf:
    """What the fixture `bpf` gives: `bpf(program)` loads as `load()` does, in the test's machine, until the test ends.

    >>> def test_drops_telnet(bpf: Bpf) -> None:
    ...     assert bpf(no_telnet).test(Ethernet() / IPv4() / TCP(dport=23)).action == xdp.DROP
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._sessions: list[Session] = []

    @overload
    def __call__(self, program: Program[Any, I, A], /, *, config: Config | None = None) -> Loaded[I, A]: ...
    @overload
    def __call__(self, first: Program[Any, Any, Any], second: Program[Any, Any, Any], /,
                 *more: Program[Any, Any, Any], config: Config | None = None) -> Session: ...
    def __call__(self, *programs: Any, config: Config | None = None) -> Any:
        """Load programs. Raises what load() does."""
        session: Session = load(*programs, machine=self.machine, config=config)
        self._sessions.append(session)
        return session

    def close(self) -> None:
        """Unload what was loaded, the latest first."""
        while self._sessions:
            self._sessions.pop().close()
