from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import make_plain_bundle

from atomstream_models.bundle import Bundle
from atomstream_models.runtime import processors, ways_here
from atomstream_service.bench import Case, Measured, Spread, cost_per_member, flops_of
from atomstream_service.cli import main


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("bench"), biases=(-1.0, -0.9, -0.8, -0.7))


def test_every_way_size_and_number_of_members_is_measured_and_written(plain: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    code = main(["bench", "--bundle", str(plain.folder), "--sides", "64,96", "--members", "2,4", "--rounds", "2", "--device", "cpu", "--json", str(out)])
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
    lines = ways if processors() <= 2 else []
    assert {(fit["side"], fit["way"]) for fit in figures["fits"]} == {(side, way) for side in (64, 96) for way in lines}
    assert figures["limits"]["gflops"] > 0
    assert ("for each enabled member" in capsys.readouterr().out) == bool(lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--sides", "wide"], "'wide'"),
        (["--members", "5"], "5 is not between 1 and 4"),
        (["--rounds", "0"], "--rounds is 0"),
        (["--sides", "2"], "2 is not between"),
    ],
)
def test_what_can_not_be_measured_is_refused_by_name(plain: Bundle, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--bundle", str(plain.folder), *arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_straight_line_is_laid_through_the_cost_of_members() -> None:
    def measured(members: int, ms: float) -> Measured:
        return Measured(Case(512, members, "way"), 2, {"infer": Spread(ms, ms, ms, ms)}, 1, 0)

    (fit,) = cost_per_member([measured(1, 25.0), measured(2, 25.0), measured(4, 45.0), measured(8, 85.0)])

    assert fit.ms_per_member == pytest.approx(10.0)
    assert fit.ms_at_none == pytest.approx(5.0)
    assert fit.r2 == pytest.approx(1.0)


def test_the_work_of_a_network_is_counted_from_its_convolutions(graphene: Bundle) -> None:
    file = graphene.member_path("m00")
    small, large = flops_of(file, (256, 256)), flops_of(file, (512, 512))

    assert large == pytest.approx(4 * small)
    # 16 filters at half resolution: some thousand operations a pixel.
    assert 1e3 < small / 256**2 < 1e5
