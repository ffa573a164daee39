"""URLs that users set: refused by form, by what a name resolves to, by where it redirects, by what comes back."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import settings as settings_module
from storage import outbound
from storage.outbound import FetchFailed, PinnedTransport, RefusedUrl, check_url, fetch, resolve

PUBLIC, OTHER_PUBLIC = "93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
Names = dict[str, list[list[str]]]

HOSTILE = [
    # other schemes, and what is no URL
    "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com:6379/_FLUSHALL",
    "dict://example.com/", "data:text/html,x", "javascript:alert(1)", "ws://example.com/", "//example.com/",
    "example.com", "https://", "https:///etc/passwd", "https:example.com", "", " https://example.com",
    "https://example.com/\r\nX: y",
    "https://exa mple.com/", "https://example.com\\@127.0.0.1/", "https://example.com:0/", "https://example.com:99999/",
    "https://example.com:port/", "https://" + "a" * 3000 + ".com/", "https://xn--\u00fc.example/", "https://b\u00fccher.example/",
    "https://\u2460\u2461\u2466.\u24ea.\u24ea.\u2460/", "https://exa\u200bmple.com/", "https://exa%00mple.com/",
    # credentials, and what only looks like a host
    "https://user@example.com/", "https://user:pw@example.com/", "https://example.com@127.0.0.1/", "https://@example.com/",
    "https://:pw@example.com/", "https://127.0.0.1#@example.com/", "https://127.0.0.1?@example.com/",
    # loopback, private, link-local, CGNAT, this network, multicast, reserved
    "https://127.0.0.1/", "https://127.9.9.9/", "https://0.0.0.0/", "https://10.1.2.3/", "https://172.16.0.1/",
    "https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/",
    "https://100.100.100.200/", "https://192.0.0.192/", "https://198.18.0.1/", "https://192.0.2.1/", "https://203.0.113.9/",
    "https://224.0.0.1/", "https://239.255.255.250/", "https://240.0.0.1/", "https://255.255.255.255/",
    "https://192.88.99.1/", "https://168.63.129.16/", "https://127.0.0.1./",
    # the same in other forms
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/", "https://0177.0.0.1/",
    "https://127.1/", "https://127.0.1/", "https://0/", "https://1.2.3.4.5/", "https://0x7f.0x0.0x0.0x1/", "https://010.1.2.3/",
    "https://127.0.0.0x1/", "https://%31%32%37.0.0.1/", "https://3232235777/", "https://2852039166/",
    # IPv6: loopback, unspecified, mapped, compatible, local, link-local, site-local, NAT64, 6to4, Teredo, documentation
    "https://[::1]/", "https://[::]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:10.0.0.1]/",
    "https://[::127.0.0.1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
    "https://[fec0::1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::10.0.0.1]/", "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/", "https://[2002:c0a8:101::1]/", "https://[2001:0:7f00:1::]/", "https://[2001:db8::1]/",
    "https://[ff02::1]/", "https://[100::1]/", "https://[3fff::1]/", f"https://[{OTHER_PUBLIC}%251]/", "https://[::1",
    # names of private networks
    "https://localhost/", "https://LOCALHOST./", "https://a.localhost/", "https://redis/", "https://metadata/",
    "https://metadata.google.internal/", "https://printer.local/", "https://router.lan/", "https://vault.corp/",
    "https://-a.example/", "https://a..example/", "https://.example/", "https://a_b-.example/",
]  # fmt: skip

FINE = [
    "https://example.com", "https://example.com:8443/a/b?c=d#e", "https://EXAMPLE.com./", "https://login.example.co.uk/@me?a=@b",
    f"https://{PUBLIC}/", f"https://[{OTHER_PUBLIC}]:444/", "https://xn--bcher-kva.example/", "https://1a.example/",
    "https://127.0.0.1.example.com/", "https://localhost.example.com/", "https://[64:ff9b::5db8:d70e]/",
]  # fmt: skip

BEHIND_NAMES = [
    "127.0.0.1", "10.0.0.7", "169.254.169.254", "100.64.3.2", "0.0.0.0", "::1", "fe80::1", "fd12::1",
    "::ffff:192.168.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "224.0.0.5",
]  # fmt: skip


@pytest.fixture
def allow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Let the operator list hosts, for one test."""

    def listed(hosts: str) -> None:
        monkeypatch.setenv("BATON_OUTBOUND_ALLOW", hosts)
        settings_module.reload()

    listed("")
    yield listed
    monkeypatch.undo()
    settings_module.reload()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """DNS of the test: the answers of a name, one after the other; the last one stays."""
    known: Names = {}
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **more: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            answers = known.get(host)
            if not answers:
                raise socket.gaierror(socket.EAI_NONAME, "unknown") from None
            found = answers.pop(0) if len(answers) > 1 else answers[0]
            return [
                (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                for one in found
            ]
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return known


class Other(http.server.BaseHTTPRequestHandler):
    """The other side: what it answers stands in its server, by path."""

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path, dict(self.headers)))
        status, headers, body = self.server.answers.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if callable(body):
            body(self.wfile, self.server.ended)
        else:
            self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


