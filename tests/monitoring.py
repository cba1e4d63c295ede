"""What the shipped dashboard and rules ask Prometheus for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from conftest import ROOT

DASHBOARD = ROOT / "docker" / "grafana" / "dashboards" / "atomstream.json"
RULES = ROOT / "docker" / "prometheus" / "atomstream.rules.yml"
PROMETHEUS = ROOT / "docker" / "prometheus" / "prometheus.yml"

_NAME = re.compile(r"\belit_[a-z_]+\b")
_GROUPED = re.compile(r"\b(?:by|without) \(([^)]*)\)")
_MATCHED = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_SHOWN = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


class Query(NamedTuple):
    """One question to Prometheus.

    where : the panel or the alert that asks it
    expression : PromQL, without Grafana's variables
    shown : text that names labels of the answer
    """

    where: str
    expression: str
    shown: str

    @property
    def metrics(self) -> set[str]:
        """Our series that it names."""
        return set(_NAME.findall(self.expression))

    @property
    def labels(self) -> set[str]:
        """Labels that it selects, groups by or shows."""
        grouped = {one.strip() for group in _GROUPED.findall(self.expression) for one in group.split(",")}
        return grouped | set(_MATCHED.findall(self.expression)) | set(_SHOWN.findall(self.shown))


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def panel_queries() -> list[Query]:
    """Every target of every panel."""
    return list(_panel_queries())


def _panel_queries() -> Iterator[Query]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*").replace("$source", ".*")
            yield Query(panel["title"], expression, target["legendFormat"])


def alert_queries() -> list[Query]:
    """Every alert's condition."""
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [Query(rule["alert"], rule["expr"], rule["annotations"]["summary"].replace("$value", "")) for group in rules["groups"] for rule in group["rules"]]
