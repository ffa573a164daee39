"""Labels of tenants: told apart, but no more of them than Prometheus can keep."""

from __future__ import annotations

import pytest

import metrics


def test_a_tenant_has_its_label_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given room for two tenants, when three come, then the third is `other`, and the first two keep their labels."""
    monkeypatch.setattr(metrics, "TENANTS_TOLD_APART", 2)
    monkeypatch.setattr(metrics, "_tenants", set())
    assert [metrics.tenant(one) for one in ("a", "b", "c", "a", None)] == ["a", "b", "other", "a", "none"]
