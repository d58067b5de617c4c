"""The one tree of exceptions: what went wrong, why, and what to do.

    BpfwrightError
    ├─ UsageError                a call that cannot mean anything (also a ValueError)
    │  ├─ WrongType              a key, value or argument of the wrong type (also a TypeError)
    │  ├─ InsideOnly             an attribute that exists inside kernel programs only (also an AttributeError)
    │  └─ ConfigurationError     a file that configures something: file, line, what is wrong there, the cure
    ├─ CompileError              a program that does not compile: file, line, caret, suggestion
    ├─ CompilerCrash             LLVM's back end ended the compile worker; its last words are kept
    ├─ FormatError               a file or byte string that is not what it claims to be
    │  ├─ ElfError
    │  ├─ BtfError
    │  └─ RelocationError        a CO-RE or ELF relocation that cannot be applied
    ├─ KernelError               a system call failed (also an OSError: errno, strerror)
    │  ├─ PrivilegeError         the missing capability, and what to type
    │  └─ VerifierError          the verifier's rejection on its source line; .log holds all of it
    ├─ NotSupported              this kernel lacks it: what, why, and since which kernel it exists
    ├─ TargetError               an interface, process, symbol or event that is not there (any more)
    ├─ Fault                     a program of the userspace machine did what no verifier lets pass
    ├─ ReplayError               a replay that goes another way than the run that was recorded
    ├─ SessionError              a map or program used outside its session, or in two at once
    ├─ MapFull                   no room for another entry (also an OverflowError)
    └─ CacheError                a cache that another user could have written
"""
from __future__ import annotations

__all__ = [
    "BpfwrightError", "BtfError", "CacheError", "CompileError", "CompilerCrash", "ConfigurationError", "ElfError",
    "Fault", "FormatError", "InsideOnly", "KernelError", "MapFull", "NotSupported", "PrivilegeError",
    "RelocationError", "ReplayError", "SessionError", "TargetError", "UsageError", "VerifierError", "WrongType",
]


class BpfwrightError(Exception):
    """Everything that bpfwright raises on purpose.

    `what` is one line of what failed, `why` one of the reason, `cure` one of what to do; the last two may be empty.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", cure: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.cure = cure

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.cure) if line)


class UsageError(BpfwrightError, ValueError):
    """A call that cannot mean anything."""

    exit_code = 2


class WrongType(UsageError, TypeError):
    """A key, value or argument whose type does not fit."""


class InsideOnly(UsageError, AttributeError):
    """An attribute that exists inside kernel programs only."""


class ConfigurationError(UsageError):
    """A file that configures something is wrong at a line: `file`, `line` (from 1), `column` (from 1; 0: not known)."""

    def __init__(self, what: str, *, file: str, line: int, column: int = 0, why: str = "", cure: str = "") -> None:
        super().__init__(f"{file}:{line}:{column}: {what}" if column else f"{file}:{line}: {what}", why=why, cure=cure)
        self.file = file
        self.line = line
        self.column = column


class CompileError(BpfwrightError):
    """A program that does not compile; `line` and `column` count from 1 and 0, as Python's do."""

    exit_code = 6

    def __init__(self, what: str, *, file: str = "", line: int = 0, column: int = 0, end_column: int = 0,
                 source: str = "", cure: str = "") -> None:
        super().__init__(what, cure=cure)
        self.file = file
        self.line = line
        self.column = column
        self.end_column = end_column
        self.source = source

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}: {self.what}" if self.file else self.what
        if self.source:
            width = max(1, self.end_column - self.column)
            caret = " " * len(self.source[:self.column].expandtabs(4)) + "^" * width
            text += f"\n    {self.source.expandtabs(4)}\n    {caret}"
        return f"{text}\n  {self.cure}" if self.cure else text


class CompilerCrash(BpfwrightError):
    """LLVM's back end ended the compile worker; `diagnostics` is what it printed."""

    def __init__(self, what: str, *, diagnostics: str = "", cure: str = "") -> None:
        super().__init__(what, why=diagnostics.strip(), cure=cure)
        self.diagnostics = diagnostics


