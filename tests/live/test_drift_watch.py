from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import make_plain_bundle
from disputing import DISPUTED_BIASES, DRIFT_SETTINGS, Scope
from waiting import until

from atomstream_service.cli import main
from atomstream_service.demo import Launched, launched


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _service(tmp_path: Path, state: Path, more: str = "") -> Iterator[Launched]:
    bundle = tmp_path / "bundle"
    folder = bundle / "bundle" if bundle.exists() else make_plain_bundle(bundle, biases=DISPUTED_BIASES).folder
    with launched(state, bundle=str(folder), config=DRIFT_SETTINGS + more) as service:
        yield service


def test_a_member_that_leaves_the_others_is_named_in_an_event_in_the_journal_and_over_rest_and_stays_alarmed_over_a_kill(tmp_path: Path, state: Path) -> None:
    for service in _service(tmp_path, state):
        with Scope(service) as scope, httpx.Client(base_url=service.url, timeout=30) as http:
            for _ in range(25):
                scope.send(scope.agreed())
            quiet = until(lambda: http.get("/v1/drift").json()["sources"].get("test/scope", {}), lambda one: one.get("frames", 0) >= 22)
            for _ in range(20):
                scope.send(scope.disputed())
            doubted = scope.send(scope.disputed())
            metrics = http.get("/metrics").text
            loud = until(lambda: http.get("/v1/drift").json()["sources"]["test/scope"], lambda one: one["members"]["m03"]["alarm"]["raised"])
            lines = until(lambda: http.get("/v1/journal").json()["entries"], lambda all_: any(line["target"] == "m03" for line in all_))
            members = {one["id"]: one for one in http.get("/v1/members").json()["members"]}
            os.kill(http.get("/v1/status").json()["engine"]["pid"], signal.SIGKILL)
            until(lambda: http.get("/v1/status").json()["engine"], lambda one: one["restarts"] == 1 and one["state"] == "ready")
            restarted = until(lambda: http.get("/v1/drift").json()["sources"], lambda all_: "test/scope" in all_)["test/scope"]
            released = http.post("/v1/drift/m03/acknowledge", json={"reason": "the beam was blocked"}).json()
            after = until(lambda: http.get("/v1/drift").json()["sources"]["test/scope"], lambda one: not one["members"]["m03"]["alarm"]["raised"])

    assert quiet["advice"] == []
    assert not any(one["alarm"]["raised"] for one in quiet["members"].values())
    assert any("m03" in sentence and "take it out" in sentence for sentence in loud["advice"])
    assert "m03" in [line["target"] for line in lines if line["action"] == "drift_alarm"]
    assert [event.body["member"] for event in scope.events if event.kind == "drift" and event.body["cause"] == "member"] == ["m03"]
    assert members["m03"]["state"] == "enabled"
    assert members["m03"]["drift"]["alarm"]["raised"]
    assert "drift" in doubted.report.flags
    assert 'elit_member_drift_score{member="m03",source="test/scope"}' in metrics
    assert restarted["members"]["m03"]["alarm"]["raised"]
    assert released["released"]
    assert after["members"]["m03"]["alarm"]["since"] is None


def test_with_automatic_quarantine_a_drifted_member_is_taken_out_and_comes_back_when_acknowledged(tmp_path: Path, state: Path) -> None:
    for service in _service(tmp_path, state):
        with Scope(service) as scope, httpx.Client(base_url=service.url, timeout=30) as http:
            policy = http.put("/v1/drift/policy", json={"mode": "quarantine", "reason": "over night"})
            for _ in range(25):
                scope.send(scope.agreed())
            for _ in range(20):
                scope.send(scope.disputed())
            out = until(lambda: http.get("/v1/members").json(), lambda one: one["members"][3]["state"] == "quarantined")
            without = scope.send(scope.disputed())
            back = http.post("/v1/drift/m03/acknowledge", json={"state": "shadow", "reason": "let it run along"}).json()
            actors = [line["actor"] for line in http.get("/v1/journal").json()["entries"] if line["action"] == "quarantine"]
    for service in _service(tmp_path, state):
        with httpx.Client(base_url=service.url, timeout=30) as http:
            mode = http.get("/v1/drift").json()["policy"]["mode"]

    assert policy.status_code == 200, policy.text
    assert without.report.members_used == ("m00", "m01", "m02")
    assert without.report.ensemble.generation == out["generation"]
    assert (back["state"], back["generation"]) == ("shadow", out["generation"] + 1)
    assert actors == ["policy"]
    assert mode == "quarantine"


def test_a_policy_or_an_acknowledgement_that_can_not_be_is_refused_by_name(tmp_path: Path, state: Path) -> None:
    for service in _service(tmp_path, state):
        with httpx.Client(base_url=service.url, timeout=30) as http:
            bad = http.put("/v1/drift/policy", json={"mode": "shoot"})
            unknown = http.post("/v1/drift/m17/acknowledge")
            late = http.post("/v1/drift/scene/acknowledge", headers={"If-Match": '"77"'})

    assert bad.status_code == 422
    assert "mode" in bad.json()["detail"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_subject")
    assert (late.status_code, late.json()["code"]) == (412, "changed_meanwhile")


def test_a_recording_with_its_journal_gives_the_same_decisions_about_members(tmp_path: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for service in _service(tmp_path, state):
        with Scope(service) as scope, httpx.Client(base_url=service.url, timeout=30) as http:
            http.put("/v1/drift/policy", json={"mode": "quarantine", "reason": "over night"})
            for _ in range(25):
                scope.send(scope.agreed())
            http.post("/v1/recordings", json={"name": "night", "reason": "what was decided"}).raise_for_status()
            for _ in range(20):
                scope.send(scope.disputed())
            until(lambda: http.get("/v1/members").json(), lambda one: one["members"][3]["state"] == "quarantined")
            for _ in range(4):
                scope.send(scope.disputed())
            http.post("/v1/drift/m03/acknowledge", json={"reason": "once more"}).raise_for_status()
            http.put("/v1/drift/policy", json={"mode": "advice", "watch": {"window": 20, "sustain": 2}, "reason": "somebody is here"}).raise_for_status()
            for _ in range(10):
                scope.send(scope.disputed())
            http.post("/v1/recordings/night/stop").raise_for_status()
            file = tmp_path / "night.h5"
            file.write_bytes(http.get("/v1/recordings/night/file").content)
            lines = [line for line in http.get("/v1/journal", params={"limit": 200}).json()["entries"] if line["action"] == "quarantine"]

    assert main(["drift", str(file), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    decided = [line for line in again["told"] if line["kind"] == "quarantine"]
    assert again["as_recorded"]
    assert again["judged"] == again["frames"] - 1 > 20
    assert [(line["member"], line["generation"]) for line in decided] == [(line["target"], line["generation"]) for line in lines]
    assert [line["member"] for line in decided] == ["m03"]
    assert main(["drift", str(file), "--set", "mode=advice"]) == 0
    assert "only then" in capsys.readouterr().out
    assert main(["drift", str(file), "--set", "sustain=0"]) == 1
    assert "sustain=0" in capsys.readouterr().err
