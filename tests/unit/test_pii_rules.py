"""The file of masking rules: the documents' format, every mistake with its line, and a change that is seen at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import settings as settings_module
from policy.pii import rules
from policy.pii.mask import findings, masked, masked_value
from policy.pii.recognisers import TYPES
from policy.pii.rule_file import BUILT_IN, InvalidRules, load

DOCUMENTS_EXAMPLE = """
# PII 脱敏规则 (引用 CC 架构)
pii_masking:
  enabled: true
  rules:
    - name: "phone_number"
      regex: "\\\\b\\\\d{11}\\\\b"
      action: "mask"  # 替换为 *******
    - name: "aws_ak"
      regex: "(AKIA|ASIA)[0-9A-Z]{16}"
      action: "redact" # 完全移除

# 审批门规则 (引用 Pro 架构)
approval_gates:
  - tool_pattern: "firewall_block_ip"
    condition: "always"
"""
Use = Callable[[str], None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Use]:
    """Puts a text in the place of the rule file; each look sees what is there."""
    path = tmp_path / "security.yaml"

    def put(text: str) -> None:
        (tmp_path / "new").write_text(text, encoding="utf-8")
        (tmp_path / "new").replace(path)

    put(DOCUMENTS_EXAMPLE)
    with monkeypatch.context() as patch:
        patch.setenv("BATON_PII_RULES", str(path))
        patch.setattr(rules, "LOOK_EVERY_SECONDS", 0.0)
        settings_module.reload()
        rules.forget()
        yield put
    settings_module.reload()
    rules.forget()


def test_the_documents_example_holds(use: Use) -> None:
    assert masked(f"call 13800138000 with AKIA{'Q' * 16} now") == "call ******* with <aws_ak> now"
    assert masked("mail a.b@example.com") == "mail a.b@example.com"


def test_a_rule_may_name_a_type_a_group_and_how_it_starts(use: Use) -> None:
    use(
        """
pii_masking:
  rules:
    - {name: card, type: bank_card, action: redact}
    - {name: badge, regex: 'badge (?P<value>[0-9]+)', action: mask}
    - {name: employee, regex: '(?<![A-Z])EMP[0-9]{4}', starts_with: [EMP], action: redact}
