from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import make_plain_bundle, write_member
from onnx import TensorProto, helper, numpy_helper, save

from atomstream_models.bundle import Bundle
from atomstream_models.runtime import Way, load_ensemble, processors, ways_here
from atomstream_service.bench import (
    Case,
    Findings,
    Frames,
    Limits,
    Machine,
    Measured,
    Memory,
    Skipped,
    Suite,
    Work,
    cost_per_member,
    frames_per_s,
    grid,
    in_turns,
    measure_limits,
    measure_memory,
    measure_service,
    own,
    roof_of,
    room_bytes,
    simulated,
    sittings,
    spread,
    star,
    this_machine,
    untrained,
    work_of,
    write_plots,
)
from atomstream_service.cli import main

ORT = str(ways_here("cpu", "onnxruntime", "exact")[0][0])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("bench"), biases=(-1.0, -0.9, -0.8, -0.7))


@pytest.fixture(scope="module")
def wide(plain: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.importorskip("torch")
    return untrained("half-unet", 2, plain, tmp_path_factory.mktemp("wide") / "filters-2")


def bench(plain: Bundle, *arguments: str) -> int:
    return main(["bench", "--bundle", str(plain.folder), "--device", "cpu", *arguments])


def test_every_way_size_and_number_of_members_is_measured_and_written(plain: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    code = bench(plain, "--sides", "64,96", "--members", "2,4", "--rounds", "2", "--no-memory", "--json", str(out))
    figures = json.loads(out.read_text())
    ways = [str(way) for way in ways_here("cpu", "auto", "fast")[0]]

    assert code == 0
    assert {(one["case"]["side"], one["case"]["members"], one["case"]["way"]) for one in figures["cases"]} == {
        (side, members, way) for side in (64, 96) for members in (2, 4) for way in ways
    }
    for one in figures["cases"]:
        stages = {stage: spread["median"] for stage, spread in one["stages"].items()}
        assert set(stages) == {"prepare", "infer", "locate", "total"}
        assert stages["total"] >= max(stages["prepare"], stages["infer"], stages["locate"]) > 0
        assert one["frames_per_s"] > 0
        assert one["roof"]["arithmetic"] > 0
        assert one["roof"]["bandwidth"] > 0
    lines = ways if processors() <= 2 else []
    assert {(fit["side"], fit["way"]) for fit in figures["fits"]} == {(side, way) for side in (64, 96) for way in lines}
    assert set(figures["limits"]["product_gflops"]) == set(ways)
    assert {"date", "cpu", "processors", "gpus", "packages"} <= set(figures)
    assert {"atomstream", "numpy", "onnxruntime"} <= set(figures["packages"])
    assert ("for each enabled member" in capsys.readouterr().out) == bool(lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sides", "wide"], "'wide'"),
        (["--members", "65"], "65 is not between 1 and 64"),
        (["--filters", "0"], "0 is not between 1 and 256"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--sides", "2"], "2 is not between"),
        (["--filters", "4", "--network", "nonsense"], "Input should be 'half-unet'"),
    ],
)
def test_what_can_not_be_measured_is_refused_by_name(plain: Bundle, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(plain, *arguments) == 1
    assert said in capsys.readouterr().err


def test_widths_without_torch_name_the_extra(plain: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomstream_service.extras.find_spec", lambda name: None)

    assert bench(plain, "--filters", "16") == 1
    assert "this needs torch, which is not installed: pip install 'atomstream[train]'" in capsys.readouterr().err


def test_a_bundle_of_few_members_takes_them_in_turns(plain: Bundle) -> None:
    many = in_turns(plain, 10)
    ensemble = load_ensemble(many, "cpu")
    frame = np.ones((1, 1, 16, 16), np.float32)
    answers = ensemble.run(frame, ensemble.card.member_ids)
    ensemble.close()

    assert len(set(many.card.member_ids)) == 10
    for k in range(4, 10):
        np.testing.assert_array_equal(answers[k], answers[k - 4])
    assert in_turns(plain, 3).card.member_ids == plain.card.member_ids[:3]


def test_an_untrained_network_of_any_width_runs_in_every_way_without_golden_frames(wide: Any, plain: Bundle) -> None:
    cases = grid([wide.name], [64], [3], [str(way) for way in ways_here("cpu", "auto", "fast")[0]])
    found = Suite([wide], ways_here("cpu", "auto", "fast")[0], "cpu", "fast").run(cases, 1, memory=False)

    assert [one.case for one in found.measured] == cases
    assert (wide.name, wide.filters) == ("half-unet filters=2", 2)
    assert wide.bundle.card.classes == plain.card.classes
    assert wide.bundle.card.golden == ()


def test_a_star_goes_along_one_axis_at_a_time() -> None:
    cases = star(["own", "wide"], [256, 512, 1024], [1, 8, 20], ["a", "b"])

    assert len(cases) == len(set(cases)) == 2 * (3 + 2 + 1)
    assert {(case.network, case.side, case.members) for case in cases} == {
        ("own", 256, 8),
        ("own", 512, 8),
        ("own", 1024, 8),
        ("own", 512, 1),
        ("own", 512, 20),
        ("wide", 512, 8),
    }


def test_a_stream_is_as_fast_as_its_slowest_stage(plain: Bundle) -> None:
    ensemble = load_ensemble(plain, "cpu")
    rate = frames_per_s(ensemble, 2, simulated(64), 5, map)
    ensemble.close()

    assert rate > 0


def test_memory_is_that_of_a_process_of_its_own(plain: Bundle) -> None:
    small, large = (measure_memory(Case("plain", side, 4, ORT), own(plain), simulated(side, 1), "cpu", "exact") for side in (64, 1024))

    assert isinstance(small, Memory)
    assert isinstance(large, Memory)
    assert small.packages is not None
    assert small.opened is not None
    assert small.peak is not None
    assert large.peak is not None
    assert 10e6 < small.packages <= small.opened <= small.peak
    # Four answers of four bytes a pixel at the very least.
    assert large.peak - small.peak > 4 * 4 * 1024**2
    assert large.device is None


def test_a_process_that_dies_of_a_case_is_named_and_not_the_end(plain: Bundle, tmp_path: Path) -> None:
    broken = make_plain_bundle(tmp_path, biases=(-1.0, -0.9))
    broken.member_path("m01").write_bytes(b"no network")
    found = measure_memory(Case("plain", 64, 2, ORT), own(broken), simulated(64, 1), "cpu", "exact")

    assert isinstance(found, Skipped)
    assert "exit code 1" in found.reason
    assert "m01" in found.reason


def test_what_there_is_no_room_for_is_skipped_with_its_numbers(plain: Bundle) -> None:
    ways = ways_here("cpu", "onnxruntime", "exact")[0]
    cases = grid([own(plain).name], [64, 4096], [4], [ORT])
    found = Suite([own(plain)], ways, "cpu", "exact", room=lambda: 1e9).run(cases, 1, memory=False)

    assert [one.case.side for one in found.measured] == [64]
    (skipped,) = found.skipped
    assert skipped.case.side == 4096
    assert "1.0 GB may be taken" in skipped.reason


def test_ways_sit_apart_where_they_do_not_fit_together() -> None:
    cases = [Case("own", 512, members, way) for members in (1, 8) for way in ("a", "b")]

    assert [len(one) for one in sittings(cases, lambda case: float(case.members), 16.0)] == [4]
    assert [{case.way for case in one} for one in sittings(cases, lambda case: float(case.members), 15.0)] == [{"a"}, {"b"}]
    assert [len(one) for one in sittings(cases, lambda case: float(case.members), None)] == [4]


def test_a_containers_limit_counts_before_the_machines(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 2000 kB\nMemAvailable:    1000 kB\n")
    assert room_bytes(meminfo, tmp_path) == 0.8 * 1024e3

    (tmp_path / "memory.current").write_text("100\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert room_bytes(meminfo, tmp_path) == 0.8 * 1024e3

    (tmp_path / "memory.max").write_text("600\n")
    assert room_bytes(meminfo, tmp_path) == 400.0
    assert room_bytes(tmp_path / "nothing", tmp_path / "nowhere") is None


def measured(members: int, ms: float, side: int = 512, network: str = "own 1", way: str = ORT) -> Measured:
    stages = {"prepare": spread([1.0]), "infer": spread([ms, ms]), "locate": spread([2.0]), "total": spread([ms + 3, ms + 5])}
    return Measured(Case(network, side, members, way), 2, stages, 1000 / ms, 2, 7)


def test_a_straight_line_is_laid_through_the_cost_of_members() -> None:
    (fit,) = cost_per_member([measured(1, 25.0), measured(2, 25.0), measured(4, 45.0), measured(8, 85.0)])

    assert fit.ms_per_member == pytest.approx(10.0)
    assert fit.ms_at_none == pytest.approx(5.0)
    assert fit.r2 == pytest.approx(1.0)


def test_percentiles_come_with_the_worst_and_the_number() -> None:
    found = spread([4.0, 1.0, 2.0, 3.0, 5.0])

    assert (found.median, found.least, found.most, found.count) == (3.0, 1.0, 5.0, 5)
    assert [found.p95, found.p99] == pytest.approx([4.8, 4.96])


def test_the_work_of_a_network_is_counted_from_its_graph(tmp_path: Path) -> None:
    """Two 3 x 3 convolutions, 1 to 4 and 4 to 1 channels, on 8 x 8 pixels."""
    weights = [np.ones((4, 1, 3, 3), np.float32), np.ones((1, 4, 3, 3), np.float32)]
    nodes = [
        helper.make_node("Conv", ["frame", "w0"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Conv", ["y", "w1"], ["probability"], pads=[1, 1, 1, 1]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, "h", "w"]) for name in ("frame", "probability")]
    graph = helper.make_graph(nodes, "two", ports[:1], ports[1:], [numpy_helper.from_array(one, f"w{k}") for k, one in enumerate(weights)])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(tmp_path / "two.onnx"))

    assert work_of(tmp_path / "two.onnx", (8, 8)) == Work(flop=2 * 64 * 36 * 2, moved=2 * (64 + 36 + 256), alive=2 * 256)


def test_the_work_of_the_shipped_networks_grows_with_the_frame(graphene: Bundle) -> None:
    file = graphene.member_path("m00")
    small, large = work_of(file, (256, 256)), work_of(file, (512, 512))

    assert large.flop == pytest.approx(4 * small.flop)
    assert large.alive == pytest.approx(4 * small.alive)
    # 16 filters at half resolution: some thousand operations a pixel, and some ten for each number moved.
    assert 1e3 < small.flop / 256**2 < 1e5
    assert 10 < small.flop / small.moved < 1000


def test_the_lower_of_two_limits_is_the_roof() -> None:
    (way,) = ways_here("cpu", "onnxruntime", "exact")[0]
    limits = Limits(50.0, {way: 100.0}, 10.0)
    arithmetic = roof_of(Work(flop=1e9, moved=1e6, alive=0), 2, way, 40.0, limits)
    bandwidth = roof_of(Work(flop=1e9, moved=1e8, alive=0), 2, way, 100.0, limits)

    assert [arithmetic.roof, bandwidth.roof] == ["arithmetic", "bandwidth"]
    assert [arithmetic.arithmetic, bandwidth.bandwidth] == pytest.approx([0.5, 0.8])


def test_half_as_many_bits_have_a_limit_of_their_own_and_move_half_the_bytes() -> None:
    def way(name: str, bits: Any) -> Way:
        return Way("onnxruntime", name, bits, lambda files, threads: pytest.fail("nothing is run"))

    one, other, half, gpu = way("a", "float32"), way("b", "float32"), way("b", "bfloat16"), way("a, CUDA", "float16")
    limits = Limits(50.0, {one: 90.0, other: 100.0, half: 200.0, gpu: 9000.0}, 10.0)
    work = Work(flop=1e9, moved=1e8, alive=0)

    assert [limits.gflops(way) for way in (one, other, half, gpu)] == [100.0, 100.0, 200.0, 9000.0]
    assert roof_of(work, 1, half, 100.0, limits).bandwidth == pytest.approx(0.2)
    assert roof_of(work, 1, gpu, 100.0, limits).bandwidth is None
    assert roof_of(work, 1, gpu, 100.0, replace(limits, gpu_copy_gb_s=20.0)).bandwidth == pytest.approx(0.1)


def test_limits_are_the_better_ones_of_two_moments() -> None:
    (way,) = ways_here("cpu", "onnxruntime", "exact")[0]

    assert Limits(50.0, {way: 100.0}, 10.0).at_best(Limits(60.0, {way: 90.0}, 8.0)) == Limits(60.0, {way: 100.0}, 10.0)
    assert Limits(50.0, {way: 100.0}, 10.0, 3000.0).at_best(Limits(50.0, {way: 100.0}, 10.0, 3100.0)).gpu_copy_gb_s == 3100.0


def test_each_way_has_its_own_matrix_product_measured() -> None:
    ways = ways_here("cpu", "auto", "fast")[0]
    limits = measure_limits(ways)

    assert set(limits.product_gflops) == set(ways)
    assert min([limits.numpy_gflops, limits.copy_gb_s, *limits.product_gflops.values()]) > 0


def test_a_process_of_its_own_loads_no_web_server() -> None:
    script = "import sys, atomstream_service.bench.__main__; sys.exit(' '.join(one for one in ('fastapi', 'matplotlib', 'torch') if one in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=dict(os.environ))

    assert done.stderr.strip() == ""


def plots(folder: Path, memory: Mapping[Case, Memory], wide: Any, plain: Bundle) -> list[Path]:
    networks = {"own 1": own(plain), wide.name: wide, "half-unet filters=4": replace(wide, filters=4)}
    cases = [measured(members, 10.0 * members) for members in (2, 4, 8)] + [measured(8, 20.0, side=256)]
    cases += [measured(8, 30.0, network=wide.name), measured(8, 120.0, network="half-unet filters=4")]
    (way,) = ways_here("cpu", "onnxruntime", "exact")[0]
    works = {(one.case.network, one.case.side): Work(1e9, 1e7, 1e6) for one in cases}
    return write_plots(Findings(networks, {ORT: way}, Limits(50.0, {way: 100.0}, 10.0), works, cases, memory), this_machine(), folder)


def test_each_relation_is_drawn(wide: Any, plain: Bundle, tmp_path: Path) -> None:
    memory = {Case("own 1", side, members, ORT): Memory(1, 2, 3 * side * members) for side, members in ((512, 2), (512, 4), (512, 8), (256, 8))}
    written = plots(tmp_path / "plots", memory, wide, plain)

    assert {file.name for file in written} == {"members.png", "sides.png", "filters.png", "stages.png", "limits.png", "memory.png"}
    for file in written:
        picture = cv2.imread(str(file))
        assert picture is not None
        assert picture.std() > 5
    assert "memory.png" not in {file.name for file in plots(tmp_path / "without", {}, wide, plain)}


def test_a_machine_says_what_it_is() -> None:
    machine = Machine("2026-11-26T00:00:00+00:00", "AMD EPYC", 2, None, ("NVIDIA H100",), "Linux", {"atomstream": "1", "onnxruntime": "2"})

    assert str(machine) == "AMD EPYC, 2 processors, NVIDIA H100; atomstream 1, onnxruntime 2; 2026-11-26"


def test_the_service_is_measured_from_outside(plain: Bundle, tmp_path: Path) -> None:
    found = measure_service(plain, tmp_path, 64, frames=5, toggles=4, swaps=2, device="cpu")

    assert found.lost == 0
    assert found.latency.count == 5
    assert found.toggle is not None
    assert found.toggle.count == 4
    assert found.swap.count == 2
    assert found.frames_per_s > 0
    assert (found.side, found.members, found.way) == (64, 4, ORT)


def test_frames_come_again_in_turns() -> None:
    frames = Frames([np.zeros((2, 2), np.uint16), np.ones((2, 2), np.uint16)], 0.01)

    assert [int(frames[k][0, 0]) for k in range(4)] == [0, 1, 0, 1]


def test_large_frames_go_on_in_mirror_images() -> None:
    frame = simulated(2500, 1)[0]

    assert frame.shape == (2500, 2500)
    np.testing.assert_array_equal(frame[1024:2048, :1024], frame[1023::-1, :1024])
    np.testing.assert_array_equal(frame[2048:, 2048:], frame[: 2500 - 2048, : 2500 - 2048])


def test_plots_go_into_a_folder(plain: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_member(tmp_path / "member.onnx", 1.0, 0.0)

    assert bench(plain, "--plots", str(file)) == 1
    assert "--plots takes a folder" in capsys.readouterr().err
