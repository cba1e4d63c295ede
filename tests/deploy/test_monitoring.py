"""The dashboard and the rules against what a real service says of itself."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml
from conftest import ROOT, dots, make_plain_bundle
from monitoring import PROMETHEUS, RULES, Query, alert_queries, dashboard, panel_queries
from prometheus_client.parser import text_string_to_metric_families
from waiting import until

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.access import Role, TokenFile
from atomstream_service.demo import free_endpoints, launched

_FROM_PROMETHEUS = {"instance", "job", "le"}
"""Labels that Prometheus adds, and a histogram's own."""

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here (Debian's package prometheus)")


class Watched(NamedTuple):
    """A running service.

    metrics : what Prometheus, with a viewer's token, reads from it
    """

    url: str
    metrics: str


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A service that has judged frames and refused somebody."""
    folder = tmp_path_factory.mktemp("watched")
    bundle = make_plain_bundle(folder / "plain", (-1.0, -1.0, -1.1))
    token = TokenFile(folder / "state").add("prometheus", Role.VIEWER, None)
    with launched(folder / "state", bundle=str(bundle.folder), config='access = "token"\nwarm_shapes = [[56, 64]]\n') as service:
        with FramePublisher("test/scope", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms",)) as results:
            assert publisher.wait_for_reader()
            for _ in range(2):
                publisher.publish(dots((56, 64), [(20.0, 30.0), (40.0, 10.0)]))
                assert isinstance(results.receive(30), Atoms)
        assert httpx.get(f"{service.url}/metrics").status_code == 401
        mine = {"Authorization": f"Bearer {token}"}
        yield Watched(service.url, until(lambda: httpx.get(f"{service.url}/metrics", headers=mine).text, lambda text: "elit_member_drift_score{" in text))


@pytest.fixture(scope="module")
def series(watched: Watched) -> dict[str, set[str]]:
    """The names of series that the service shows -> the labels that they have."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(watched.metrics):
        # A family without samples is there, too.
        found[family.name + ("_total" if family.type == "counter" else "")] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("query", [*panel_queries(), *alert_queries()], ids=lambda query: query.where)
def test_every_series_and_label_asked_for_is_one_that_the_service_shows(query: Query, series: dict[str, set[str]]) -> None:
    assert query.metrics <= set(series), query.metrics - set(series)
    if any(series[name] for name in query.metrics):
        assert query.labels <= _FROM_PROMETHEUS.union(*(series[name] for name in query.metrics))


def test_the_containers_check_of_health_is_whether_the_service_is_ready(watched: Watched) -> None:
    assert _health(f"{watched.url}/readyz") == 0
    with free_endpoints(1) as (nowhere,):
        assert _health(f"http://{nowhere}/readyz") == 1


def _health(url: str) -> int:
    check = [sys.executable, str(ROOT / "docker" / "health.py")]
    return subprocess.run(check, env={**os.environ, "READY_URL": url}, capture_output=True, check=False).returncode


def test_the_dashboard_shows_what_an_operator_asks_for_first() -> None:
    shown = set().union(*(query.metrics for query in panel_queries()))

    assert shown >= {
        "elit_engine_up",
        "elit_engine_restarts_total",
        "elit_engine_memory_bytes",
        "elit_frames_received_total",
        "elit_frames_answered_total",
        "elit_frames_dropped_total",
        "elit_stage_duration_seconds_bucket",
        "elit_member_drift_score",
        "elit_drift_alarm",
        "elit_ensemble_generation_info",
    }


def test_panels_stand_beside_each_other_on_grafanas_grid() -> None:
    cells = [(x, y) for panel in dashboard()["panels"] for x, y in _cells(panel["gridPos"])]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]


def test_the_dashboard_and_its_source_are_provisioned_under_the_names_that_they_use() -> None:
    provisioning = ROOT / "docker" / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"][0]
    folder = yaml.safe_load((provisioning / "dashboards" / "atomstream.yaml").read_text())["providers"][0]["options"]["path"]
    grafana = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]["grafana"]

    assert {panel["datasource"]["uid"] for panel in dashboard()["panels"]} == {source["uid"]}
    assert f"./grafana/dashboards:{folder}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/atomstream.json"


@needs_promtool
def test_prometheus_takes_the_rules_its_settings_and_every_query(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("ast_token")
    settings = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))
    settings["scrape_configs"][0]["authorization"]["credentials_file"] = str(tmp_path / "token")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(RULES, tmp_path)
    # What a panel asks is checked as if a rule recorded it.
    queries = [{"record": f"panel:{k}", "expr": query.expression} for k, query in enumerate(panel_queries())]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": queries}]}))

    for check in (["config", "prometheus.yml"], ["rules", "panels.yml"]):
        done = subprocess.run(["promtool", "check", *check], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alarms_sound_when_they_should_and_only_then(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    cases = {
        "EngineDown": ("elit_engine_up", "0x9"),
        "Drift": ('elit_drift_alarm{source="nion/usim", subject="m03"}', "1x9"),
        "FramesRejected": ('elit_frames_dropped_total{source="nion/usim", where="rejected"}', "0+1x9"),
        "FramesLostOnTheWay": ('elit_frames_dropped_total{source="nion/usim", where="source_gap"}', "0+1x9"),
        "EngineRestarts": ("elit_engine_restarts_total", "0 0 0 1 1 1 1 1 1"),
        "ServiceGone": ('up{job="atomstream"}', "0x9"),
    }
    quiet = [
        ("elit_engine_up", "1x9"),
        ('elit_drift_alarm{source="nion/usim", subject="m03"}', "0x9"),
        ('elit_frames_dropped_total{source="nion/usim", where="queue"}', "0+9x9"),
        ("elit_engine_restarts_total", "3x9"),
        ('up{job="atomstream"}', "1x9"),
        ("elit_members_active", "8x9"),
    ]

    assert _sounding(tmp_path, cases.values()) == set(cases)
    assert _sounding(tmp_path, quiet) == set()


def _sounding(folder: Path, series: Iterable[tuple[str, str]]) -> set[str]:
    """The alerts that Prometheus itself would raise after eight minutes of these."""
    test = {
        "rule_files": [RULES.name],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "alert_rule_test": [{"eval_time": "8m", "alertname": query.where, "exp_alerts": []} for query in alert_queries()],
            }
        ],
    }
    (folder / "test.json").write_text(json.dumps(test))
    done = subprocess.run(["promtool", "test", "rules", "test.json"], cwd=folder, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert done.returncode == 0 or "exp:" in told, told
    return set(re.findall(r"alertname: ?(\w+)", told))
