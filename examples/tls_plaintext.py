"""What programs send through TLS, before it is encrypted: `sudo python tls_plaintext.py [LIBSSL [SECONDS]]`."""
import sys

from bpfwright import L, Struct, char, run, u32, u64
from bpfwright.helpers import current
from bpfwright.hooks import uprobe
from bpfwright.maps import RingBuf
from bpfwright.types import User, UserStr


class Sent(Struct):
    pid: u32
    length: u64
    comm: char[L[16]]
    text: char[L[512]]


sent = RingBuf[Sent](size_bytes=1 << 20)


@uprobe.program("libssl.so.3:SSL_write")
def write(ctx: uprobe.Context, ssl: User[u64], text: UserStr, length: u64) -> None:
    sent.emit(Sent(current.pid, length, current.comm, text.read(512) or ""))


@uprobe.program("libssl.so.3:SSL_write_ex")  # Python's own ssl module calls this one
def write_ex(ctx: uprobe.Context, ssl: User[u64], text: UserStr, length: u64) -> None:
    sent.emit(Sent(current.pid, length, current.comm, text.read(512) or ""))


if __name__ == "__main__":
    library = sys.argv[1] if len(sys.argv) > 1 else "libssl.so.3"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    targets = (write.on(uprobe.Symbol(library, "SSL_write")), write_ex.on(uprobe.Symbol(library, "SSL_write_ex")))
    with run(*targets, duration_s=seconds) as session:
        print(f"watching {library}", file=sys.stderr, flush=True)
        for event in session.events(sent):
            print(event.pid, event.comm, repr(event.text[:event.length]), flush=True)
