"""Whoever runs the page can ask whether it is well."""

import json
import urllib.request

from toolkit.page import health


def test_healthz_answers_without_a_visitor(served):
    with urllib.request.urlopen(f"{served.url}healthz", timeout=30) as answer:
        told = json.loads(answer.read())
    assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
    assert told["status"] == "ok" and told["problems"] == [] and told["waiting"] == 0 and told["disk_free_mb"] > 0
    assert set(told) == {"status", "problems", "version", "disk_free_mb", "waiting"}, "nothing about visitors"


def test_a_disk_that_is_nearly_full_is_told_by_the_code(served, monkeypatch):
    monkeypatch.setattr(health, "LEAST_FREE_MB", 1 << 40)
    code, told = health.health(served.studio, lambda: 3)
    assert code == 503 and told["problems"] == ["disk"] and told["waiting"] == 3
