"""Names for the kernel's numbers, looked up on this side: processes, signals, capabilities, errors, mount flags."""
from __future__ import annotations

__all__ = ["capability_name", "comm_of", "error_name", "mount_flags", "signal_name"]


def comm_of(pid: int) -> str:
    """The name of a process that may be over."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def signal_name(number: int) -> str:
    """INT for 2."""
    from signal import Signals
    try:
        return Signals(number).name.removeprefix("SIG")
    except ValueError:
        return f"RT{number}" if number > 31 else str(number)


CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE")


def capability_name(number: int) -> str:
    """CAP_SYS_ADMIN for 21."""
    return f"CAP_{CAPABILITIES[number]}" if 0 <= number < len(CAPABILITIES) else "?"


def error_name(number: int) -> str:
    """ENOENT for 2."""
    from errno import errorcode
    return errorcode.get(number, str(number))


MOUNT_FLAGS = (
    "RDONLY", "NOSUID", "NODEV", "NOEXEC", "SYNCHRONOUS", "REMOUNT", "MANDLOCK", "DIRSYNC", "NOSYMFOLLOW", "",
    "NOATIME", "NODIRATIME", "BIND", "MOVE", "REC", "SILENT", "POSIXACL", "UNBINDABLE", "PRIVATE", "SLAVE", "SHARED",
    "RELATIME", "KERNMOUNT", "I_VERSION", "STRICTATIME", "LAZYTIME")


def mount_flags(flags: int) -> str:
    """MS_BIND|MS_REC and the like."""
    words = ["MS_MGC_VAL"] if flags & 0xFFFF0000 == 0xC0ED0000 else []
    flags = flags & 0xFFFF if words else flags
    return "|".join(words + [f"MS_{name}" for bit, name in enumerate(MOUNT_FLAGS) if name and flags >> bit & 1]) or "0"


def meminfo_kb(name: str) -> int:
    """A line of /proc/meminfo."""
    with open("/proc/meminfo") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def load_average() -> str:
    """The first line of /proc/loadavg."""
    with open("/proc/loadavg") as file:
        return file.read().strip()


def tcp_flags(flags: int) -> str:
    """SYN|ACK for 0x12."""
    words = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
    return "|".join(word for bit, word in enumerate(words) if flags >> bit & 1)


def drop_reason(number: int) -> str:
    """Why the kernel drops a packet, in the words of the running kernel's own event."""
    if not _reasons:
        import re

        from bpfwright.kernel.tracepoints import event_format
        text = event_format("skb", "kfree_skb")
        _reasons.update({int(value): name for value, name in re.findall(r"\{ *(\d+), *\"(\w+)\" *\}", text)})
    return _reasons.get(number, str(number))


_reasons: dict[int, str] = {}
