"""What a prompt or an answer must not keep in the call log: personal data and secrets become marks.

The text stays readable, and a mark says what was there:
`<phone>`, `<email>`, `<id_card>`, `<bank_card>`, `<ip>`, `<secret>`.
"""

from __future__ import annotations

import re

# The longer and more telling come first, so that no part of them is taken for something else.
MARKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("secret", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)),
    ("secret", re.compile(r"\b(?:sk|pk|rk|bt|ghp|gho|xox[abp])[-_][A-Za-z0-9_-]{16,}")),
    ("secret", re.compile(r"\b(?:AKIA|ASIA|LTAI|AKID)[A-Za-z0-9]{12,}")),
    ("secret", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}")),
    ("secret", re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{12,}=*")),
    ("secret", re.compile(r"(?i)(?<=password[=:])\s*\S+")),
    ("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("id_card", re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx](?!\d)")),
    ("bank_card", re.compile(r"(?<!\d)(?:62|4\d|5[1-5]|3[47])\d{12,17}(?!\d)")),
    ("phone", re.compile(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)")),
    ("ip", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")),
)


def masked(text: str) -> str:
    """The text with a mark in place of everything that has the form of personal data or of a secret."""
    for name, pattern in MARKS:
        text = pattern.sub(f"<{name}>", text)
    return text
