from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import ROOT, dots, make_plain_bundle
from numpy.typing import NDArray
from streaming import streaming
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from atomstream_client import Atoms, FramePublisher, Maps, ResultSubscriber
from atomstream_models.bundle import pack
from atomstream_service.demo import Launched, launched
from atomstream_wire import ATOM_COLUMNS

FRAME = dots((60, 72), [(20.0, 30.0), (40.0, 50.0), (44.0, 12.0)])
PIXEL_NM = 0.005
"""Half of what the ensemble was made for, so that frames are resampled on the way."""

CONFIG = "warm_shapes = [[64, 64]]\ntrial_frames = 0\nmax_pixels = 131072\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A service with two registered ensembles, `plain` live and `other` not loaded."""
    folder = tmp_path_factory.mktemp("oip")
    other = make_plain_bundle(folder / "other", biases=(-1.0, -2.0), name="other")
    plain = make_plain_bundle(folder / "plain", biases=(-1.0, -2.0, -1.5), pixel_size_nm=[0.01, 0.02])
    pack(other.folder, folder / "other-1.atomstream")
    with launched(folder / "state", bundle=str(plain.folder), config=CONFIG) as service:
        httpx.post(f"{service.url}/v1/ensembles", content=(folder / "other-1.atomstream").read_bytes(), timeout=60).raise_for_status()
        yield service


@pytest.fixture
def triton(server: Launched) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.http) as client:
        yield client


@pytest.fixture
def http(server: Launched) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60, headers={"X-Atomstream-Actor": "kim"}) as client:
        yield client


def _input(image: NDArray[Any], *, binary: bool = True) -> InferInput:
    tensor = InferInput("frame", list(image.shape), np_to_triton_dtype(image.dtype))
    return tensor.set_data_from_numpy(image, binary_data=binary)


def _infer(client: InferenceServerClient, image: NDArray[Any], **more: Any) -> InferResult:
    return client.infer("plain", [_input(image)], parameters={"pixel_size_nm": PIXEL_NM}, **more)


def _streamed(server: Launched, image: NDArray[Any]) -> tuple[Atoms, Maps]:
    """What the stream answers to a frame."""
    with FramePublisher("test/oip", server.frames) as publisher, ResultSubscriber(server.results, kinds=("atoms", "maps")) as results:
        assert publisher.wait_for_reader()
        time.sleep(0.2)
        publisher.publish(image, pixel_size=(PIXEL_NM, PIXEL_NM))
        atoms, maps = results.receive(20), results.receive(20)
    assert isinstance(atoms, Atoms)
    assert isinstance(maps, Maps)
    return atoms, maps


@pytest.mark.parametrize("dtype", ["float32", "uint16", "uint8", "int16", "int32", "float64"])
@pytest.mark.parametrize("shape", [(60, 72), (1, 60, 72), (1, 1, 60, 72)])
def test_a_frame_gives_the_same_bits_through_the_protocol_as_over_zeromq(
    server: Launched, triton: InferenceServerClient, dtype: str, shape: tuple[int, ...]
) -> None:
    image = FRAME.astype(dtype)
    atoms, maps = _streamed(server, image)
    result = _infer(triton, image.reshape(shape))
    parameters = result.get_response()["parameters"]

    assert len(atoms.atoms) == 3
    assert maps.std is not None
    np.testing.assert_array_equal(result.as_numpy("mean"), maps.mean[None], strict=True)
    np.testing.assert_array_equal(result.as_numpy("std"), maps.std[None], strict=True)
    np.testing.assert_array_equal(result.as_numpy("atoms"), atoms.atoms, strict=True)
    np.testing.assert_array_equal(result.as_numpy("atoms_count"), np.array([3], np.int32), strict=True)
    assert (parameters["generation"], parameters["sha256"]) == (atoms.report.ensemble.generation, atoms.report.ensemble.sha256)
    assert json.loads(parameters["members_used"]) == [list(atoms.report.members_used)]
    assert json.loads(parameters["flags"]) == [list(atoms.report.flags)]
    assert json.loads(parameters["classes"]) == ["atom"]


