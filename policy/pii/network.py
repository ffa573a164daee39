"""What names a mailbox or a host: e-mail addresses, IPv4 and IPv6 addresses."""

from __future__ import annotations

import ipaddress
import re
import string
from collections.abc import Iterator

from policy.pii.scan import Scan, Span

LOCAL_PART = frozenset(string.ascii_letters + string.digits + "._%+-'")
LONGEST_LOCAL_PART = 64  # RFC 5321
DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62})\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9@])")
FILES = frozenset(
    ["png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "ts", "mjs", "css", "py", "md", "json", "yaml", "yml",
     "toml", "html", "map", "service", "socket", "target", "timer"]
)  # fmt: skip
IPV4 = re.compile(
    r"(?<![0-9A-Za-z.*])(?<![A-Za-z0-9][-_])[1-9][0-9]{0,2}(?:\.(?:0|[1-9][0-9]{0,2})){3}(?![0-9A-Za-z]|[.-][A-Za-z]|\.[0-9])"
)
SECTION = re.compile(r"\s?(?:节|章|版|小节|条|所示)")
VERSION = re.compile(
    r"(?:\bv|\bV|\b[Vv]er\.?|[Vv]ersion|[Rr]elease|[Bb]uild|[Uu]pgraded? to|版本号?|版|第|图|表|章|§|[=~<>!]="
    r"|[A-Z][A-Za-z]+/|\b(?:nginx|curl|python|node|apache|wget|okhttp|java|go)/)\s{0,2}[:：]?\s{0,2}$"
)
OF_NOBODY = re.compile(r"127\.|255\.255\.")  # this host, masks
IPV6_INSIDE = re.compile(r":[0-9A-Fa-f]{0,4}:")
IPV6_CHARACTERS = frozenset(string.hexdigits + ":")
IPV6_REST = re.compile(r"[0-9A-Fa-f:.]+")
NOT_BESIDE_IPV6 = frozenset(string.ascii_letters + string.digits + "_*")  # a Chinese character may stand there
LONGEST_IPV6 = 45


def emails(scan: Scan) -> Iterator[Span]:
    """E-mail addresses, in code and links too; no package with a version, no file, no repository."""
    text = scan.text
    for at in scan.places("@"):
        start = at
        while start and at - start < LONGEST_LOCAL_PART and text[start - 1] in LOCAL_PART:
            start -= 1
        while start < at and text[start] in ".'-+%":
            start += 1
        domain = DOMAIN.match(text, at + 1) if start < at else None
        if not domain or domain[1].lower() in FILES or text[max(0, start - 3) : start] == "://":
            continue
        if text[start:at] == "git" and text[domain.end() : domain.end() + 1] == ":":
            continue
        yield start, domain.end()


def ip_addresses(scan: Scan) -> Iterator[Span]:
    """IPv4 and IPv6 addresses that tell of somebody: no version, no mask, not this host itself."""
    for found in scan.in_numbers(IPV4, 7):
        if _tells(scan, found):
            yield found.span()
    yield from _ipv6(scan)


def _tells(scan: Scan, found: re.Match[str]) -> bool:
    if any(int(part) > 255 for part in found[0].split(".")) or OF_NOBODY.match(found[0]):
        return False
    return not (VERSION.search(scan.before(found.start())) or SECTION.match(scan.text, found.end()))


def _ipv6(scan: Scan) -> Iterator[Span]:
    text, past = scan.text, 0
    for inside in IPV6_INSIDE.finditer(text):
        start = inside.start()
        if start < past:
            continue
        while start > past and inside.start() - start < LONGEST_IPV6 and text[start - 1] in IPV6_CHARACTERS:
            start -= 1
        rest = IPV6_REST.match(text, start)
        assert rest  # it begins with what was just found
        past = rest.end()
        found = rest[0].rstrip(".")
        found = found[:-1] if found.endswith(":") and not found.endswith("::") else found
        end = start + len(found)
        before, behind = text[max(0, start - 1) : start], text[end : end + 1]
        free = before not in NOT_BESIDE_IPV6 and behind not in NOT_BESIDE_IPV6
        if free and len(found) <= LONGEST_IPV6 and _is_ipv6(found):
            yield start, end


def _is_ipv6(found: str) -> bool:
    parts = [part for part in found.split(":") if part]
    try:
        address = ipaddress.IPv6Address(found)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or not any(letter.isdigit() for letter in found):
        return False
    return len(parts[0]) > 2 and (len(parts) < 8 or any(len(part) != 2 for part in parts))  # a::b; an EUI-64


def shown_email(address: str) -> str:
    """a***@example.com."""
    return f"{address[0]}***@{address.partition('@')[2]}"


def shown_ip_address(address: str) -> str:
    """203.0.*.* or 2001:db8:****: at most half of it, the network's part."""
    if ":" not in address:
        return f"{'.'.join(address.split('.')[:2])}.*.*"
    groups = [group for group in address.split(":") if group and "." not in group]
    return ":".join((*groups[: len(groups) // 2][:2], "****"))
