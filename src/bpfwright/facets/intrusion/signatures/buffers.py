"""The buffers of protocols that rules look into: their names, who says them, and what of a content in one of them must
stand in the bytes as they were sent, so that the kernel may look for it."""
from __future__ import annotations

import re

from bpfwright._typing import Callable, NamedTuple
from bpfwright.facets.intrusion.signatures.model import Content, Group

__all__ = ["BUFFERS", "Buffer", "LETTERS", "MODIFIERS", "STICKY", "VALUED", "sure_parts"]

_Split = Callable[[bytes], list[bytes]]


class Buffer(NamedTuple):
    """`side`: who says it ("" both); `sure` splits a content into parts, each of which is in the packet as it is, or
    None where nothing is sure; `signs`: what tells, when it is in the packet, that even those need not be:
    "escape" (%XX), "fold" (a header goes over lines), "chunked" (a body in pieces). `many`: a message has several.
    `digits`: hexadecimal, in which large and small letters are the same."""

    protocol: str
    side: str
    sure: _Split | None
    signs: tuple[str, ...]
    says: str
    lower: bool = False
    many: bool = False
    digits: bool = False


def _whole(pattern: bytes) -> list[bytes]:
    return [pattern]


def _between(expression: bytes) -> _Split:
    cut = re.compile(expression)
    return lambda pattern: [part for part in cut.split(pattern) if part]


_PATH = _between(rb"[/\\#]")           # what // and /./ and /x/../ leave as it was
_VALUE = _between(rb", +|^ +|,$")         # the same header twice is put together with a comma
_LINES = _between(rb"\r|\n|: ?|^ +| +$|, +|,$")
_LABELS = _between(rb"\.")
_HOST = _between(rb", +|,$|^ +")
_FOLD = ("fold",)


def _http(side: str, sure: _Split | None, signs: tuple[str, ...], says: str, *, lower: bool = False) -> Buffer:
    return Buffer("http", side, sure, signs, says, lower)


BUFFERS: dict[str, Buffer] = {
    "http.method": _http("server", _whole, (), "the request's method"),
    "http.uri": _http("server", _PATH, ("escape",), "its URI behind the host: %XX decoded, in the path \\ as /, "
                      "without //, /. and /.."),
    "http.uri.raw": _http("server", _whole, (), "its URI as it was sent"),
    "http.request_line": _http("server", _whole, (), "its first line"),
    "http.host": _http("server", _HOST, _FOLD, "the host of its URI or header, in lower case, without port",
                       lower=True),
    "http.host.raw": _http("server", _HOST, _FOLD, "the same as it was sent"),
    "http.user_agent": _http("server", _VALUE, _FOLD, "the header's value"),
    "http.accept": _http("server", _VALUE, _FOLD, "the header's value"),
    "http.accept_enc": _http("server", _VALUE, _FOLD, "the header's value"),
    "http.accept_lang": _http("server", _VALUE, _FOLD, "the header's value"),
    "http.referer": _http("server", _VALUE, _FOLD, "the header's value"),
    "http.request_body": _http("server", _whole, ("chunked",), "what a request sends, as far as it is copied"),
    "http.protocol": _http("", _whole, (), "HTTP/1.1 and the like"),
    "http.header": _http("", _LINES, _FOLD, "name, colon, space, value, CRLF of each header but cookies"),
    "http.header.raw": _http("", _whole, (), "headers as they were sent"),
    "http.header_names": _http("", _LINES, (), "CRLF, and each name with CRLF, and CRLF"),
    "http.cookie": _http("", _VALUE, _FOLD, "Cookie's value, or Set-Cookie's"),
    "http.connection": _http("", _VALUE, _FOLD, "the header's value"),
    "http.content_type": _http("", _VALUE, _FOLD, "the header's value"),
    "http.content_len": _http("", _VALUE, _FOLD, "the header's value"),
    "http.start": _http("", _LINES, _FOLD, "the first line and the headers in normal form"),
    "http.stat_code": _http("client", _whole, (), "200 and the like"),
    "http.stat_msg": _http("client", _whole, (), "OK and the like"),
    "http.response_line": _http("client", _whole, (), "the answer's first line"),
    "http.server": _http("client", _VALUE, _FOLD, "the header's value"),
    "http.location": _http("client", _VALUE, _FOLD, "the header's value"),
    "http.response_body": _http("client", None, (), "what an answer sends, gzip and deflate unpacked, as far as it is "
                                "copied"),
    "file.data": _http("client", None, (), "the same"),
    "dns.query": Buffer("dns", "server", _LABELS, (), "a question's name with dots; each time it stands in a rule it "
                        "is about a question of its own", many=True),
    "tls.sni": Buffer("tls", "server", None, (), "the name that a client asks for"),
    "ja3.hash": Buffer("tls", "server", None, (), "JA3 of a client's hello, in hexadecimal", digits=True),
    "ja3.string": Buffer("tls", "server", None, (), "what it is made of"),
    "ja3s.hash": Buffer("tls", "client", None, (), "JA3S of a server's hello, in hexadecimal", digits=True),
    "ja3s.string": Buffer("tls", "client", None, (), "what it is made of"),
    "tls.cert_subject": Buffer("tls", "client", None, (), "whom the server's certificate is for, as `C=US, O=Example, "
                               "CN=www.example.org`, in its order; none in TLS 1.3, which encrypts it"),
    "tls.cert_issuer": Buffer("tls", "client", None, (), "who made it, likewise"),
    "tls.cert_serial": Buffer("tls", "client", None, (), "its number, as `0A:1B`", digits=True),
    "tls.cert_fingerprint": Buffer("tls", "client", None, (), "its SHA-1, as `0a:1b`, if all of it is copied",
                                   digits=True),
    "tls.certs": Buffer("tls", "client", None, (), "the bytes of each certificate of the server's that is copied whole"
                        ),
    "ssh.proto": Buffer("ssh", "", None, (), "2.0 and the like"),
    "ssh.software": Buffer("ssh", "", None, (), "the program's name and version"),
}
STICKY = {**{name: name for name in BUFFERS},
          **{name.replace(".", "_"): name for name in (
              "http.request_line", "http.response_line", "http.protocol", "http.start", "http.header_names",
              "http.accept", "http.accept_lang", "http.accept_enc", "http.referer", "http.connection",
              "http.content_type", "http.content_len", "file.data", "dns.query", "tls.sni", "ja3.hash", "ja3.string",
              "tls.cert_subject", "tls.cert_issuer", "tls.cert_serial", "tls.cert_fingerprint")},
          "ssh_proto": "ssh.proto"}