class FormatError(BpfwrightError):
    """Bytes that are not what they claim to be; `offset` is where, in bytes, when known."""

    def __init__(self, what: str, *, offset: int | None = None, why: str = "", cure: str = "") -> None:
        super().__init__(what if offset is None else f"{what} (at byte {offset})", why=why, cure=cure)
        self.offset = offset


class ElfError(FormatError):
    """Not an ELF object that holds BPF."""


class BtfError(FormatError):
    """Malformed BTF, or a type that is not in it."""


class RelocationError(FormatError):
    """A relocation that cannot be applied."""


class KernelError(BpfwrightError, OSError):
    """A system call failed; `errno` is the kernel's number."""

    def __init__(self, what: str, errno: int, *, why: str = "", cure: str = "") -> None:
        BpfwrightError.__init__(self, what, why=why, cure=cure)
        self.errno = errno


class PrivilegeError(KernelError):
    """The kernel refuses for want of privilege."""

    exit_code = 3


class VerifierError(KernelError):
    """The verifier rejected a program.

    `program` its name; `file`, `line`, `source` the source line; `reason` the verifier's own sentence; `state` what it
    knew there (one line per register or variable); `cure` the likely mend; `log` everything it said.
    """

    exit_code = 5

    def __init__(self, what: str, errno: int, *, program: str = "", file: str = "", line: int = 0, source: str = "",
                 reason: str = "", state: tuple[str, ...] = (), cure: str = "", log: str = "") -> None:
        super().__init__(what, errno, why=reason, cure=cure)
        self.program = program
        self.file = file
        self.line = line
        self.source = source
        self.reason = reason
        self.state = state
        self.log = log

    def __str__(self) -> str:
        lines = [self.what]
        if self.line:
            lines.append(f"  {self.file}:{self.line}: {self.source.strip()}")
        lines += [f"  verifier: {self.reason}"] if self.reason else []
        lines += [f"  it knew:  {known}" for known in self.state]
        lines += [f"  cure:     {self.cure}"] if self.cure else []
        return "\n".join(lines)


class NotSupported(BpfwrightError):
    """This kernel lacks a feature; `since` names the kernel that brought it."""

    exit_code = 4

    def __init__(self, what: str, *, since: str = "", why: str = "", cure: str = "") -> None:
        super().__init__(what, why=why, cure=cure or (f"It exists since Linux {since}." if since else ""))
        self.since = since


class TargetError(BpfwrightError, LookupError):
    """An interface, process, symbol or event that is not there, or not any more."""


class Fault(BpfwrightError):
    """A program of the userspace machine did what no verifier lets pass, and was stopped there.

    `kind` is one of `read`, `write`, `budget`, `depth`, `instruction`, `call`, `held` (it ended without giving back
    what it took), `unset` (it used what nothing was stored in); `instruction` a slot of the linked program; `address`
    where it reached; `line` the source line, when the object has one.
    """

    exit_code = 5

    def __init__(self, kind: str, instruction: int, address: int = 0, *, why: str = "", line: object = None) -> None:
        said = {"read": f"reads memory that is not its own, at {address:#x}",
                "write": f"writes memory that is not its own, at {address:#x}", "budget": "does not come to an end",
                "depth": "calls too deep", "instruction": "means nothing", "call": "calls what is not there",
                "held": "ends the program, which still holds something", "unset": "uses what was never set"}[kind]
        super().__init__(f"instruction {instruction} {said}", why=why or (str(line) if line else ""))
        self.kind = kind
        self.instruction = instruction
        self.address = address
        self.line = line


class ReplayError(BpfwrightError):
    """A replay goes another way than the run that was recorded: another program, other input, a run that was lost."""


class SessionError(BpfwrightError, RuntimeError):
    """A map or program used outside its session, or in two at once."""


class MapFull(BpfwrightError, OverflowError):
    """No room for another entry."""


class CacheError(BpfwrightError):
    """A cache that another user could have written."""
