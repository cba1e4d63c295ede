from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator

import cv2
import httpx
import numpy as np
import pytest
import tifffile
from prometheus_client.parser import text_string_to_metric_families

from atomstream_client import Atoms, FramePublisher, RequestFailed, ResultSubscriber
from atomstream_models.simulation import SimulatedMicroscope
from atomstream_service.demo import Launched, launched


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """One that chooses its runtime itself."""
    with launched(tmp_path_factory.mktemp("service") / "state", environment={**os.environ, "ATOMSTREAM_RUNTIME": "auto"}) as running:
        yield running


@pytest.fixture(scope="module")
def streamed(service: Launched) -> Launched:
    """The service, after it has answered one frame."""
    with FramePublisher("test/http", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        publisher.publish(SimulatedMicroscope(1, (120, 160)).next_frame().image, frame=5, pixel_size=(0.0104, 0.0104))
        assert isinstance(subscriber.receive(30), Atoms)
    return service


@pytest.fixture
def http(service: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        yield client


def test_health_and_readiness(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "alive"}
    assert http.get("/readyz").json() == {"ready": True, "reasons": []}


def test_status_says_what_really_runs(streamed: Launched, http: httpx.Client) -> None:
    status = http.get("/v1/status").json()

    assert status["engine"]["state"] == "ready"
    assert status["engine"]["device"] == ("cuda" if "CUDAExecutionProvider" in status["engine"]["providers"] else "cpu")
    assert status["engine"]["runtime"].split()[0] in ("onnxruntime", "openvino")
    assert status["engine"]["bits"] == "float32"
    assert {one["runtime"].split()[0] for one in status["engine"]["choice"]["tried"]} == {"onnxruntime", "openvino"}
    assert status["ensemble"]["name"] == "graphene"
    assert status["streams"]["test/http"]["answered"] == 1
    assert status["latency_ms"]["total"]["p50"] > 0
    assert status["memory_bytes"] > 1e7


def test_members_carry_an_etag_that_guards_a_change(http: httpx.Client) -> None:
    listed = http.get("/v1/members")
    tag = listed.headers["ETag"]
    changed = http.patch("/v1/members/m04", json={"state": "disabled", "reason": "foggy"}, headers={"If-Match": tag, "X-Atomstream-Actor": "kim"})
    stale = http.patch("/v1/members/m05", json={"state": "disabled"}, headers={"If-Match": tag})

    assert [one["id"] for one in listed.json()["members"]] == [f"m{k:02d}" for k in range(8)]
    assert changed.status_code == 200
    assert changed.json()["generation"] > listed.json()["generation"]
    assert changed.headers["ETag"] == f'"{changed.json()["generation"]}"'
    assert stale.status_code == 412
    assert stale.json()["code"] == "changed_meanwhile"
    entry = http.get("/v1/journal?limit=1000").json()["entries"][-1]
    assert (entry["actor"], entry["target"], entry["reason"], entry["after"]) == ("kim", "m04", "foggy", {"m04": "disabled"})


def test_put_chooses_exactly_the_members_named(http: httpx.Client) -> None:
    chosen = http.put("/v1/members", json={"enabled": ["m01", "m06"]}).json()
    everybody = http.put("/v1/members", json={"enabled": [f"m{k:02d}" for k in range(8)]}).json()

    assert [one["id"] for one in chosen["members"] if one["state"] == "enabled"] == ["m01", "m06"]
    assert all(one["state"] == "enabled" for one in everybody["members"])


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "named"),
    [
        ("PATCH", "/v1/members/m99", {"state": "disabled"}, 404, "m99"),
        ("PATCH", "/v1/members/m00", {"state": "asleep"}, 422, "state"),
        ("PATCH", "/v1/members/m00", {"state": "failed"}, 422, "state"),
        ("PATCH", "/v1/members/m00", {"state": "disabled", "colour": "red"}, 422, "colour"),
        ("PUT", "/v1/members", {"enabled": []}, 409, "at least 1"),
        ("PUT", "/v1/members", {"enabled": ["m00", "mist"]}, 404, "mist"),
        ("GET", "/v1/frames/latest.png?layer=sound", None, 422, "layer"),
        ("GET", "/v1/frames/latest.png?layer=member:m77", None, 404, "member:m77"),
        ("GET", "/v1/journal?limit=0", None, 422, "limit"),
        ("GET", "/nowhere", None, 404, "Not Found"),
        ("DELETE", "/v1/members", None, 405, "Method Not Allowed"),
    ],
)
def test_errors_are_problem_documents_that_name_what_was_wrong(
    streamed: Launched, http: httpx.Client, method: str, path: str, body: object, status: int, named: str
) -> None:
    answer = http.request(method, path, json=body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert named in answer.json()["detail"]


def test_a_bad_if_match_is_named(http: httpx.Client) -> None:
    answer = http.patch("/v1/members/m00", json={"state": "enabled"}, headers={"If-Match": "yesterday"})

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_if_match")


def _bytes(kind: str, image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    if kind == "npy":
        np.save(stream, image)
    elif kind == "npz":
        np.savez(stream, image=image, pixel_size_nm=0.0104)
    elif kind == "tiff":
        tifffile.imwrite(stream, image)
    else:
        return bytes(cv2.imencode(".png", image)[1])
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz", "tiff", "png"])
def test_infer_takes_every_kind_of_file(http: httpx.Client, kind: str) -> None:
    image = SimulatedMicroscope(1, (120, 160)).next_frame().image
    answer = http.post("/v1/infer?pixel_size_nm=0.0104", content=_bytes(kind, image)).json()

    assert answer["columns"][:3] == ["y", "x", "class"]
    assert len(answer["atoms"]) > 50
    assert answer["shape"] == [120, 160]
    assert "maps" not in answer


def _with_nan() -> np.ndarray:
    image = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    image[3, 4] = np.nan
    return image


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "no_frame_sent"),
        (b"GIF89a", 415, "unknown_format"),
        (_bytes("npy", np.zeros((3, 4), np.float32)), 422, "too_small"),
        (_bytes("npy", _with_nan()), 422, "not_finite"),
    ],
)
def test_infer_refuses_what_is_no_frame(http: httpx.Client, content: bytes, status: int, code: str) -> None:
    answer = http.post("/v1/infer", content=content)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_the_latest_frame_is_there_as_numbers_and_pictures(streamed: Launched, http: httpx.Client) -> None:
    answer = http.get("/v1/frames/latest").json()

    assert answer["frame"] == 5
    assert http.get("/v1/frames/latest.json").json() == answer
    for layer in ("frame", "mean", "std", "atoms", "member:m00"):
        picture = http.get("/v1/frames/latest.png", params={"layer": layer})
        image = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert image is not None
        assert image.shape[0] % 120 == image.shape[1] % 160 == 0
        assert image.std() > 1, f"layer {layer} shows nothing"