def test_numbers_as_json_and_compressed_bodies_give_the_same_bits(triton: InferenceServerClient) -> None:
    parameters = {"pixel_size_nm": PIXEL_NM}
    names = ("mean", "std", "atoms", "atoms_count")
    as_json = [InferRequestedOutput(name, binary_data=False) for name in names]
    expected = _infer(triton, FRAME)
    answers = [
        triton.infer("plain", [_input(FRAME, binary=False)], outputs=as_json, parameters=parameters),
        triton.infer("plain", [_input(FRAME.astype("float64"), binary=False)], parameters=parameters),
        _infer(triton, FRAME, request_compression_algorithm="gzip", response_compression_algorithm="deflate"),
        _infer(triton, FRAME, request_compression_algorithm="deflate", response_compression_algorithm="gzip", outputs=as_json),
    ]

    for answer in answers:
        for name in names:
            np.testing.assert_array_equal(answer.as_numpy(name), expected.as_numpy(name), strict=True)


def test_a_batch_gives_each_frame_what_it_gives_alone(triton: InferenceServerClient) -> None:
    frames = np.stack([FRAME, dots((60, 72), [(30.0, 30.0)]), np.full((60, 72), 1e-3, np.float32)])
    together = _infer(triton, frames)
    alone = [_infer(triton, frame) for frame in frames]

    assert together.as_numpy("atoms_count").tolist() == [3, 1, 0]
    assert together.as_numpy("atoms").shape == (4, len(ATOM_COLUMNS))
    np.testing.assert_array_equal(together.as_numpy("mean"), np.concatenate([one.as_numpy("mean") for one in alone]))
    np.testing.assert_array_equal(together.as_numpy("atoms"), np.concatenate([one.as_numpy("atoms") for one in alone]))
    np.testing.assert_array_equal(together.as_numpy("std")[:2], np.concatenate([one.as_numpy("std") for one in alone[:2]]))
    assert json.loads(together.get_response()["parameters"]["flags"])[2] == ["blank", "rescaled"]
    assert np.isnan(together.as_numpy("std")[2]).all(), "no member has run on a blank frame"
    assert alone[2].as_numpy("std") is None


def test_only_the_outputs_asked_for_are_sent(triton: InferenceServerClient) -> None:
    result = _infer(triton, FRAME, outputs=[InferRequestedOutput("atoms"), InferRequestedOutput("atoms_count", binary_data=False)], request_id="seven")
    response = result.get_response()

    assert [(one["name"], one["datatype"], one["shape"]) for one in response["outputs"]] == [("atoms", "FP32", [3, 10]), ("atoms_count", "INT32", [1])]
    assert response["outputs"][0]["parameters"] == {"binary_data_size": 3 * 10 * 4}
    assert response["outputs"][1]["data"] == [3]
    assert (response["id"], response["model_name"], response["model_version"]) == ("seven", "plain", "1")


def test_with_one_member_std_is_left_out_and_never_zero(triton: InferenceServerClient, http: httpx.Client) -> None:
    http.put("/v1/members", json={"enabled": ["m01"]})
    try:
        result = _infer(triton, FRAME, outputs=[InferRequestedOutput("mean"), InferRequestedOutput("std")])
    finally:
        http.put("/v1/members", json={"enabled": ["m00", "m01", "m02"]})

    assert result.as_numpy("std") is None
    assert result.as_numpy("mean").shape == (1, 1, 60, 72)
    assert "single_member" in json.loads(result.get_response()["parameters"]["flags"])[0]


