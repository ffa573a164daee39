"""The only way to a URL that a user may set (login providers, webhooks): no address of our own network is ever asked.

    check_url("https://login.example.com")           its form alone, when a user sets it
    answer = fetch("https://login.example.com/keys")   its name resolved and checked, and that of every redirect

A URL is https, carries no credentials and names a public host. All that its name resolves to must be public, whatever
form an address is hidden in, and the connection goes to the very address that was checked: a second answer of DNS is
never asked for. Hosts that `BATON_OUTBOUND_ALLOW` lists may be private and speak http. No proxy of the environment is
used: it would resolve names itself.
"""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

import httpx

from settings import settings

TIMEOUT_SECONDS = 10.0
CONNECT_SECONDS = 3.0
RESOLVE_SECONDS = 5.0
MAX_BYTES = 1024 * 1024
MAX_REDIRECTS = 3
MAX_URL_CHARACTERS = 2048
MAX_ADDRESSES = 3
MAX_LOOKUPS = 8  # names at a time

LATE = "no whole answer in time"

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRIVATE_ENDINGS = ("localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "home.arpa")

# Python calls these public: protocols' own addresses, 6to4's relays, and where Azure answers its own machines.
_NOT_PUBLIC_V4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"), IPv4Network("168.63.129.16/32"))
_PUBLIC_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)
_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address


class RefusedUrl(Exception):
    """This URL must not be asked; the message says why, in words for the user who set it."""


class FetchFailed(Exception):
    """The other side did not answer, or not as it may; the message says what happened."""


class Answer(NamedTuple):
    """What came back: url is the last one, after redirects; body at most as long as was asked for."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class _Target(NamedTuple):
    """Where a URL leads: allowed tells whether the operator lists the host."""

    host: str
    port: int
    allowed: bool


def check_url(url: str) -> None:
    """Whether a user may set this URL, by its form alone: no name is resolved. Raises RefusedUrl."""
    _target(url)


def resolve(url: str) -> list[Address]:
    """The addresses that may be asked for this URL; every one of its name is public. Raises RefusedUrl, FetchFailed."""
    target = _target(url)
    found = _addresses(target.host, target.port)
    if not target.allowed:
        for address in found:
            _must_be_public(address, target.host)
    return found


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    max_bytes: int = MAX_BYTES,
    transport: httpx.BaseTransport | None = None,
) -> Answer:
    """Ask a user's URL. Only GET and HEAD follow redirects, three at most, each checked like the first.

    timeout_seconds: for all of it, however slowly the other side drips. Raises RefusedUrl, FetchFailed (also for an
    answer of more than `max_bytes`).
    """
    check_url(url)
    transport = transport or PinnedTransport()
    waits = httpx.Timeout(timeout_seconds, connect=min(timeout_seconds, CONNECT_SECONDS))
    with (
        _Deadline(timeout_seconds) as deadline,
        httpx.Client(transport=transport, trust_env=False, timeout=waits) as client,
    ):
        # Not compressed: a small answer must not become a large one.
        told = {**(headers or {}), "Accept-Encoding": "identity"}
        extensions = {"trace": deadline.watch}
        try:
            asked = client.build_request(method, url, headers=told, content=content, extensions=extensions)
            return _exchange(client, asked, deadline, max_bytes)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as failed:
            raise FetchFailed(LATE if deadline.passed else str(failed) or type(failed).__name__) from failed


def _exchange(client: httpx.Client, asked: httpx.Request, deadline: _Deadline, max_bytes: int) -> Answer:
    """Send it, and what a redirect asks for; httpx itself would read a redirect's whole body, however long."""
    for _ in range(MAX_REDIRECTS + 1):
        answer = client.send(asked, stream=True)
        try:
            if answer.next_request is None or asked.method not in ("GET", "HEAD"):
                return _whole(answer, deadline, max_bytes)
            asked = answer.next_request
        finally:
            answer.close()
    raise FetchFailed(f"more than {MAX_REDIRECTS} redirects")


def _whole(answer: httpx.Response, deadline: _Deadline, max_bytes: int) -> Answer:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed("the answer is compressed, which was not asked for")
    body = bytearray()
    for part in answer.iter_raw():
        body += part
        if len(body) > max_bytes:
            raise FetchFailed(f"the answer has more than {max_bytes} bytes")
        if deadline.passed:
            break
    if deadline.passed:  # a connection that was cut looks like the end of the answer
        raise FetchFailed(LATE)
    return Answer(answer.status_code, dict(answer.headers), bytes(body), str(answer.url))


