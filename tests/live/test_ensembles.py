from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from conftest import dots, make_plain_bundle
from streaming import streaming
from waiting import until

from atomstream_client import Atoms, FramePublisher, RequestFailed, ResultSubscriber
from atomstream_models.bundle import Bundle, pack
from atomstream_service.demo import Launched, launched


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("other"), biases=(-1.0, -2.0, -1.5), name="other")


@pytest.fixture(scope="module")
def zipped(other: Bundle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    archive = tmp_path_factory.mktemp("zip") / "other-1.atomstream"
    pack(other.folder, archive)
    return archive.read_bytes()


@pytest.fixture(scope="module")
def plain_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A service with a tiny ensemble."""
    folder = tmp_path_factory.mktemp("plain")
    bundle = make_plain_bundle(folder / "plain")
    with launched(folder / "state", bundle=str(bundle.folder), config="warm_shapes = [[64, 64]]\ntrial_frames = 3\nshadow_every = 1\n") as service:
        yield service


@pytest.fixture
def http(plain_service: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plain_service.url, timeout=60, headers={"X-Atomstream-Actor": "kim"}) as client:
        yield client


def test_an_uploaded_ensemble_is_registered_activated_compared_and_rolled_back(
    plain_service: Launched, http: httpx.Client, other: Bundle, zipped: bytes
) -> None:
    uploaded = http.post("/v1/ensembles", content=zipped)
    assert uploaded.status_code == 201, uploaded.text
    assert (uploaded.json()["name"], uploaded.json()["version"], uploaded.json()["sha256"]) == ("other", "1", other.sha256)
    assert uploaded.headers["Location"] == "/v1/ensembles/other/1"
    holding = http.get("/v1/members")
    assert (uploaded.json()["generation"], uploaded.headers["ETag"]) == (holding.json()["generation"], holding.headers["ETag"])
    again = http.post("/v1/ensembles", content=zipped)
    assert again.json()["sha256"] == other.sha256

    with streaming(plain_service.frames, plain_service.results, shape=(64, 64)) as stream:
        stream.wait_for(2)
        shadow = http.post("/v1/ensembles/other/1/activate", json={"mode": "shadow", "reason": "looks better"})
        assert shadow.status_code == 200, shadow.text
        until(lambda: http.get("/v1/status").json()["ensemble"]["candidate"], lambda one: one is not None and one["frames"] >= 3)
        live = http.post("/v1/ensembles/other/1/activate", json={"mode": "live", "reason": "it is better"})
        assert live.status_code == 200, live.text
        generation = live.json()["generation"]
        seen = len(stream.answers)
        stream.wait_for(seen + 6)
        members = http.get("/v1/members").json()
        uses = until(lambda: {one["name"]: one["use"] for one in http.get("/v1/ensembles").json()["ensembles"]}, lambda one: one["plain"] == "earlier")
        back = http.post("/v1/ensembles/rollback", json={"reason": "it was not"})
        stream.wait_for(len(stream.answers) + 3)

    assert stream.unanswered == 0
    assert stream.failures == []
    assert [one["id"] for one in members["members"]] == ["m00", "m01", "m02"]
    assert uses["other"] == "live"
    assert back.json()["generation"] > generation
    assert back.json()["ensemble"]["name"] == "plain"
    for answer in stream.answers:
        assert len(answer.report.members_used) == {"plain": 2, "other": 3}[answer.report.ensemble.name]
    assert all(one.report.ensemble.name == "other" for one in stream.answers if generation <= one.report.ensemble.generation < back.json()["generation"])
    lines = http.get("/v1/journal").json()["entries"]
    assert [line["action"] for line in lines if line["actor"] == "kim"][-4:] == ["register", "shadow", "activate", "rollback"]


def test_what_is_not_there_or_in_use_is_refused_by_name(http: httpx.Client) -> None:
    missing = http.post("/v1/ensembles/nothing/1/activate", json={})
    in_use = http.delete("/v1/ensembles/plain/1")
    stale = http.post("/v1/ensembles/other/1/activate", json={}, headers={"If-Match": '"0"'})
    no_candidate = http.delete("/v1/ensembles/candidate")

    assert [(one.status_code, one.json()["code"]) for one in (missing, in_use, stale, no_candidate)] == [
        (404, "not_registered"),
        (409, "in_use"),
        (412, "changed_meanwhile"),
        (404, "no_candidate"),
    ]


def test_what_is_based_on_a_state_that_has_moved_on_is_refused_also_for_the_candidate_and_the_registry(
    plain_service: Launched, http: httpx.Client, zipped: bytes
) -> None:
    control = plain_service.control("kim")
    http.post("/v1/ensembles", content=zipped)
    now = control.ensembles.shadow("other", "1")
    before = http.get("/v1/journal").json()["entries"][-1]
    stale: list[Callable[[], object]] = [
        lambda: control.ensembles.shadow("other", "1", if_generation=now - 1),
        lambda: control.ensembles.drop_candidate(if_generation=now - 1),
        lambda: control.ensembles.remove("other", "1", if_generation=now - 1),
    ]
    for change in stale:
        with pytest.raises(RequestFailed) as refusal:
            change()
        assert (refusal.value.status, refusal.value.code) == (412, "changed_meanwhile")
    unload = http.post("/v2/repository/models/other/unload", headers={"If-Match": f'"{now - 1}"'})
    not_loaded = http.post("/v2/repository/models/plain/unload", headers={"If-Match": f'"{now - 1}"'})
    upload = http.post("/v1/ensembles", content=zipped, headers={"If-Match": f'"{now - 1}"'})
    unchanged = http.get("/v1/journal").json()["entries"][-1]

    assert [one.status_code for one in (unload, not_loaded, upload)] == [412, 412, 412]
    assert unchanged == before
    assert control.ensembles.drop_candidate(if_generation=now) == now
    until(lambda: control.ensembles.list()["ensembles"], lambda listed: "last_good" not in [one["use"] for one in listed])
    removed = http.delete("/v1/ensembles/other/1", headers={"If-Match": f'"{now}"'})
    assert (removed.status_code, removed.json(), removed.headers["ETag"]) == (200, {"generation": now}, f'"{now}"')


def test_rollback_goes_past_ensembles_that_can_not_be_used_any_more(other: Bundle, zipped: bytes, tmp_path: Path) -> None:
    plain = make_plain_bundle(tmp_path / "plain")
    third = make_plain_bundle(tmp_path / "third", biases=(-1.0, -1.2), name="third")
    pack(third.folder, tmp_path / "third-1.atomstream")
    start = partial(launched, tmp_path / "state", bundle=str(plain.folder), config="warm_shapes = [[64, 64]]\ntrial_frames = 0\n")
    with start() as service, httpx.Client(base_url=service.url, timeout=60) as http:
        for archive in (zipped, (tmp_path / "third-1.atomstream").read_bytes()):
            http.post("/v1/ensembles", content=archive)
        for name in ("other", "third"):
            http.post(f"/v1/ensembles/{name}/1/activate", json={})
        member = tmp_path / "state" / "registry" / "other" / "1" / "bundle" / other.card.members[0].file
        member.chmod(stat.S_IRUSR | stat.S_IWUSR)
        member.write_bytes(member.read_bytes()[:-1])
        back = http.post("/v1/ensembles/rollback", json={})
        http.delete("/v1/ensembles/third/1")
        no_way = http.post("/v1/ensembles/rollback", json={})
    with start() as service, httpx.Client(base_url=service.url, timeout=60) as http:
        listed = http.get("/v1/ensembles").json()
        nowhere = http.post("/v1/ensembles/rollback", json={})

    assert (back.status_code, back.json()["ensemble"]["name"]) == (200, "plain")
    for refused in (no_way, nowhere):
        assert (refused.status_code, refused.json()["code"]) == (409, "nothing_earlier")
        assert "other 1" in refused.json()["detail"]
    assert listed["rollback_to"] is None


def test_while_a_program_has_the_lease_others_are_refused_until_an_operator_breaks_it(http: httpx.Client) -> None:
    taken = http.post("/v1/lease", json={"seconds": 60, "reason": "an autonomous experiment"}).json()
    refused = http.patch("/v1/members/m00", json={"state": "shadow"})
    allowed = http.patch("/v1/members/m00", json={"state": "shadow"}, headers={"X-Atomstream-Lease": taken["id"]})
    shown = http.get("/v1/lease").json()
    stolen = http.post("/v1/lease", json={"seconds": 60})
    broken = http.delete("/v1/lease", params={"force": True, "reason": "the tip crashed"})
    after = http.patch("/v1/members/m00", json={"state": "enabled"})

    assert (refused.status_code, refused.json()["code"]) == (423, "leased")
    assert "kim" in refused.json()["detail"]
    assert (allowed.status_code, stolen.status_code, broken.status_code, after.status_code) == (200, 423, 200, 200)
    assert shown["lease"]["holder"] == "kim"
    assert "id" not in shown["lease"]
    assert [line["action"] for line in http.get("/v1/journal").json()["entries"]][-4:] == ["take_lease", "set_members", "break_lease", "set_members"]


def test_an_ensemble_that_fails_in_its_first_frames_is_taken_back_and_the_service_says_so(tmp_path: Path) -> None:
    good = make_plain_bundle(tmp_path / "good", name="good")
    fragile = make_plain_bundle(tmp_path / "fragile", biases=(-1.0, 20.0), fragile=1, name="fragile")
    pack(fragile.folder, tmp_path / "fragile-1.atomstream")
    with (
        launched(tmp_path / "state", bundle=str(good.folder), config="warm_shapes = [[64, 64]]\n") as service,
        httpx.Client(base_url=service.url, timeout=60) as http,
        FramePublisher("test/trial", service.frames) as publisher,
        ResultSubscriber(service.results, kinds=("atoms", "error")) as results,
    ):
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        http.post("/v1/ensembles", content=(tmp_path / "fragile-1.atomstream").read_bytes())
        activated = http.post("/v1/ensembles/fragile/1/activate", json={}).json()["generation"]
        publisher.publish(dots((64, 64), [(20.0, 20.0)]) - 15)
        answer = results.receive(20)
        status = until(lambda: http.get("/v1/status").json()["ensemble"], lambda one: one["name"] == "good")
        lines = http.get("/v1/journal").json()["entries"]
        http.patch("/v1/members/m01", json={"state": "shadow"})
        publisher.publish(dots((64, 64), [(20.0, 20.0)]))
        later = results.receive(20)

    assert isinstance(answer, Atoms)
    assert (answer.report.ensemble.name, answer.report.ensemble.generation) == ("good", activated + 1)
    assert status["generation"] == activated + 1
    assert (lines[-1]["action"], lines[-1]["actor"], lines[-1]["after"]["name"]) == ("revert", "engine", "good")
    assert "m01" in lines[-1]["reason"]
    assert isinstance(later, Atoms)
    assert (later.report.ensemble.generation, later.report.members_used) == (activated + 2, ("m00",))


def test_a_killed_service_comes_back_with_the_same_ensemble_members_and_candidate(other: Bundle, zipped: bytes, tmp_path: Path) -> None:
    plain = make_plain_bundle(tmp_path / "plain")
    start = partial(launched, tmp_path / "state", bundle=str(plain.folder), config="warm_shapes = [[64, 64]]\ntrial_frames = 0\n")
    with start() as service, httpx.Client(base_url=service.url, timeout=60) as http:
        http.post("/v1/ensembles", content=zipped)
        http.post("/v1/ensembles/other/1/activate", json={})
        http.post("/v1/ensembles/plain/1/activate", json={"mode": "shadow"})
        http.patch("/v1/members/m02", json={"state": "disabled"})
        before = http.get("/v1/status").json()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
    with start() as service, httpx.Client(base_url=service.url, timeout=60) as http:
        after = until(lambda: http.get("/v1/status").json(), lambda one: one["ensemble"]["candidate"] is not None)

    assert after["ensemble"]["sha256"] == before["ensemble"]["sha256"] == other.sha256
    assert after["ensemble"]["generation"] == before["ensemble"]["generation"]
    assert {member: one["state"] for member, one in after["members"].items()} == {"m00": "enabled", "m01": "enabled", "m02": "disabled"}
    assert after["ensemble"]["candidate"]["name"] == "plain"