"""
    )
    text = "card 4111 1111 1111 1111, badge 77, EMP1234, TEMP1234"
    assert masked(text) == "card <card>, badge *******, <employee>, TEMP1234"


def test_nothing_is_masked_where_it_is_turned_off(use: Use) -> None:
    use("pii_masking: {enabled: false, rules: [{name: phone, type: cn_mobile_phone, action: mask}]}")
    assert masked("13800138000") == "13800138000"
    assert masked_value({"password": "x"}) == {"password": "x"}


def test_a_change_is_seen_and_a_broken_file_changes_nothing_and_is_told_once(use: Use) -> None:
    # Given rules in use
    assert [one.rule for one in findings("13800138000")] == ["phone_number"]
    # When the file is changed, then the new rules hold
    use(DOCUMENTS_EXAMPLE.replace("phone_number", "mobile"))
    assert [one.rule for one in findings("13800138000")] == ["mobile"]
    # When a broken one is put in its place, then the last good rules hold on, and the log says so once
    with capture_logs() as logs:
        use(DOCUMENTS_EXAMPLE.replace('action: "mask"', 'action: "hide"'))
        for _ in range(3):
            assert [one.rule for one in findings("13800138000")] == ["mobile"]
    assert [entry["event"] for entry in logs] == ["pii_rules_rejected"]
    (told,) = logs[0]["mistakes"]
    assert "security.yaml:8: pii_masking.rules[0].action: " in told
    # And when it is mended, the new one holds
    use(DOCUMENTS_EXAMPLE.replace("phone_number", "telephone"))
    assert [one.rule for one in findings("13800138000")] == ["telephone"]


def test_a_file_that_never_was_good_leaves_the_built_in_rules(use: Use) -> None:
    rules.forget()
    use("pii_masking: [")
    with capture_logs() as logs:
        assert masked("13800138000") == "138****8000"
    assert [entry["event"] for entry in logs] == ["pii_rules_rejected"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{name: x, regex: '(', action: mask}", ":3: pii_masking.rules[0].regex: this is no pattern"),
        ("{name: x, regex: 'a*', action: mask}", ":3: pii_masking.rules[0].regex: this would be found everywhere"),
        ("{name: x, type: bank_cart, action: mask}", "rules[0].type: there is no such type, did you mean bank_card?"),
        ("{name: x, action: mask}", "rules[0]: either regex or type is expected"),
        ("{name: x, regex: a, type: email, action: mask}", "rules[0]: either regex or type is expected"),
        ("{name: x, regexp: a, action: mask}", "rules[0].regexp: there is no such field, did you mean regex?"),
        ("{name: x, regex: a}", "rules[0].action: is missing"),
        ("{name: 'X Y', regex: a, action: mask}", "rules[0].name: "),
        ("{name: x, type: email, starts_with: [a], action: mask}", "rules[0].starts_with: belongs to a regex"),
        ("{name: x, regex: a, action: mask}, {name: x, regex: b, action: mask}", "rules[1].name: rules[0] has this"),
        ("{name: x, name: y, regex: a, action: mask}", ":3: pii_masking.rules[0].name: given twice"),
    ],
)
def test_every_mistake_is_told_with_line_and_field(tmp_path: Path, rule: str, told: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(f"pii_masking:\n  rules:\n    [{rule}]\n", encoding="utf-8")
    with pytest.raises(InvalidRules) as wrong:
        load(path)
    assert told in str(wrong.value) and str(wrong.value).startswith(f"{path}:3: ")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRules, match=r"rules\.yaml: No such file"):
        load(tmp_path / "rules.yaml")


def test_up_stops_at_the_line_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("pii_masking:\n  rules: [{name: x, type: nothing, action: mask}]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--data-dir", str(tmp_path / "data")],
        env={"PATH": os.environ["PATH"], "BATON_PII_RULES": str(path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"{path}:2: pii_masking.rules[0].type: there is no such type" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_type_stands_in_the_built_in_file() -> None:
    text = BUILT_IN.read_text(encoding="utf-8")
    assert [name for name in TYPES if f"type: {name}," not in text] == []


# -- Log lines --------------------------------------------------------------------------------------------------------

SCRIPT = """
import logging, structlog, sys, telemetry, uuid
from policy.pii.mask import masked_value
telemetry.setup("test", mask=masked_value, log_format=sys.argv[1])
log = structlog.get_logger("a.b")
wrong = ValueError("a.b@example.com")
log.info("sms sent", to="13800138000", run_id="0190f3c2-7d1e-7cc0-9b1a-138001380001", error=wrong)
logging.getLogger("celery").warning("%s called", "13800138000")
try:
    raise RuntimeError("postgresql://app:hush@host/db refused")
except RuntimeError:
    log.exception("failed", nested={"password": "hush", "list": ["13800138000"]})
"""


def _lines(log_format: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, log_format],
        env=os.environ | {"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr.splitlines()


def test_a_log_line_holds_nothing_personal_and_its_ids_are_whole() -> None:
    sent, called, failed = map(json.loads, _lines("json"))
    assert (sent["to"], sent["error"]) == ("138****8000", "a***@example.com")
    assert sent["run_id"] == "0190f3c2-7d1e-7cc0-9b1a-138001380001"
    assert (sent["event"], sent["logger"], sent["level"], sent["process"]) == ("sms sent", "a.b", "info", "test")
    assert called["event"] == "138****8000 called"
    assert failed["nested"] == {"password": "<secret_value>", "list": ["138****8000"]}
    assert "postgresql://<url_credentials>@host/db refused" in failed["exception"]


def test_neither_does_a_line_for_people() -> None:
    text = "\n".join(_lines("console"))
    assert "138001380001" in text
    assert "13800138000" not in text.replace("138001380001", "") and "hush" not in text
    assert "138****8000" in text and "Traceback" in text