def test_health_and_metadata_say_what_there_is(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("plain")
    assert triton.is_model_ready("plain", "1")
    assert not triton.is_model_ready("plain", "2")
    assert not triton.is_model_ready("other")
    assert not triton.is_model_ready("nothing")
    assert triton.get_server_metadata()["name"] == "atomstream"
    described = triton.get_model_metadata("other", "1")
    assert described["versions"] == ["1"]
    assert described["inputs"] == [{"name": "frame", "datatype": "FP32", "shape": [-1, -1, -1]}]
    assert [(one["name"], one["datatype"], one["shape"]) for one in described["outputs"]] == [
        ("mean", "FP32", [-1, 1, -1, -1]),
        ("std", "FP32", [-1, 1, -1, -1]),
        ("atoms", "FP32", [-1, 10]),
        ("atoms_count", "INT32", [-1]),
    ]
    configured = triton.get_model_config("plain")
    assert (configured["max_batch_size"], configured["input"][0]["data_type"], configured["output"][0]["dims"]) == (0, "TYPE_FP32", [-1, 1, -1, -1])


def test_loading_another_ensemble_makes_it_live_under_the_control_plane_s_own_rules(triton: InferenceServerClient, http: httpx.Client) -> None:
    before = triton.get_model_repository_index()
    lease = http.post("/v1/lease", json={"seconds": 60, "reason": "an experiment"}).json()["id"]
    with pytest.raises(InferenceServerException, match="kim has control") as leased:
        triton.load_model("other")
    http.delete("/v1/lease", headers={"X-Atomstream-Lease": lease})
    with pytest.raises(InferenceServerException, match="not 0") as stale:
        triton.load_model("other", headers={"If-Match": '"0"'})
    triton.load_model("other", headers={"X-Atomstream-Actor": "triton"}, query_params={"version": "1", "reason": "foggy lattice"})
    between = triton.get_model_repository_index()
    result = triton.infer("other", [_input(FRAME)])
    with pytest.raises(InferenceServerException, match="the live ensemble is other 1; load it first"):
        triton.infer("plain", [_input(FRAME)])
    with pytest.raises(InferenceServerException, match="other 1 is the live ensemble and one must answer"):
        triton.unload_model("other")
    line = http.get("/v1/journal").json()["entries"][-1]
    triton.load_model("plain")
    triton.unload_model("other")

    assert before == [
        {"name": "other", "version": "1", "state": "UNAVAILABLE", "reason": "registered, not loaded"},
        {"name": "plain", "version": "1", "state": "READY", "reason": ""},
    ]
    assert (leased.value.status(), stale.value.status()) == ("423", "412")
    assert between[0] == {"name": "other", "version": "1", "state": "READY", "reason": ""}
    assert between[1] == {"name": "plain", "version": "1", "state": "UNAVAILABLE", "reason": "was live before"}
    assert result.as_numpy("mean").shape == (1, 1, 60, 72)
    assert (line["action"], line["actor"], line["reason"], line["after"]["name"]) == ("activate", "triton", "foggy lattice", "other")
    assert triton.is_model_ready("plain")


def test_a_candidate_is_not_ready_and_unloading_takes_it_off_the_bench(triton: InferenceServerClient, http: httpx.Client) -> None:
    http.post("/v1/ensembles/other/1/activate", json={"mode": "shadow"})
    listed = {one["name"]: one["reason"] for one in triton.get_model_repository_index()}
    only_ready = http.post("/v2/repository/index", json={"ready": True}).json()
    triton.unload_model("other", unload_dependents=True)

    assert listed["other"] == "runs beside the live ensemble and does not answer"
    assert [one["name"] for one in only_ready] == ["plain"]
    assert http.get("/v1/status").json()["ensemble"]["candidate"] is None
    assert http.get("/v1/journal").json()["entries"][-1]["action"] == "drop_candidate"


def test_frames_of_the_stream_are_answered_between_those_of_a_batch(server: Launched, triton: InferenceServerClient) -> None:
    frames = np.stack([FRAME] * 30)
    answered: list[int] = []
    with streaming(server.frames, server.results, shape=(64, 64)) as stream:
        stream.wait_for(2)
        seen = len(stream.answers)
        batch = threading.Thread(target=lambda: answered.extend(InferenceServerClient(server.http).infer("plain", [_input(frames)]).as_numpy("atoms_count")))
        batch.start()
        batch.join()
        during = len(stream.answers) - seen

    assert len(answered) == 30
    assert during >= 3
    assert (stream.unanswered, stream.failures) == (0, [])


GOOD = {"name": "frame", "shape": [8, 8], "datatype": "FP32", "data": [[0.5] * 8] * 8}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"inputs": [{**GOOD, "name": "image"}]}, "no input 'image'"),
        ({"inputs": [{**GOOD, "datatype": "BYTES"}]}, "'BYTES', it must be one of UINT8, UINT16"),
        ({"inputs": [{**GOOD, "shape": [9, 8]}]}, "72 numbers, data has 64"),
        ({"inputs": [{**GOOD, "shape": [1, 3, 8, 8]}]}, "3 channels"),
        ({"inputs": [{**GOOD, "shape": [8]}]}, "inputs.0.shape"),
        ({"inputs": [{**GOOD, "shape": [-8, 8]}]}, "inputs.0.shape.0"),
        ({"inputs": [{**GOOD, "data": [[0.5] * 8] * 7 + [[0.5]]}]}, "not a regular array"),
        ({"inputs": [{**GOOD, "data": ["0.5"] * 64}]}, "not all numbers"),
        ({"inputs": [{**GOOD, "datatype": "UINT8", "data": [256] * 64}]}, "from 256 to 256"),
        ({"inputs": [{**GOOD, "datatype": "UINT8"}]}, "not all whole numbers"),
        ({"inputs": [{"name": "frame", "shape": [8, 8], "datatype": "FP32"}]}, "has no data"),
        ({"inputs": [{**GOOD, "data": [1e300] * 2 + [0.5] * 62}]}, "2 of 64"),
        ({"inputs": [{**GOOD, "shape": [2, 4, 8], "data": [0.5] * 64}]}, "frame 0 of 2"),
        ({"inputs": [{**GOOD, "parameters": {"shared_memory_region": "mine"}}]}, "shared memory is not offered"),
        ({"inputs": [{**GOOD, "parameters": {"binary_data_size": 256}}]}, "Inference-Header-Content-Length is missing"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [GOOD], "outputs": [{"name": "sound"}]}, "no output 'sound'; there are mean, std"),
        ({"inputs": [GOOD], "outputs": [{"name": "mean", "parameters": {"classification": 3}}]}, "classification"),
        ({"inputs": [GOOD], "outputs": [{"name": "mean", "parameters": {"binary_data": 1}}]}, "must be true or false"),
        ({"inputs": [GOOD], "parameters": {"pixel_size_nm": 0}}, "pixel_size_nm is 0"),
        ({"inputs": [GOOD], "parameters": {"pixel_size": 0.01}}, "this service knows pixel_size_nm"),
        ({"inputs": [GOOD], "colour": "red"}, "colour"),
    ],
)
def test_a_request_that_is_wrong_is_refused_with_what_was_wrong(http: httpx.Client, wrong: dict[str, Any], named: str) -> None:
    answer = http.post("/v2/models/plain/infer", json=wrong)

    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]


