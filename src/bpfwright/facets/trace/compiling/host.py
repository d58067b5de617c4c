"""What a script is compiled for: this machine's types and symbols, the command line, the configuration."""
from __future__ import annotations

import os

from bpfwright._host import processor
from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.configuration import DEFAULTS

if TYPE_CHECKING:
    from bpfwright.facets.trace.layouts import Layouts
    from bpfwright.facets.trace.options import Options
    from bpfwright.facets.trace.probes.sites import Site

__all__ = ["Host"]

_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # include/linux/proc_ns.h: PROC_PID_INIT_INO


class Host:
    """The answers that checking asks for."""

    def __init__(self, machine: Any, layouts: Layouts, options: Options, settings: dict[str, int | str | bool]) -> None:
        self.machine = machine
        self.layouts = layouts
        self.options = options
        self.settings = settings
        self.words = options.words
        self.named = options.named
        self.has_child = options.traces_child
        self.architecture = processor()
        self.functions: dict[str, tree.Function] = {}
        self.constants: dict[str, str] = {}
        self.asked: list[str] = []
        self.parameters: dict[str, tuple[Any, bool, str]] = {}
        self.unreached = 0
        self._symbols: Any = None

    @property
    def text_room(self) -> int:
        """How many bytes a text has, unless it says so itself."""
        return int(self.setting("max_strlen"))

    @property
    def cpus(self) -> int:
        """How many processors there may be."""
        from bpfwright.kernel.cpus import possible_cpus
        return possible_cpus()

    @property
    def pid_namespace(self) -> tuple[int, int] | None:
        """Device and inode of this process's PID namespace, unless it is the first one."""
        try:
            found = os.stat("/proc/self/ns/pid")
        except OSError:
            return None
        return None if found.st_ino == _FIRST_PID_NAMESPACE else (found.st_dev, found.st_ino)

    @property
    def machine_has_cookies(self) -> bool:
        """Whether attachments can carry a number of their own (since Linux 5.15)."""
        from bpfwright.session import target_of
        return target_of(self.machine).has("cookies")

    def has_feature(self, name: str) -> bool:
        """Whether the kernel has a feature, by session's short names."""
        from bpfwright.session import target_of
        return target_of(self.machine).has(name)

    def setting(self, name: str) -> int | str | bool:
        """A configured value, or what holds without."""
        return self.settings.get(name, DEFAULTS[name])

    def defined(self, name: str) -> tree.Expression | None:
        """What a `#define`, or a constant of the C library, stands for."""
        from bpfwright.facets.trace.compiling.constants import constant_named
        return constant_named(name, self.constants, self.architecture)

    @staticmethod
    def macro_free(name: str) -> bool:
        """Whether a word still means what the library says: macros are gone by now."""
        return bool(name)

    def kernel_address(self, name: str) -> int | None:
        """Where a kernel symbol is."""
        if self._symbols is None:
            from bpfwright.symbols import KernelSymbols
            self._symbols = KernelSymbols()
        from bpfwright.errors import BpfwrightError
        try:
            found: int = self._symbols.address(name)
        except BpfwrightError:
            return None
        return found

    def user_address(self, site: Site, name: str) -> tuple[int, int, bool] | None:
        """Where a symbol of the traced binary is, its size, and whether that counts from the probe's instruction."""
        from bpfwright.facets.trace.probes.user import symbol_address
        return symbol_address(self, site, name)

    def has_kfunc(self, name: str) -> bool:
        """Whether the kernel has a function that programs may call, by that name."""
        from bpfwright.formats.btf import Kind
        return self.machine.types.find(name, Kind.FUNC) is not None

    @staticmethod
    def kfunc_allowed(name: str, kind: str) -> bool:
        """Whether programs of a kind may call kfuncs at all: tracing ones, and since Linux 6.10 others."""
        return kind in ("tp_btf", "fentry", "fexit", "iter", "syscalls") and bool(name)

    def unstable(self, known: Any, setting: str, span: Any, what: str) -> None:
        """Warn of what may change yet, or refuse it, as it is configured."""
        mode = self.setting(setting)
        if mode == "error":
            raise refuse(span, f"{what} may change yet", f"Allow it: `config = {{ {setting}=enable }}`.")
        if mode == "warn":
            known.warn(span, f"{what} may change yet", f"`config = {{ {setting}=enable }}` says that you know.")

    def needs_unsafe(self, node: Any) -> None:
        """Refuse what changes the system, unless that was allowed."""
        if not self.options.unsafe:
            raise refuse(node.span, f"`{node.name}` acts on the system", "Allow it: `bpfwright trace --unsafe`.")
