"""Members on a device of their own, here with the processor's memory in the place of a GPU's."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_plain_bundle, write_member
from host_device import HostDevice
from numpy.typing import NDArray
from waiting import until

from atomstream_models.analysis import FrameRefused, MemberFailed, Outputs
from atomstream_models.bundle import Bundle
from atomstream_models.combine import mean_std
from atomstream_models.runtime import LoadedEnsemble, LoadError, Way, _bound, _bound_sessions, accept, load_ensemble
from atomstream_models.runtime._accelerator import AcceleratorFailed
from atomstream_models.runtime._bound import BoundMembers
from atomstream_models.runtime._gate import Gate
from atomstream_models.runtime._gpus import open_on
from atomstream_models.runtime._lending import Lending
from atomstream_models.runtime._sharded import merged

NOISE = np.random.default_rng(1).standard_normal((1, 1, 64, 96), np.float32)


def _files(bundle: Bundle) -> dict[str, Path]:
    return {member: bundle.member_path(member) for member in bundle.card.member_ids}


@pytest.fixture
def device() -> HostDevice:
    return HostDevice()


@pytest.fixture
def bound(graphene: Bundle, device: HostDevice) -> Iterator[BoundMembers]:
    members = BoundMembers(_files(graphene), device)
    yield members
    members.close()


@pytest.mark.parametrize("used", [(0, 1, 2, 3, 4, 5, 6, 7), (6, 1), (3,)])
def test_members_on_a_device_answer_what_they_answer_elsewhere_with_their_mean_and_std(graphene: Bundle, bound: BoundMembers, used: tuple[int, ...]) -> None:
    members = [graphene.card.member_ids[k] for k in used]
    wanted = load_ensemble(graphene, "cpu").run(NOISE, members)
    bound.run(NOISE, graphene.card.member_ids)
    got = bound.run(NOISE, members)

    np.testing.assert_allclose(np.stack(got.maps), np.stack(wanted), atol=1e-5)
    mean, std = mean_std(wanted)
    assert got.mean is not None
    np.testing.assert_allclose(got.mean, mean, atol=1e-5)
    assert (got.std is None) == (std is None)
    if std is not None and got.std is not None:
        np.testing.assert_allclose(got.std, std, atol=1e-5)
    assert all(bound.last_ms[member] > 0 for member in members)


def test_members_are_dealt_out_to_streams_and_each_session_stays_with_one_thread(
    graphene: Bundle, bound: BoundMembers, device: HostDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[str]] = {}
    bound.run(NOISE, graphene.card.member_ids)
    runs = bound._sessions((64, 96))._runs
    for member, run in list(runs.items()):

        def noted(member: str = member, run: Any = run) -> None:
            threads.setdefault(member, set()).add(threading.current_thread().name)
            run()

        monkeypatch.setitem(runs, member, noted)
    device.waits.clear()
    for _ in range(3):
        bound.run(NOISE, ["m01", "m02", "m04", "m07"])
    bound.run(NOISE, ["m02"])

    assert [sorted(names) for names in threads.values()] == [[one] for one in map(min, threads.values())]
    assert threads["m02"] == threads["m04"] != threads["m01"] == threads["m07"]
    assert bound.at_once == 1
    assert device.waits == 3 * ["fork", "1 follows", "1 joins"] + ["fork"]


def test_a_bundle_on_a_device_gives_the_golden_answers(graphene: Bundle, bound: BoundMembers) -> None:
    way = Way("onnxruntime", "onnxruntime on a device", "float32", lambda files, threads: bound)

    accept(LoadedEnsemble(graphene, way, bound))


def test_what_a_member_that_is_out_answered_before_is_not_in_the_mean(tmp_path: Path, device: HostDevice) -> None:
    # sigmoid(sqrt(x)) is not a number for x < 0.
    files = {
        name: write_member(tmp_path / f"{name}.onnx", weight, bias, root=root)
        for name, weight, bias, root in (("a", 1, 0, False), ("b", 1, 1, True), ("c", 1, 2, False))
    }
    members = BoundMembers(files, device)
    tensor = np.full((1, 1, 8, 8), -2.0, np.float32)
    with_it = members.run(tensor, ["a", "b", "c"])
    without = members.run(tensor, ["a", "c"])
    members.close()

    assert with_it.mean is not None
    assert np.isnan(with_it.mean).all()
    assert without.mean is not None
    assert without.std is not None
    np.testing.assert_allclose(without.mean, np.mean(without.maps, axis=0), rtol=1e-6)
    np.testing.assert_allclose(without.std, np.std(without.maps, axis=0), rtol=1e-5)


def test_frames_of_many_sizes_keep_no_more_than_some_sessions(graphene: Bundle, bound: BoundMembers, device: HostDevice) -> None:
    ensemble = load_ensemble(graphene, "cpu")
    for turn in range(2):
        for rows in (16, 24, 32, 40, 48):
            tensor = np.random.default_rng(rows + turn).standard_normal((1, 1, rows, 32), np.float32)
            np.testing.assert_allclose(bound.run(tensor, ["m02"]).maps[0], ensemble.run(tensor, ["m02"])[0], atol=1e-5)

    assert len(device.allocated) == 6 * _bound.MOST_SHAPES
    bound.close()
    assert not device.allocated
    assert device.closed


def test_sixteen_bits_give_nearly_the_same(graphene: Bundle, device: HostDevice) -> None:
    wanted = np.stack(load_ensemble(graphene, "cpu").run(NOISE, graphene.card.member_ids))
    members = BoundMembers(_files(graphene), device, half=True)
    got = members.run(NOISE, graphene.card.member_ids)
    members.close()

    assert 0 < np.abs(np.stack(got.maps) - wanted).max() < 0.02
    assert {one.dtype for one in got.maps} == {np.dtype(np.float32)}


@pytest.mark.parametrize("used", [range(8), (0, 3), (0, 2, 5), (7,)])
def test_several_devices_share_the_members_and_come_to_the_same(graphene: Bundle, used: range | tuple[int, ...]) -> None:
    members = [graphene.card.member_ids[k] for k in used]
    wanted = load_ensemble(graphene, "cpu").run(NOISE, members)
    sharded = open_on([HostDevice, HostDevice, HostDevice], _files(graphene), None, half=False, channels_last=False)
    got = sharded.run(NOISE, members)
    sharded.close()

    np.testing.assert_allclose(np.stack(got.maps), np.stack(wanted), atol=1e-5)
    mean, std = mean_std(wanted)
    assert got.mean is not None
    np.testing.assert_allclose(got.mean, mean, atol=1e-5)
    assert (got.std is None) == (std is None)
    if std is not None and got.std is not None:
        np.testing.assert_allclose(got.std, std, atol=2e-5)
    assert set(members) <= set(sharded.last_ms)


def test_means_and_deviations_of_parts_merge_into_those_of_all() -> None:
    maps = np.random.default_rng(0).random((9, 1, 5, 7)).astype(np.float32)
    parts = [
        (len(part), Outputs(list(part), part.mean(axis=0), part.std(axis=0) if len(part) > 1 else None)) for part in (maps[:1], maps[1:2], maps[2:6], maps[6:])
    ]
    mean, std = merged(parts)

    np.testing.assert_allclose(mean, maps.mean(axis=0), rtol=1e-5)
    assert std is not None
    np.testing.assert_allclose(std, maps.std(axis=0), rtol=1e-5)
    assert merged(parts[:1])[1] is None


def test_a_member_that_can_not_run_is_named_and_the_others_go_on(graphene: Bundle, bound: BoundMembers, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = bound.run(NOISE, ["m00", "m03"]).maps

    def fails() -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setitem(bound._sessions((64, 96))._runs, "m01", fails)
    with pytest.raises(MemberFailed, match="m01: out of memory"):
        bound.run(NOISE, ["m00", "m01"])

    np.testing.assert_array_equal(np.stack(bound.run(NOISE, ["m00", "m03"]).maps), np.stack(wanted))


def test_sessions_that_do_not_run_on_the_device_are_refused(graphene: Bundle) -> None:
    class Elsewhere(HostDevice):
        provider = "CUDAExecutionProvider"

        def providers(self, stream: int, *, graphs: bool, channels_last: bool) -> list[str]:
            return ["CPUExecutionProvider"]

    device = Elsewhere()
    with pytest.raises(LoadError, match="would run on CPUExecutionProvider"):
        BoundMembers(_files(graphene), device)
    assert device.closed


def test_a_member_that_can_not_be_made_ready_leaves_no_memory_behind(tmp_path: Path, device: HostDevice) -> None:
    bundle = make_plain_bundle(tmp_path / "one", biases=(-1.0, 0.0))
    members = BoundMembers(_files(bundle), device)
    bundle.member_path("m01").write_bytes(bundle.member_path("m01").read_bytes().replace(b"Sigmoid", b"Sigmoix"))

    with pytest.raises(FrameRefused, match="frames of 64x96 pixels: a member can't be loaded"):
        members.run(NOISE, ["m00"])
    assert not device.allocated


def test_a_device_without_room_for_a_frame_refuses_it_and_goes_on_with_others(graphene: Bundle) -> None:
    class Small(HostDevice):
        def allocate(self, size: int) -> int:
            if sum(len(one) for one in self.allocated.values()) + size > 2 << 20:
                raise AcceleratorFailed("out of memory")
            return super().allocate(size)

    device = Small()
    members = BoundMembers(_files(graphene), device)
    ensemble = LoadedEnsemble(graphene, Way("onnxruntime", "", "float32", lambda files, threads: members), members)
    with pytest.raises(FrameRefused, match="frames of 512x512 pixels: out of memory"):
        ensemble.run(np.zeros((1, 1, 512, 512), np.float32), ["m00"])
    with pytest.raises(LoadError, match="out of memory"):
        ensemble.warm((512, 512))

    assert not device.allocated
    assert len(ensemble.run(NOISE, ["m00"])) == 1


def test_lent_memory_is_lent_again_once_no_view_of_it_is_left() -> None:
    made: dict[int, NDArray[np.uint8]] = {}
    ended: list[int] = []

    def make(size: int) -> int:
        memory = np.zeros(size, np.uint8)
        made[memory.ctypes.data] = memory
        return int(memory.ctypes.data)

    lending = Lending(make, ended.append)
    array, address = lending.array(64)
    view = array.view(np.float32).reshape(4, 4)[1:, ::2]
    del array
    gc.collect()
    other, elsewhere = lending.array(64)
    view[:] = 1.0
    del view
    gc.collect()
    again, address_again = lending.array(64)

    assert elsewhere != address
    assert address_again == address
    assert len(made) == 2
    lending.close()
    assert not ended
    del other, again
    gc.collect()
    assert sorted(ended) == sorted(made)


def test_several_devices_run_at_the_same_time_and_none_while_one_is_made_ready() -> None:
    gate = Gate()
    both = threading.Barrier(2, timeout=10)
    seen: list[str] = []

    def frame() -> None:
        with gate.shared():
            both.wait()
            seen.append("frame")

    def alone() -> None:
        with gate.alone():
            seen.append("alone")

    with ThreadPoolExecutor(3) as pool:
        frames = [pool.submit(frame) for _ in range(2)]
        for one in frames:
            one.result(10)
        with gate.shared():
            waiting = pool.submit(alone)
            until(lambda: gate._wanted, bool)
            late = [pool.submit(frame) for _ in range(2)]
            time.sleep(0.1)
            assert seen == ["frame", "frame"]
        for one in (waiting, *late):
            one.result(10)

    assert seen == ["frame", "frame", "alone", "frame", "frame"]


def test_no_frame_runs_while_a_session_made_beside_the_stream_has_its_first_runs(
    graphene: Bundle, bound: BoundMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime captures a session's work in its first runs, and nothing else may use the GPU then."""
    bound.run(NOISE, graphene.card.member_ids)
    beside = BoundMembers(_files(graphene), HostDevice())
    threads_beside = {beside._lanes.do(lane, threading.get_ident).result() for lane in range(len(beside._lanes))}
    here = threading.Lock()
    running: list[bool] = []
    clashes: list[tuple[bool, ...]] = []
    run = _bound_sessions.BoundRun.__call__

    def watched(self: Any) -> None:
        is_beside = threading.get_ident() in threads_beside
        with here:
            running.append(is_beside)
            if len(set(running)) > 1:
                clashes.append(tuple(running))
        try:
            run(self)
        finally:
            with here:
                running.remove(is_beside)

    monkeypatch.setattr(_bound_sessions.BoundRun, "__call__", watched)
    frames = 0
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(lambda: beside._sessions((32, 96)))
        while not loading.done():
            bound.run(NOISE, graphene.card.member_ids)
            frames += 1
        loading.result()
    beside.close()

    assert not clashes
    assert frames > 1


