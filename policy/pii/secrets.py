"""Secrets that no form of their own gives away: what stands under a name such as password, behind Bearer, in a URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, TypeAlias

from policy.pii.scan import Scan, Span

Kind: TypeAlias = Literal["password", "secret", "cookie"]

MARK = re.compile("[=:：是为]")
LONGEST_NAME = 24
LONGEST = 4096
LONGEST_WORDS = 200  # what is longer is no placeholder and no name in code
DIGIT = re.compile("[0-9]")
LETTER = re.compile("[A-Za-z]")
MIXED = re.compile("[a-z][A-Z].*[a-z][A-Z]")  # no word: base64 of letters alone
BEFORE_MARK = " \t\"'”’`]\\"
PASSWORDS = ("password", "passwd", "passphrase", "pwd", "密码", "口令")
SECRETS = (
    "secret", "token", "api_key", "api-key", "api key", "apikey", "access_key", "access-key", "accesskey", "access key",
    "access_key_id", "accesskeyid", "access-key-id", "secret_key", "secret-key", "secretkey", "secret key", "secretid",
    "secret_id", "private_key", "privatekey", "account_key", "accountkey", "sharedaccesskey", "encryption_key",
    "signing_key", "session_key", "app_key", "appkey", "appsecret", "credential", "credentials", "authorization",
    "密钥", "秘钥", "令牌", "访问凭证", "授权码",
)  # fmt: skip
COOKIE = "cookie"
SHORT = ("ak", "sk")  # words on their own only
NAMES = (*PASSWORDS, *SECRETS, COOKIE)
ENDS = frozenset(name[-1] for name in (*NAMES, *SHORT))
MAY_STAND_BEFORE_MARK = frozenset((*BEFORE_MARK, *ENDS, *(letter.upper() for letter in ENDS)))
QUOTED = re.compile(
    rf"""[ \t]{{0,4}}\\?(?:(["'`])(?P<value>[^\n]{{4,{LONGEST}}}?)\\?\1|[“‘](?P<curly>[^”’\n]{{4,200}})[”’])"""
)
SCHEME = "(?:(?:[Tt]oken|[Aa]pi[Kk]ey|[Kk]ey|AWS4-HMAC-SHA256) {1,2})?"
# A value without quotes, up to what ends it; behind = that may be the & of a query
BARE = re.compile(rf"[ \t]{{0,4}}{SCHEME}([!#$%()*+\-./0-9:=?@A-Z\[\]^_a-z{{}}~]{{4,{LONGEST}}})")
BARE_AFTER_COLON = re.compile(BARE.pattern.replace("[!", "[!&"))
COOKIES = re.compile(rf"[ \t]{{0,4}}([^\n\r<=]{{1,64}}=[^\n\r<]{{4,{LONGEST}}})")
AT_ONCE = re.compile(r"[ \t]?(?=[!-~]*[0-9])(?=[!-~]*[a-z])([!-~]{6,64})")  # 密码Aa123456
PLACEHOLDER = re.compile(
    r"(?i)[<$%{\[(*•.#?_\-x=/]+|\$[a-z_{(].*|%[sd(].*|\{.*|\[.*|\(.*|<.*|.*\*{3}.*|your[_\- ].*|.*://.*"
    r"|none|null|nil|true|false|undefined|required|optional|hidden|empty|value|string|str|text|secret|password|passwd"
    r"|pwd|token|enabled|disabled|invalid|incorrect|wrong|missing|example|redacted|unknown|must|should|will|the|this"
    r"|input|field|basic|bearer|digest|negotiate|literal"
)
CODE = re.compile(
    r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|_*[A-Za-z]+(?:_[A-Za-z]+)+|[A-Za-z_][\w.]*[(\[].*"
)  # settings.password, get_token(1)
SCHEMES = ("earer ", "EARER ", "asic ", "ASIC ")  # all that literals have in common however B is written
BEARER = re.compile(rf"\b(?:[Bb]earer|BEARER|[Bb]asic|BASIC) {{1,4}}([A-Za-z0-9._~+/\-]{{12,{LONGEST}}}={{0,2}})")
IN_URL = re.compile(r"""://([^\s/?#"'<>@]{0,256}:[^\s/?#"'<>]{1,256}|[^\s/?#"'<>@:.]{16,256})@""")
OF_A_TEMPLATE = re.compile(r"[^:]*:?(?:\{[^}]*\}|\$\{?\w+\}?|%\w)")  # postgresql://{user}:{password}@host


def values(scan: Scan) -> Iterator[Span]:
    """What stands under a name of a secret: `password=...`, `"api_key": "..."`, `密码是...`; the value alone."""
    text, past = scan.text, 0
    for mark in MARK.finditer(text):
        if mark.start() < past or text[mark.start() - 1] not in MAY_STAND_BEFORE_MARK:
            continue
        kind = _kind(_name(text, mark.start()), mark[0])
        sure = mark[0] == "=" or not text[mark.start() - 1].isascii()
        if kind and (span := _value(text, mark.end(), mark[0], kind, sure=sure)):
            past = span[1]
            yield span
    for at in scan.places(" is "):
        if _name(text, at).endswith(PASSWORDS) and (span := _value(text, at + 4, " is ", "password", sure=False)):
            yield span
    for at in scan.places("密码"):
        if (found := AT_ONCE.match(text, at + 2)) and found[1][0] not in ":=":
            yield found.span(1)


def _name(text: str, end: int) -> str:
    """What stands before a sign, as far as a name could reach, in small letters."""
    return text[max(0, end - LONGEST_NAME) : end].rstrip(BEFORE_MARK).lower()


def _kind(name: str, mark: str) -> Kind | None:
    if name.endswith(NAMES):
        if mark in "是为" and name[-1].isascii():
            return None
        return "password" if name.endswith(PASSWORDS) else "cookie" if name.endswith(COOKIE) else "secret"
    return "secret" if name.endswith(SHORT) and not name[-3:-2].isalnum() else None


def _value(text: str, at: int, mark: str, kind: Kind, *, sure: bool) -> Span | None:
    """sure: a sign stands before it as in code and forms; in prose a mere word is no password."""
    at += text[at : at + 1] == ">"  # of =>
    if kind == "cookie":
        cookies = COOKIES.match(text, at)
        return cookies.span(1) if cookies else None
    if quoted := QUOTED.match(text, at):
        group = "value" if quoted["value"] else "curly"
        return quoted.span(group) if _is_secret(quoted[group], kind, sure=True) else None
    bare = (BARE if mark == "=" else BARE_AFTER_COLON).match(text, at)
    if not bare:
        return None
    value = bare[1]
    if not CODE.fullmatch(value):
        value = value.rstrip(".)]}:")
    return (bare.start(1), bare.start(1) + len(value)) if _is_secret(value, kind, sure=sure) else None


def _is_secret(value: str, kind: Kind, *, sure: bool) -> bool:
    if len(value) < 4 or (len(value) <= LONGEST_WORDS and (PLACEHOLDER.fullmatch(value) or CODE.fullmatch(value))):
        return False
    if kind == "password":
        is_word = value.isalpha() and (value.islower() or value.istitle())
        return not value.startswith("/") and (sure or not is_word)
    return len(value) >= 8 and " " not in value and bool(DIGIT.search(value) and LETTER.search(value))


def bearers(scan: Scan) -> Iterator[Span]:
    """The credentials behind Bearer or Basic."""
    for scheme in SCHEMES:
        for at in scan.places(scheme):
            found = BEARER.match(scan.text, at - 1) if at else None
            if found and (DIGIT.search(found[1]) or found[1].endswith("=") or MIXED.search(found[1])):
                yield found.span(1)


def url_credentials(scan: Scan) -> Iterator[Span]:
    """User and password, or a long token, in a URL."""
    for at in scan.places("://"):
        found = IN_URL.match(scan.text, at)
        if not found or OF_A_TEMPLATE.fullmatch(found[1]):
            continue
        if ":" in found[1] or DIGIT.search(found[1]):
            yield found.span(1)


def names_a_secret(key: str) -> bool:
    """Whether what stands under this key of a mapping is a secret, whatever it looks like."""
    plain = key.strip().lower()
    return plain.endswith(NAMES) or plain in SHORT