class PinnedTransport(httpx.BaseTransport):
    """A transport for httpx that asks only what `resolve` lets through, at the address that was checked.

    The certificate is still verified against the name. inner: what makes the connection (tests give their own).
    """

    def __init__(self, inner: httpx.BaseTransport | None = None) -> None:
        # No connection is kept: two names behind one address must not share one, nor its certificate.
        never_kept = httpx.Limits(max_keepalive_connections=0)
        self._inner = inner or httpx.HTTPTransport(verify=_tls(), trust_env=False, limits=never_kept)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Resolve, check, connect. Raises RefusedUrl, FetchFailed, httpx.HTTPError."""
        addresses, name = resolve(str(request.url))[:MAX_ADDRESSES], request.url.raw_host.decode()
        for left, address in enumerate(addresses, 1 - len(addresses)):
            pinned = httpx.Request(
                request.method,
                request.url.copy_with(host=str(address)),
                headers=request.headers,  # Host among them: the name, not the address
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": name},
            )
            try:
                return self._inner.handle_request(pinned)
            except httpx.ConnectError:
                if left == 0:
                    raise
        raise FetchFailed(f"{name} has no address")

    def close(self) -> None:
        """Close what is open."""
        self._inner.close()


class _Deadline:
    """Ends an exchange after so many seconds: httpx's own timeouts begin anew with every byte that drips in."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._until = time.monotonic() + seconds
        self._stream: Any = None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    @property
    def passed(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._until

    def watch(self, event: str, about: Mapping[str, Any]) -> None:
        """Learn the connection from httpx's trace. Raises FetchFailed where one is begun too late."""
        if event == "connection.connect_tcp.started" and self.passed:
            raise FetchFailed(LATE)
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = about["return_value"]
            if self.passed:
                self._cut()

    def _cut(self) -> None:
        stream = self._stream
        if stream is not None:
            with suppress(OSError, AttributeError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _checked_text(url: str) -> str:
    """The URL, if it has only what every parser of URLs reads alike."""
    if not isinstance(url, str) or not 0 < len(url) <= MAX_URL_CHARACTERS:
        raise RefusedUrl(f"must be a URL of at most {MAX_URL_CHARACTERS} characters")
    if not url.isascii() or not url.isprintable() or re.search(r'[\s\\"<>^`{|}]', url):
        raise RefusedUrl("must be plain ASCII without spaces and backslashes (a name of other letters as xn--…)")
    return url


def _target(url: str) -> _Target:
    try:
        parsed = httpx.URL(_checked_text(url))
        host, port, scheme = parsed.raw_host.decode().lower().removesuffix("."), parsed.port, parsed.scheme
    except (httpx.InvalidURL, ValueError) as wrong:
        raise RefusedUrl("is not a URL") from wrong
    if not host or scheme not in ("http", "https"):
        raise RefusedUrl("must begin with https:// and name a host")
    if parsed.userinfo or "@" in re.split("[/?#]", url.partition("://")[2])[0]:
        raise RefusedUrl("must not carry a user or password")
    if port is not None and not 0 < port < 65536:
        raise RefusedUrl("names a port that there is not")
    port = port or (443 if scheme == "https" else 80)
    allowed = _is_allowed(host, port)
    if scheme != "https" and not allowed:
        raise RefusedUrl("must begin with https://")
    if not allowed:
        _must_look_public(host)
    return _Target(host, port, allowed)


def _must_look_public(host: str) -> None:
    literal = _literal(host)
    if literal is not None and "%" not in host:
        return _must_be_public(literal, host)
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise RefusedUrl("does not name a host")
    last = host.rpartition(".")[2]
    if _NUMBER.fullmatch(last):  # 2130706433, 0x7f.1, 0177.0.0.1: resolvers take them for addresses
        raise RefusedUrl("must write an address as four plain numbers")
    if "." not in host or host.endswith(tuple(f".{ending}" for ending in _PRIVATE_ENDINGS)):
        raise RefusedUrl(f"{host} is a name of a private network")
    return None


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _must_be_public(address: Address, host: str) -> None:
    """Raises RefusedUrl. The message names no address: who sets URLs must not learn what our names resolve to."""
    if not _is_public(address):
        raise RefusedUrl(f"{host} is not a public address")


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _is_public(address.ipv4_mapped)
        if address in _NAT64:
            return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC_V4)


def _is_allowed(host: str, port: int) -> bool:
    listed = {one.strip().lower() for one in settings().outbound_allow.split(",") if one.strip()}
    written = f"[{host}]" if ":" in host else host
    return bool({written, f"{written}:{port}"} & listed)


def _addresses(host: str, port: int) -> list[Address]:
    """What the name resolves to, in the resolver's order. Raises FetchFailed."""
    found: list[Any] = []
    getaddrinfo = _resolver()

    def look() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(getaddrinfo(host, port, type=socket.SOCK_STREAM))

    _within(look, RESOLVE_SECONDS)
    addresses = list(dict.fromkeys(ip_address(row[4][0].partition("%")[0]) for row in tuple(found)))
    if not addresses:
        raise FetchFailed(f"the name {host} does not resolve")
    return addresses


def _within(look: Callable[[], None], seconds: float) -> None:
    """Call it, and go on after so many seconds: a resolver has no timeout of ours.

    Under gevent in threads of our own: the ten of its hub resolve every name of the process, and the names of a tenant
    whose name server lets us wait would hold up the connections of all.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(seconds)
        return
    from gevent import Timeout

    with Timeout(seconds, False):
        _lookups().spawn(look).wait()


@cache
def _lookups() -> Any:
    from gevent.threadpool import ThreadPool

    return ThreadPool(MAX_LOOKUPS)


def _resolver() -> Callable[..., Any]:
    """What blocks the thread that calls it: gevent's own would go to the threads of its hub."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_object_patched("socket", "getaddrinfo"):
        return socket.getaddrinfo
    found: Callable[..., Any] = monkey.get_original("socket", "getaddrinfo")
    return found


@cache
def _tls() -> ssl.SSLContext:
    """The certificates that are trusted: certifi's, or those that SSL_CERT_FILE names."""
    return httpx.create_ssl_context()