def test_metrics_are_prometheus_text(streamed: Launched, http: httpx.Client) -> None:
    families = {family.name: family for family in text_string_to_metric_families(http.get("/metrics").text)}

    assert {
        "elit_engine_up",
        "elit_frames_received",
        "elit_frames_answered",
        "elit_frames_dropped",
        "elit_stage_duration_seconds",
        "elit_member_state",
        "elit_members_active",
        "elit_ensemble_generation_info",
    } <= set(families)
    answered = {sample.labels["source"]: sample.value for sample in families["elit_frames_answered"].samples}
    assert answered["test/http"] == 1
    assert next(sample.value for sample in families["elit_members_active"].samples) == 8


def test_another_host_name_gets_no_answer(http: httpx.Client) -> None:
    refused = http.get("/v1/status", headers={"Host": "evil.example"})

    assert (refused.status_code, refused.json()["code"]) == (400, "bad_host")


def test_an_actor_may_have_any_name(service: Launched) -> None:
    service.control("Łukasz 王").set_member("m07", "disabled")
    service.control("Łukasz 王").set_member("m07", "enabled")

    assert service.control().journal()[-1]["actor"] == "Łukasz 王"


def test_the_api_describes_itself(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").json()["paths"]

    assert {"/healthz", "/readyz", "/metrics", "/v1/status", "/v1/members", "/v1/members/{member}", "/v1/journal", "/v1/infer", "/v1/frames/latest"} <= set(
        paths
    )


def test_the_client_says_why_it_was_refused(service: Launched) -> None:
    with pytest.raises(RequestFailed) as refusal:
        service.control().set_member("m99", "disabled")

    assert (refusal.value.status, refusal.value.code) == (404, "unknown_member")