def test_which_members_count_is_told_anew_after_that_failed(graphene: Bundle, bound: BoundMembers, device: HostDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device was told last is not known then."""
    ids = graphene.card.member_ids
    wanted = bound.run(NOISE, ids)
    put, calls = device.put, []

    def fails_at_second(address: int, array: NDArray[Any]) -> None:
        calls.append(address)
        if len(calls) == 2:
            raise AcceleratorFailed("lost")
        put(address, array)

    with monkeypatch.context() as failing:
        failing.setattr(device, "put", fails_at_second)
        with pytest.raises(FrameRefused, match="lost"):
            bound.run(NOISE, ids[:1])
    got = bound.run(NOISE, ids)

    assert wanted.mean is not None
    assert got.mean is not None
    np.testing.assert_array_equal(got.mean, wanted.mean)


def test_all_streams_are_waited_for_where_one_can_not_be(graphene: Bundle, bound: BoundMembers, device: HostDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = graphene.card.member_ids
    wanted = bound.run(NOISE, ids).maps
    waited: list[int] = []
    really_wait = device.wait

    def fails_first(stream: int) -> list[float]:
        waited.append(stream)
        found = really_wait(stream)
        if stream == 0:
            raise AcceleratorFailed("gone")
        return found

    with monkeypatch.context() as failing:
        failing.setattr(device, "wait", fails_first)
        with pytest.raises(FrameRefused, match="gone"):
            bound.run(NOISE, ids)

    assert waited == [0, 1]
    np.testing.assert_array_equal(np.stack(bound.run(NOISE, ids).maps), np.stack(wanted))


def test_where_work_can_not_be_captured_it_is_run_piece_by_piece_and_said(
    graphene: Bundle, device: HostDevice, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[bool] = []
    providers = device.providers

    def noted(stream: int, *, graphs: bool, channels_last: bool) -> list[Any]:
        asked.append(graphs)
        return providers(stream, graphs=graphs, channels_last=channels_last)

    run = _bound_sessions.BoundRun.__call__

    def fails_captured(self: Any) -> None:
        if asked[-1]:
            raise RuntimeError("operation not permitted when stream is capturing")
        run(self)

    monkeypatch.setattr(device, "providers", noted)
    members = BoundMembers(_files(graphene), device)
    with monkeypatch.context() as failing:
        failing.setattr(_bound_sessions.BoundRun, "__call__", fails_captured)
        sessions = members._sessions((64, 96))
    got = members.run(NOISE, ["m03"]).maps[0]
    members.close()

    assert asked[1:] == len([*graphene.card.member_ids, "mean and std"]) * [True, False]
    assert "started piece by piece, because it can't be captured: operation not permitted" in caplog.text
    assert sessions.closed
    np.testing.assert_allclose(got, load_ensemble(graphene, "cpu").run(NOISE, ["m03"])[0], atol=1e-5)


def test_a_device_that_fails_on_a_frame_refuses_it_and_answers_the_next(
    graphene: Bundle, bound: BoundMembers, device: HostDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = bound.run(NOISE, ["m00", "m03"]).maps

    def fails(stream: int, address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        raise AcceleratorFailed("no page-locked memory")

    with monkeypatch.context() as failing:
        failing.setattr(device, "fetch", fails)
        with pytest.raises(FrameRefused, match="no page-locked memory"):
            bound.run(NOISE, ["m00", "m03"])
    answer = bound.run(NOISE, ["m00", "m03"])

    np.testing.assert_array_equal(np.stack(answer.maps), np.stack(wanted))
    assert all(0 < bound.last_ms[member] < 1e4 for member in ("m00", "m03"))