def _binary(length: str, size: int, payload: bytes) -> tuple[bytes, dict[str, str]]:
    text = json.dumps({"inputs": [{"name": "frame", "shape": [8, 8], "datatype": "UINT8", "parameters": {"binary_data_size": size}}]}).encode()
    return text + payload, {"Inference-Header-Content-Length": length.replace("LENGTH", str(len(text)))}


@pytest.mark.parametrize(
    ("content", "headers", "status", "named"),
    [
        (*_binary("LENGTH", 64, bytes(63)), 400, "64, but 63 bytes follow"),
        (*_binary("LENGTH", 63, bytes(63)), 400, "has 64 bytes, binary_data_size is 63"),
        (*_binary("99999", 64, bytes(64)), 400, "'99999'"),
        (*_binary("-1", 64, bytes(64)), 400, "'-1'"),
        (b"", {}, 400, "inputs"),
        (b"{", {}, 400, "the body"),
        (b"[" * 100_000, {}, 400, "the body"),
        (b"nothing of gzip", {"Content-Encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {"Content-Encoding": "gzip"}, 400, "cut off"),
        (b"{}", {"Content-Encoding": "br"}, 415, "gzip and deflate"),
        (gzip.compress(bytes(16 << 20), mtime=0), {"Content-Encoding": "gzip"}, 413, "once it is decompressed"),
        (bytes((2 << 20) + 1), {}, 413, "larger than"),
    ],
)
def test_a_body_that_is_damaged_or_too_large_is_refused(http: httpx.Client, content: bytes, headers: dict[str, str], status: int, named: str) -> None:
    answer = http.post("/v2/models/plain/infer", content=content, headers=headers)

    assert answer.status_code == status
    assert named in answer.json()["error"]


@pytest.mark.parametrize("shape", [(65, 8, 8), (2, 300, 300)])
def test_too_many_frames_or_pixels_are_refused(triton: InferenceServerClient, shape: tuple[int, ...]) -> None:
    with pytest.raises(InferenceServerException, match="allowed") as refused:
        triton.infer("plain", [_input(np.zeros(shape, np.uint8))])

    assert refused.value.status() == "413"


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "/v2/models/nothing", 404, "there are other, plain"),
        ("GET", "/v2/models/plain/versions/9", 404, "it has 1"),
        ("GET", "/v2/models/other/ready", 400, "the live ensemble is plain 1"),
        ("POST", "/v2/models/nothing/infer", 404, "no model 'nothing'"),
        ("POST", "/v2/repository/models/nothing/load", 404, "no model 'nothing'"),
        ("POST", "/v2/repository/models/nothing/unload", 404, "no model 'nothing'"),
        ("GET", "/v2/models/plain/stats", 404, "Not Found"),
        ("DELETE", "/v2/models/plain", 405, "Method Not Allowed"),
        ("POST", f"/v2/repository/models/plain/load?version={'9' * 101}", 400, "query.version"),
    ],
)
def test_errors_are_told_in_the_protocol_s_form(http: httpx.Client, method: str, path: str, status: int, named: str) -> None:
    answer = http.request(method, path)

    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert named in answer.json()["error"]


