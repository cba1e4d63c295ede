"""What needs a GPU: the same code paths as on the CPU, on CUDA."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from atomstream_client import Atoms
from atomstream_models.bundle import Bundle, find_bundle, open_bundle, pack
from atomstream_models.combine import mean_std
from atomstream_models.runtime import Loader, Precision, Size, accept, load_ensemble, runtime_report, tensorrt_missing, tensorrt_upgrade
from atomstream_service.bench import Stream, connected, simulated
from atomstream_service.demo import Launched, launched

_report = runtime_report()
pytestmark = pytest.mark.skipif(
    not _report.cuda_devices or "CUDAExecutionProvider" not in _report.providers_built_in,
    reason=f"no CUDA here: {_report.cuda_devices} devices, {_report.runtime} built with {', '.join(_report.providers_built_in)}",
)


def test_auto_takes_the_gpu_and_says_so(graphene: Bundle) -> None:
    ensemble = load_ensemble(graphene, "auto")

    assert ensemble.device == "cuda"
    assert ensemble.providers[0] == "CUDAExecutionProvider"


def test_cuda_gives_the_golden_answers(graphene: Bundle) -> None:
    accept(load_ensemble(graphene, "cuda"))


@pytest.mark.parametrize("shape", [(512, 512), (256, 320)])
def test_cuda_and_cpu_agree(graphene: Bundle, shape: tuple[int, int]) -> None:
    tensor = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
    ids = graphene.card.member_ids
    on_gpu = load_ensemble(graphene, "cuda").run(tensor, ids)
    on_cpu = load_ensemble(graphene, "cpu").run(tensor, ids)

    np.testing.assert_allclose(np.stack(on_gpu), np.stack(on_cpu), atol=1e-3)


@pytest.mark.parametrize("used", [(0, 1, 2, 3, 4, 5, 6, 7), (6, 1), (3,)])
def test_members_are_left_out_and_mean_and_std_come_from_the_gpu(graphene: Bundle, used: tuple[int, ...]) -> None:
    tensor = np.random.default_rng(0).standard_normal((1, 1, 256, 320), np.float32)
    members = [graphene.card.member_ids[k] for k in used]
    ensemble = load_ensemble(graphene, "cuda")
    ensemble.run(tensor, graphene.card.member_ids)
    answer = ensemble.answer(tensor, members)
    mean, std = mean_std(load_ensemble(graphene, "cpu").run(tensor, members))

    assert answer.mean is not None
    np.testing.assert_allclose(answer.mean, mean, atol=1e-3)
    assert (answer.std is None) == (std is None)
    if answer.std is not None and std is not None:
        np.testing.assert_allclose(answer.std, std, atol=1e-3)
    assert all(ensemble.last_ms[member] > 0 for member in members)


def test_frames_of_several_sizes_take_turns(graphene: Bundle) -> None:
    on_gpu, on_cpu = load_ensemble(graphene, "cuda"), load_ensemble(graphene, "cpu")
    for rows in (64, 96, 128, 160, 64, 96):
        tensor = np.random.default_rng(rows).standard_normal((1, 1, rows, 128), np.float32)
        np.testing.assert_allclose(np.stack(on_gpu.run(tensor, ["m00", "m05"])), np.stack(on_cpu.run(tensor, ["m00", "m05"])), atol=1e-3)


@pytest.mark.parametrize("side", [64, 512, 2048])
def test_all_work_is_captured_at_every_size(graphene: Bundle, side: int, caplog: pytest.LogCaptureFixture) -> None:
    ensemble = load_ensemble(graphene, "cuda")
    ensemble.warm((side, side))
    ensemble.close()

    assert not caplog.records


def test_answers_stay_right_while_another_ensemble_is_made_ready_in_another_thread(graphene: Bundle) -> None:
    tensor = np.random.default_rng(0).standard_normal((1, 1, 256, 256), np.float32)
    live = load_ensemble(graphene, "cuda")
    wanted = np.stack(live.run(tensor, graphene.card.member_ids))
    with ThreadPoolExecutor(1) as beside:
        loading = beside.submit(lambda: load_ensemble(graphene, "cuda").warm((256, 256)))
        while not loading.done():
            np.testing.assert_array_equal(np.stack(live.run(tensor, graphene.card.member_ids)), wanted)
        loading.result()


def test_fast_is_float16_where_the_golden_frames_allow_it(graphene: Bundle) -> None:
    ensemble = Loader("cuda", precision="fast").load(graphene)

    assert ensemble.choice is not None
    assert {one.way.bits for one in ensemble.choice.tried} == {"float32", "float16"}
    assert [one.complaint for one in ensemble.choice.tried if one.way.bits == "float16"] == [None, None]


needs_tensorrt = pytest.mark.skipif(tensorrt_missing() is not None, reason=f"no TensorRT here: {tensorrt_missing()}")


@needs_tensorrt
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_tensorrt_takes_over_once_its_engines_are_built(graphene: Bundle, tmp_path: Path, precision: Precision) -> None:
    tensor = np.random.default_rng(0).standard_normal((1, 1, 256, 256), np.float32)
    ids = graphene.card.member_ids
    upgrade = tensorrt_upgrade("cuda", precision, tmp_path)
    ensemble = Loader("cuda", precision=precision, shapes=[(256, 256)], upgrade=upgrade).load(graphene)
    before = np.stack(ensemble.run(tensor, ids))
    told: list[Size] = []
    ensemble.promote(told.append)
    while not told:
        assert ensemble.answering == ensemble.way
        np.testing.assert_array_equal(np.stack(ensemble.run(tensor, ids)), before)
    after = np.stack(ensemble.run(tensor, ids))
    again = np.stack(ensemble.run(tensor, ids))
    providers, way = ensemble.providers, ensemble.answering
    ensemble.close()

    assert (told[0].stage, told[0].why) == ("ready", None)
    assert providers[0] == "TensorrtExecutionProvider"
    assert way == upgrade
    np.testing.assert_allclose(after, before, atol=3e-3 if precision == "exact" else 0.1)
    np.testing.assert_array_equal(again, after)


@needs_tensorrt
@pytest.mark.timeout(1800)
def test_tensorrt_s_engines_are_found_again(graphene: Bundle, tmp_path: Path) -> None:
    took_s: list[float | None] = []
    told: list[Size] = []
    for turn in range(2):
        ensemble = Loader("cuda", shapes=[(256, 256)], upgrade=tensorrt_upgrade("cuda", "exact", tmp_path)).load(graphene)
        ensemble.promote(told.append)
        until(lambda: len(told), lambda count: count == len(took_s) + 1, 1500)
        ensemble.close()
        assert told[turn].stage == "ready"
        took_s.append(told[turn].took_s)
        files = {file.name: file.stat().st_ino for file in tmp_path.glob("*.onnx")}

    assert len(files) == len(graphene.card.member_ids)
    print(f"TensorRT's engines for 256x256 took {took_s[0]} s, once they were there {took_s[1]} s")


def test_no_frame_is_lost_while_ensembles_take_turns(tmp_path: Path) -> None:
    cards = [open_bundle(find_bundle(name, tmp_path)).card for name in ("perovskite", "graphene")]
    pack(find_bundle("perovskite", tmp_path), tmp_path / "perovskite.atomstream")
    images = simulated(256)
    config = 'device = "cuda"\nwarm_shapes = [[256, 256]]\ntrial_frames = 2\n[[frames]]\npolicy = "queue"\n'
    with launched(tmp_path / "state", config=config) as service, connected(service) as line:
        ensembles = service.control().ensembles
        ensembles.upload(tmp_path / "perovskite.atomstream")
        with Stream(line, images) as stream:
            for turn in range(6):
                card, since = cards[turn % 2], len(stream.answers)
                ensembles.activate(card.name, card.version, reason=f"turn {turn}")
                stream.wait_for(partial(_is_of, card.name), since)
                until(lambda: len(stream.answers), lambda count: count > since + 10)  # noqa: B023

    assert stream.unanswered == 0
    assert {atoms.report.ensemble.name for _, atoms in stream.answers} == {card.name for card in cards}


def _is_of(name: str, atoms: Atoms) -> bool:
    return atoms.report.ensemble.name == name


def test_the_service_runs_on_the_gpu_and_says_so(service: Launched) -> None:
    engine = service.control().status()["engine"]

    assert engine["device"] == "cuda"
    assert engine["providers"][0] == "CUDAExecutionProvider"
