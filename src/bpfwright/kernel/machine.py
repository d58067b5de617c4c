"""The Kernel machine: loads objects into the running kernel and attaches their programs."""
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from bpfwright.kernel.loader import KernelObject, Loader
from bpfwright.spec.machine import LoadedMap
from bpfwright.spec.objects import ObjectSpec

if TYPE_CHECKING:
    from bpfwright.formats.btf.relocate import Relocator
    from bpfwright.kernel.types import KernelTypes

__all__ = ["Kernel"]


class Kernel:
    """The running Linux kernel as a Machine (see spec.machine).

        with Kernel() as machine, machine.load(read(data)) as loaded:
            print(loaded.programs["firewall"].test_run(packet).value)
    """

    def __init__(self) -> None:
        self._types: KernelTypes | None = None

    @property
    def types(self) -> KernelTypes:
        """The kernel's type information, opened at the first use."""
        if self._types is None:
            from bpfwright.kernel.types import KernelTypes
            self._types = KernelTypes()
        return self._types

    def close(self) -> None:
        """Give back what the machine itself holds; objects and links close on their own."""
        types, self._types = self._types, None
        if types:
            types.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None) -> KernelObject:
        """Load an object; see spec.machine.Machine.load. Raises VerifierError, PrivilegeError, NotSupported."""
        def relocator() -> Relocator:
            from bpfwright.formats.btf.relocate import Relocator
            return Relocator(spec.btf, self.types.vmlinux, self.types.modules)
        return Loader(spec, self.types, relocator).load(programs, maps)