"""Words before contents, and the buffers that they are about."""
MODIFIERS = {"http_method": "http.method", "http_uri": "http.uri", "http_raw_uri": "http.uri.raw",
             "http_client_body": "http.request_body", "http_header": "http.header",
             "http_raw_header": "http.header.raw", "http_cookie": "http.cookie", "http_user_agent": "http.user_agent",
             "http_host": "http.host", "http_raw_host": "http.host.raw", "http_stat_code": "http.stat_code",
             "http_stat_msg": "http.stat_msg", "http_server_body": "http.response_body"}
"""Words behind a content."""
VALUED = {"uricontent": "http.uri", "tls.subject": "tls.cert_subject", "tls.issuerdn": "tls.cert_issuer",
          "tls.fingerprint": "tls.cert_fingerprint"}
"""Words that are contents themselves."""
LETTERS = {"U": "http.uri", "I": "http.uri.raw", "P": "http.request_body", "Q": "http.response_body",
           "H": "http.header", "D": "http.header.raw", "M": "http.method", "C": "http.cookie", "S": "http.stat_code",
           "Y": "http.stat_msg", "V": "http.user_agent", "W": "http.host", "Z": "http.host.raw"}
"""Flags of pcre."""
_KEEP_LENGTH = {"to_lowercase", "to_uppercase", "header_lowercase", "dotprefix"}


def sure_parts(group: Group) -> list[Content]:
    """What must be in the packet, if the group matches, and none of its buffer's signs is there: any of these."""
    buffer = BUFFERS[group.buffer]
    if buffer.sure is None or set(group.transforms) - _KEEP_LENGTH:
        return []
    folded = bool(set(group.transforms) & {"to_lowercase", "to_uppercase", "header_lowercase"}) or buffer.lower
    found = []
    for step in group.steps:
        if isinstance(step, Content) and not step.negated:
            pattern = step.pattern.lstrip(b".") if "dotprefix" in group.transforms else step.pattern
            found += [Content(part, nocase=step.nocase or folded, fast=step.fast) for part in buffer.sure(pattern)
                      if len(part) > 1]
    return found