class OtherServer(http.server.ThreadingHTTPServer):
    """Such a server on 127.0.0.1; ended: set when the test is over."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Other)
        self.answers: dict[str, tuple[int, dict[str, str], Any]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.ended = threading.Event()
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, *_: Any) -> None:
        pass


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[OtherServer]:
    server = OtherServer(tls)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def other(allow: Callable[[str], None]) -> Iterator[OtherServer]:
    """A server that the operator allows, as one of the own network."""
    with running() as server:
        allow(f"127.0.0.1:{server.server_port}")
        yield server


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused(allow: Callable[[str], None], names: Names, url: str) -> None:
    # By its form alone, and whatever its name resolves to, before anything is asked
    with pytest.raises(RefusedUrl):
        check_url(url)
    with pytest.raises(RefusedUrl):
        fetch(url, transport=httpx.MockTransport(lambda request: pytest.fail(f"asked {request.url}")))


@pytest.mark.parametrize("url", FINE)
def test_an_ordinary_url_is_not(allow: Callable[[str], None], url: str) -> None:
    check_url(url)


@pytest.mark.parametrize("address", BEHIND_NAMES)
@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_name_with_one_private_address_is_refused(
    allow: Callable[[str], None], names: Names, address: str, place: int
) -> None:
    found = [PUBLIC, OTHER_PUBLIC, "8.8.8.8", "1.1.1.1"]
    names["harmless.example"] = [[*found[:place], address, *found[place:]]]
    with pytest.raises(RefusedUrl) as refused:
        resolve("https://harmless.example/")
    assert address not in str(refused.value)  # it is nobody's business what our names resolve to


def test_a_name_that_does_not_resolve(allow: Callable[[str], None], names: Names) -> None:
    with pytest.raises(FetchFailed, match="does not resolve"):
        resolve("https://nobody.example/")


def test_the_connection_goes_to_the_checked_address(allow: Callable[[str], None], names: Names) -> None:
    # Given a name that resolves to a public address once, and to ours from then on
    names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    asked: list[httpx.Request] = []

    def other_side(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(b"hello"))

    # When it is asked
    transport = PinnedTransport(httpx.MockTransport(other_side))
    answer = fetch("https://rebinding.example:444/path?x=1", transport=transport)
    # Then the connection goes where the check was, under the name, and nobody resolved the name again
    ((request,), (left,)) = asked, names["rebinding.example"]
    assert (request.url.host, request.url.port, request.url.raw_path) == (PUBLIC, 444, b"/path?x=1")
    assert (request.headers["Host"], request.extensions["sni_hostname"]) == (
        "rebinding.example:444",
        "rebinding.example",
    )
    assert (answer.body, left) == (b"hello", ["127.0.0.1"])
    # And the next time it is refused
    with pytest.raises(RefusedUrl):
        fetch("https://rebinding.example:444/", transport=transport)
    assert len(asked) == 1


def test_the_next_address_is_tried(allow: Callable[[str], None], names: Names) -> None:
    names["two.example"] = [[OTHER_PUBLIC, PUBLIC]]

    def other_side(request: httpx.Request) -> httpx.Response:
        if request.url.host == OTHER_PUBLIC:
            raise httpx.ConnectError("no route")
        return httpx.Response(200, stream=httpx.ByteStream(request.url.host.encode()))

    assert (
        fetch("https://two.example", transport=PinnedTransport(httpx.MockTransport(other_side))).body == PUBLIC.encode()
    )


def test_a_certificate_is_verified_against_the_name(
    allow: Callable[[str], None], names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server with a certificate for its name, which we trust
    key, certificate = _certificate("idp.corp.example")
    (tmp_path / "both.pem").write_bytes(key + certificate)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(tmp_path / "both.pem")
    trusting = ssl.create_default_context(cadata=certificate.decode())
    monkeypatch.setattr(outbound, "_tls", lambda: trusting)
    names.update({name: [["127.0.0.1"]] for name in ("idp.corp.example", "other.corp.example")})
    with running(server_side) as server:
        allow(f"idp.corp.example,other.corp.example:{server.server_port}")
        server.answers["/"] = (200, {}, b"hello")
        # When it is asked under its name, then it answers, and under another one, then it is not believed
        assert fetch(f"https://idp.corp.example:{server.server_port}/").body == b"hello"
        with pytest.raises(FetchFailed, match="certificate"):
            fetch(f"https://other.corp.example:{server.server_port}/")


def test_an_allowed_host_may_be_private_and_plain(other: OtherServer) -> None:
    other.answers["/"] = (200, {"X-Told": "yes"}, b"hello")
    answer = fetch(f"http://127.0.0.1:{other.server_port}/", headers={"Authorization": "Bearer x"})
    assert (answer.status, answer.headers["x-told"], answer.body) == (200, "yes", b"hello")
    assert other.asked[0][2]["Authorization"] == "Bearer x"
    with pytest.raises(RefusedUrl):
        fetch(f"http://127.0.0.1:{other.server_port + 1}/")


@pytest.mark.parametrize(
    "to",
    ["http://169.254.169.254/latest/meta-data/", "https://localhost/", "file:///etc/passwd", "//127.0.0.1:1/", "http://[::1]/",
     "https://user:pw@example.com/", "http://example.com/", "https://inside.example/", "gopher://127.0.0.1:6379/_FLUSHALL"],
)  # fmt: skip
def test_a_redirect_is_checked_again(other: OtherServer, names: Names, to: str) -> None:
    names["inside.example"] = [["10.0.0.1"]]
    other.answers["/"] = (302, {"Location": to}, b"")
    with pytest.raises((RefusedUrl, FetchFailed)):
        fetch(f"http://127.0.0.1:{other.server_port}/")
    assert len(other.asked) == 1


def test_redirects_have_an_end(other: OtherServer) -> None:
    for count in range(6):
        other.answers[f"/{count}"] = (302, {"Location": f"/{count + 1}"}, b"")
    other.answers["/4"] = (200, {}, b"arrived")
    base = f"http://127.0.0.1:{other.server_port}"
    answer = fetch(f"{base}/1")
    assert (answer.body, answer.url) == (b"arrived", f"{base}/4")
    with pytest.raises(FetchFailed, match="redirects"):
        fetch(f"{base}/0")


def test_a_redirects_own_body_is_not_read(other: OtherServer) -> None:
    other.answers |= {"/": (302, {"Location": "/there"}, _pour), "/there": (200, {}, b"arrived")}
    assert fetch(f"http://127.0.0.1:{other.server_port}/", timeout_seconds=5).body == b"arrived"


def test_what_is_sent_is_not_sent_on(other: OtherServer) -> None:
    # Given a POST, whose body may be a secret, when the other side redirects it, then that is the answer
    other.answers["/token"] = (307, {"Location": "/elsewhere"}, b"")
    answer = fetch(f"http://127.0.0.1:{other.server_port}/token", method="POST", content=b"client_secret=hush")
    assert answer.status == 307
    assert [path for _, path, _ in other.asked] == ["/token"]


def test_an_answer_is_bounded(other: OtherServer) -> None:
    base = f"http://127.0.0.1:{other.server_port}"
    other.answers |= {
        "/fits": (200, {}, b"x" * 1000),
        "/large": (200, {}, b"x" * 1001),
        "/zipped": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
        "/endless": (200, {}, _pour),
    }
    assert len(fetch(f"{base}/fits", max_bytes=1000).body) == 1000
    for path in ("/large", "/endless"):
        with pytest.raises(FetchFailed, match="more than 1000 bytes"):
            fetch(f"{base}{path}", max_bytes=1000)
    with pytest.raises(FetchFailed, match="compressed"):
        fetch(f"{base}/zipped")


@pytest.mark.parametrize("path", ["/silent", "/drips", "/headers"])
def test_a_slow_answer_ends(other: OtherServer, path: str) -> None:
    # Given an answer that never comes whole: silence, a byte now and then, headers without an end
    other.answers |= {"/silent": (200, {}, _wait), "/drips": (200, {}, _drip), "/headers": (200, {}, _drip)}
    if path == "/headers":
        other.RequestHandlerClass = type("Slow", (Other,), {"end_headers": lambda self: _drip_header(self)})
    with pytest.raises(FetchFailed, match="in time"):
        fetch(f"http://127.0.0.1:{other.server_port}{path}", timeout_seconds=0.5)


def _pour(file: Any, ended: threading.Event) -> None:
    while not ended.is_set():
        file.write(b"x" * 500)


def _wait(file: Any, ended: threading.Event) -> None:
    ended.wait(10)


def _drip(file: Any, ended: threading.Event) -> None:
    while not ended.wait(0.05):
        file.write(b"x")
        file.flush()


def _drip_header(handler: Any) -> None:
    handler.flush_headers()
    _drip(handler.wfile, handler.server.ended)


def _certificate(name: str) -> tuple[bytes, bytes]:
    """A key and a certificate for this name that signs itself, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(whose, whose, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return plain, made.public_bytes(serialization.Encoding.PEM)


UNDER_GEVENT = """
import _socket, threading

stuck, resolve, asked_for = threading.Event(), _socket.getaddrinfo, []

def dns(host, *asked):
    if host == "example.com":
        asked_for.append(host)
        stuck.wait(30)
    return resolve(host if host != "example.com" else "127.0.0.1", *asked)

_socket.getaddrinfo = dns

from gevent import monkey; monkey.patch_all()
import socket, gevent
from storage import outbound

outbound.RESOLVE_SECONDS = 20.0

def hostile():
    try:
        outbound.resolve("https://example.com")
    except outbound.RefusedUrl:
        pass

waiting = [gevent.spawn(hostile) for _ in range(20)]
with gevent.Timeout(20):
    while len(asked_for) < outbound.MAX_LOOKUPS:
        gevent.sleep(0.01)
    print(len(socket.getaddrinfo("127.0.0.1", 80)) > 0)
stuck.set()
gevent.joinall(waiting)
"""


def test_a_name_server_that_lets_us_wait_holds_up_no_other_name_of_the_web_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT], capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.stdout.strip() == "True", done.stderr
