"""What programs send and receive through TLS (OpenSSL), as plain text.

examples:
  bpfwright tool sslsniff                    all programs that use this machine's libssl
  bpfwright tool sslsniff -p 181             of process 181, with its own libssl
  bpfwright tool sslsniff --comm curl        of curl
  bpfwright tool sslsniff --hexdump          as hexadecimal digits
  bpfwright tool sslsniff -l /path/libssl.so.3
"""
from bpfwright.types import i32, u32, u64
from bpfwright.facets.tools._plain import Buffer, plains, send
from bpfwright.facets.tools._probes import library_path
from bpfwright.facets.tools._tool import Column, Option, Options, Rows
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import current, user_word
from bpfwright.hooks import uprobe
from bpfwright.maps import LruHash

buffers = LruHash[u32, Buffer](max_entries=10_240)


@uprobe.program("libssl.so.3:SSL_write")
def written(ctx: uprobe.Context, ssl: u64, address: u64, length: u64) -> None:
    if wanted():
        send(1, address, length)


@uprobe.program("libssl.so.3:SSL_read")
def reading(ctx: uprobe.Context, ssl: u64, address: u64, length: u64, got: u64) -> None:
    if wanted():
        buffers[current.tid] = Buffer(address, got)


@uprobe.exit("libssl.so.3:SSL_read")
def read(ctx: uprobe.Context, ret: i32) -> None:
    buffer = buffers.pop(current.tid, None)
    if buffer is not None and ret > 0:
        send(0, buffer.address, u64(ret))


@uprobe.exit("libssl.so.3:SSL_read_ex")
def read_ex(ctx: uprobe.Context, ret: i32) -> None:
    buffer = buffers.pop(current.tid, None)
    if buffer is not None and ret > 0:
        send(0, buffer.address, user_word(buffer.length))


def programs(options: Options) -> object:
    path = options.library or library_path("ssl", options.pid)
    HEXDUMP[0] = options.hexdump
    return tuple(program.on(uprobe.Symbol(path, name, pid=options.pid)) for program, name in (
        (written, "SSL_write"), (written, "SSL_write_ex"), (reading, "SSL_read"), (reading, "SSL_read_ex"),
        (read, "SSL_read"), (read_ex, "SSL_read_ex")))


HEXDUMP = [False]
TOOL = Rows(plains, programs, (
    Column("FUNC", "<12", lambda e: "WRITE/SEND" if e.write else "READ/RECV"), Column("TIME(s)", "<18.9f", "@elapsed"),
    Column("COMM", "<16"), Column("PID", "<7"), Column("LEN", "<6", "length"),
    Column("DATA", "", lambda e: shown(bytes(e.bytes)[:e.length]))),
    options=(Option("-l, --library", "the file of libssl", ""), Option("-x, --hexdump", "as hexadecimal digits")))


def shown(data: bytes) -> str:
    return data.hex() if HEXDUMP[0] else data.decode(errors="backslashreplace")