def test_an_ensemble_is_loaded_as_it_was_registered(triton: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="config can't be given here"):
        triton.load_model("plain", config="{}")


def test_answers_have_the_protocol_s_shape(http: httpx.Client) -> None:
    answer = http.post("/v2/models/plain/versions/1/infer", json={"id": "a", "inputs": [GOOD], "outputs": [{"name": "atoms"}]})

    assert answer.headers["content-type"] == "application/json"
    assert "inference-header-content-length" not in answer.headers
    assert answer.json()["outputs"] == [{"name": "atoms", "datatype": "FP32", "shape": [0, 10], "data": []}]
    assert set(answer.json()["parameters"]) == {"generation", "sha256", "classes", "members_used", "flags"}
    assert http.get("/v2/health/live").json() == {"live": True}
    assert http.get("/v2/health/ready").json() == {"ready": True}
    assert http.get("/v2/models/plain/ready").json() == {"name": "plain", "ready": True}


def test_the_example_of_the_docs_runs(server: Launched) -> None:
    example = (ROOT / "docs" / "open-inference.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(example.replace("127.0.0.1:8000", server.http), names)

    assert names["mean"].shape == names["std"].shape == (2, 1, 256, 256)
    assert [len(one) for one in names["of_each"]] == names["result"].as_numpy("atoms_count").tolist()
