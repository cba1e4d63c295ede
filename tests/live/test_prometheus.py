from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest
import zmq
from conftest import dots, make_plain_bundle
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from atomstream_client import Atoms, ResultSubscriber
from atomstream_service.control._meters import Meters
from atomstream_service.demo import Launched, launched
from atomstream_wire import Frame, encode_frame


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A service that has answered frames 0 and 4 of a session, and one member of which was disabled."""
    folder = tmp_path_factory.mktemp("measured")
    bundle = make_plain_bundle(folder / "plain")
    with launched(folder / "state", bundle=str(bundle.folder), config="warm_shapes = [[56, 64]]\n[tracks]\nenabled = true\n") as service:
        frames: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUB)
        with frames, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
            frames.connect(service.frames)
            time.sleep(0.5)
            for seq in (0, 4):
                frame = Frame({"image": dots((56, 64), [(20.0, 30.0)])}, "session", seq, "test/metrics")
                frames.send_multipart([bytes(part) for part in encode_frame(frame)])
                assert isinstance(subscriber.receive(30), Atoms)
        service.control("kim").set_member("m01", "disabled", reason="foggy")
        yield service


@pytest.fixture(scope="module")
def families(measured: Launched) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(httpx.get(f"{measured.url}/metrics").text)}


def _value(families: dict[str, Metric], name: str, /, **labels: str) -> float:
    return next(one.value for family in families.values() for one in family.samples if one.name == name and labels.items() <= one.labels.items())


def test_metrics_say_what_came_what_was_lost_and_who_answers(families: dict[str, Metric]) -> None:
    source = {"source": "test/metrics"}

    assert _value(families, "elit_frames_received_total", **source) == 2
    assert _value(families, "elit_frames_answered_total", **source) == 2
    assert _value(families, "elit_frames_dropped_total", where="source_gap", **source) == 3
    assert _value(families, "elit_frame_sequence_gaps_total", **source) == 1
    assert 0 < _value(families, "elit_frame_age_seconds", **source) < 600
    assert _value(families, "elit_stage_duration_seconds_count", stage="infer") == 2
    assert _value(families, "elit_member_infer_seconds", member="m00") > 0
    assert _value(families, "elit_member_state", member="m01", state="disabled") == 1
    assert _value(families, "elit_members_active") == 1
    assert _value(families, "elit_ensemble_generation_info", name="plain") == 1
    assert _value(families, "elit_control_actions_total", actor_kind="named", action="set_members") == 1
    assert _value(families, "elit_swap_total", result="reverted") == 0
    assert _value(families, "elit_engine_memory_bytes") > 1e6
    assert _value(families, "elit_tracks_started_total") == 1


def test_names_follow_the_conventions(families: dict[str, Metric]) -> None:
    for family in families.values():
        assert family.documentation
        assert re.fullmatch(r"elit_[a-z][a-z_]*[a-z]", family.name)
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith("_total"), sample.name
            assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent|created)(_|$)", sample.name), sample.name
            if family.type != "histogram":
                assert not re.search(r"_(bucket|sum|count)$", sample.name), sample.name


def test_a_swap_is_counted_by_how_it_ended() -> None:
    registry = CollectorRegistry()
    meters = Meters(registry)
    with meters.swap():
        pass
    with pytest.raises(RuntimeError), meters.swap():
        raise RuntimeError("the bundle is damaged")
    meters.reverted()

    assert [registry.get_sample_value("elit_swap_total", {"result": result}) for result in ("swapped", "refused", "reverted")] == [1, 1, 1]
    assert registry.get_sample_value("elit_swap_duration_seconds_count") == 1
