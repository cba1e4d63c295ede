from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import dots, make_plain_bundle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from atomstream_models.analysis import Inferred
from atomstream_models.bundle import Bundle
from atomstream_models.errors import InputError
from atomstream_models.evaluation import (
    CalibrationCounts,
    Evaluation,
    ReliabilityCounts,
    Truth,
    agreement,
    auroc,
    class_detections,
    compare,
    detection,
    evaluate,
    pooled,
    read_truth,
    std_convergence,
    summary,
    truth_of,
)
from atomstream_models.runtime import load_ensemble, look
from atomstream_models.simulation import SimulatedMicroscope


def _truth(yx: list[tuple[float, float]], kinds: list[int] | None = None, match_px: float = 2.0) -> Truth:
    numbers = None if kinds is None else np.array(kinds, np.int64)
    required = np.ones(len(yx), bool) if numbers is None else numbers >= 0
    return Truth(np.array(yx, np.float64).reshape(-1, 2), required, match_px, numbers, 0.01)


def _found(*rows: tuple[float, float, int]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 3)


def test_found_missed_and_extra_atoms_make_precision_recall_and_error() -> None:
    one = detection(_found((0, 1, 0), (10, 0, 0), (50, 50, 0)), _truth([(0, 0), (10, 0), (20, 0), (30, 0)]))

    assert (one.found, one.missed, one.extra) == (2, 2, 1)
    assert (one.precision, one.recall) == pytest.approx((2 / 3, 1 / 2))
    assert one.f1 == pytest.approx(4 / 7)
    assert one.rmse_px == pytest.approx(math.sqrt(0.5))
    assert one.rmse_pm == pytest.approx(10 * math.sqrt(0.5))
    assert one.bias_px == pytest.approx((0.0, 0.5))


def test_what_need_not_be_found_is_neither_missed_nor_extra() -> None:
    truth = _truth([(0, 0), (10, 0)], [0, -1])

    for atoms in (_found((0, 0, 0)), _found((0, 0, 0), (10, 1, 1))):
        assert detection(atoms, truth).f1 == 1.0
        assert [one.extra for one in class_detections(atoms, truth, 2)] == [0, 0]


def test_a_pair_of_different_classes_is_missed_in_one_and_extra_in_the_other() -> None:
    host, impurity = class_detections(_found((0, 0, 0), (10, 0, 0)), _truth([(0, 0), (10, 0)], [0, 1]), 2)

    assert (host.found, host.missed, host.extra) == (1, 0, 1)
    assert (impurity.found, impurity.missed, impurity.extra) == (0, 1, 0)


def test_frames_are_pooled_by_counts_and_not_by_scores() -> None:
    small = detection(_found(), _truth([(0, 0)]))
    large = detection(_found(*((10 * k, 3.0, 0) for k in range(9))), _truth([(10 * k, 3.5) for k in range(9)]))

    assert pooled([small, large]).f1 == pytest.approx(18 / 19)
    assert pooled([small, large]).rmse_px == pytest.approx(0.5)


def test_nothing_to_find_and_nothing_found_has_no_precision_but_is_right() -> None:
    one = detection(_found(), _truth([]))

    assert one.f1 == 1.0
    assert all(map(math.isnan, (one.precision, one.recall, one.rmse_px, one.rmse_pm)))


_scores = hnp.arrays(np.float64, st.integers(1, 12), elements=st.integers(0, 4).map(float))


@given(_scores, st.randoms(use_true_random=False))
def test_auroc_is_the_share_of_pairs_in_order_with_ties_as_half(values: np.ndarray, random: st.DrawFn) -> None:
    wrong = np.array([random.random() < 0.5 for _ in values])  # type: ignore[attr-defined]
    pairs = [(a > b) + (a == b) / 2 for a in values[wrong] for b in values[~wrong]]

    if pairs:
        assert auroc(values, wrong) == pytest.approx(np.mean(pairs))
    else:
        assert math.isnan(auroc(values, wrong))


def test_probabilities_that_mean_what_they_say_have_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    honest, boastful = ReliabilityCounts(np.linspace(0, 1, 11)), ReliabilityCounts(np.linspace(0, 1, 11))
    honest.add(p, rng.random(p.size) < p)
    boastful.add(p, rng.random(p.size) < p**2)

    assert honest.result().error < 0.01
    assert boastful.result().error == pytest.approx(1 / 6, abs=0.01)


def test_a_std_that_is_high_where_the_map_is_wrong_is_told_from_one_that_is_not() -> None:
    truth = _truth([(20.0, 20.0), (20.0, 50.0), (50.0, 20.0)], match_px=5.0)
    mean = dots((70, 70), [(20, 20), (20, 50), (50, 50)], height=1.0)  # one atom missed, one made up
    error = dots((70, 70), [(50, 20), (50, 50)], height=0.4)
    radius = 2.0 * math.sqrt(2 * math.log(2))  # where the Gaussians fall to 0.5

    for std, low, high in ((error, 0.99, 1.0), (0.5 - error, 0.0, 0.01), (np.full_like(error, 0.1), 0.5, 0.5)):
        counts = CalibrationCounts()
        counts.add_pixels(mean, std, 0.5, truth, radius)
        counts.add_atoms(np.zeros((0, 10), np.float32), compare(np.zeros((0, 10), np.float32), truth))
        found = counts.result()
        assert found is not None
        assert low <= found.pixel_auroc_off_rims <= high
        assert math.isnan(found.atom_auroc)


def test_pixels_near_unlabelled_atoms_are_not_judged() -> None:
    truth = _truth([(20.0, 20.0), (50.0, 50.0)], [0, -1], match_px=8.0)
    counts = CalibrationCounts()
    counts.add_pixels(dots((70, 70), [(20, 20), (50, 50)], height=1.0), None, 0.5, truth, 2.0 * math.sqrt(2 * math.log(2)))
    counts.add_atoms(np.zeros((0, 10), np.float32), compare(np.zeros((0, 10), np.float32), truth))
    found = counts.result()

    assert found is not None
    wrong = (found.pixels.observed > 0) != (found.pixels.predicted > 0.5)
    assert found.pixels.count[wrong & (found.pixels.predicted > 0.6)].sum() == 0


def test_the_std_map_converges_with_members_and_reaches_one_with_all() -> None:
    rng = np.random.default_rng(0)
    scale = rng.gamma(1.0, 0.05, (1, 64, 64))
    maps = [(0.5 + scale * rng.standard_normal(scale.shape)).astype(np.float32) for _ in range(10)]
    found = std_convergence(maps)

    assert found is not None
    assert found.members.tolist() == list(range(2, 11))
    assert (np.diff(found.correlation) > 0).all()
    assert found.correlation[-1] == pytest.approx(1, abs=1e-5)
    assert (found.apart[:4] < found.correlation[:4]).all()
    assert np.isnan(found.apart[4:]).all()
    whole, three = np.std(maps, axis=0), [np.std([maps[k] for k in rng.permutation(10)[:3]], axis=0) for _ in range(40)]
    assert found.correlation[1] == pytest.approx(np.mean([np.corrcoef(one.ravel(), whole.ravel())[0, 1] for one in three]), abs=0.02)
    enough = found.enough(0.9)
    assert enough is not None
    assert found.correlation[enough - 2] >= 0.9 > found.correlation[enough - 3]


def test_one_member_has_no_convergence_and_equal_members_have_no_correlation() -> None:
    same = [np.zeros((1, 8, 8), np.float32)] * 3
    found = std_convergence(same)

    assert std_convergence(same[:1]) is None
    assert found is not None
    assert np.isnan(found.correlation).all()
    assert found.enough() is None


def test_members_that_see_the_same_agree_and_one_that_sees_nothing_does_not() -> None:
    yx = np.array([[5.0, 5.0], [5.0, 15.0], [15.0, 5.0]])
    mask = np.zeros((20, 20), bool)
    mask[5, 5] = True
    found = agreement([yx, yx + 0.3, yx[:0]], [mask, mask, ~mask], 2.0)

    np.testing.assert_allclose(found.f1, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(found.iou, [[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert found.mean_f1 == pytest.approx(1 / 3)
    np.testing.assert_allclose(found.with_others, [0.5, 0.5, 0])


def test_members_that_find_nothing_at_all_agree() -> None:
    nothing = np.zeros((4, 4), bool)

    assert agreement([np.empty((0, 2))] * 2, [nothing] * 2, 1.0).mean_f1 == 1.0
    assert math.isnan(agreement([np.empty((0, 2))], [nothing], 1.0).mean_iou)


def _evaluated(bundle: Bundle, frames: int, members: tuple[str, ...] | None = None) -> tuple[Evaluation, dict[int, Truth]]:
    microscope = SimulatedMicroscope(31, (192, 224), mild=2, drift=frames)
    scans = [microscope.next_frame() for _ in range(frames)]
    truths = {k: truth_of(scan) for k, scan in enumerate(scans)}
    looked = look(load_ensemble(bundle), [scan.image for scan in scans], scans[0].pixel_nm, members)
    return evaluate(enumerate(looked), bundle.card, truths, pixel_nm=scans[0].pixel_nm), truths


def test_the_shipped_ensemble_is_evaluated_on_a_drifting_movie(graphene: Bundle) -> None:
    found, truths = _evaluated(graphene, 4)

    assert found.overall is not None
    assert found.by_class is not None
    assert found.overall.f1 > 0.98
    assert 2 < found.overall.rmse_pm < 12
    assert found.overall.found + found.overall.missed == sum(int(truth.required.sum()) for truth in truths.values())
    assert [one.found + one.missed for one in found.by_class] == [
        sum(int((truth.required & (truth.kinds == k)).sum()) for truth in truths.values() if truth.kinds is not None) for k in (0, 1)
    ]
    assert set(found.by_member) == set(graphene.card.member_ids)
    assert 0 <= found.member_spread < 0.1
    assert found.calibration is not None
    assert found.calibration.pixel_auroc > 0.7
    assert found.convergence is not None
    assert found.agreement is not None
    assert 0.9 < found.agreement.mean_f1 < 1
    assert 0 < found.median_std < 0.2
    assert np.median(found.nearest_px) == pytest.approx(truths[0].match_px / 0.35, rel=0.05)


def test_a_single_member_has_no_std_and_says_so_with_nothing(graphene: Bundle) -> None:
    found, _ = _evaluated(graphene, 1, ("m03",))

    assert found.members == ("m03",)
    assert found.convergence is None
    assert found.calibration is not None
    assert math.isnan(found.calibration.pixel_auroc)
    assert math.isnan(found.median_std)
    assert summary(found)["median_std"] is None


def test_frames_without_a_truth_give_counts_and_agreement_only(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path, (-1.0, -1.5))
    frame = dots((56, 64), [(20, 30), (20, 50), (40, 30)])
    looked: list[Inferred] = list(look(load_ensemble(bundle), [frame, frame * 0], None))
    found = evaluate([(4, looked[0]), (9, looked[1])], bundle.card)

    assert [len(one.atoms) for one in found.frames] == [3, 0]
    assert (found.overall, found.by_class, found.calibration) == (None, None, None)
    assert found.frames[1].agreement is None
    assert found.agreement is not None
    assert found.agreement.mean_f1 == 1.0
    assert [one["frame"] for one in summary(found)["frames"]] == [4, 9]


def test_a_rescaled_frame_is_judged_on_its_own_pixels(graphene: Bundle) -> None:
    microscope = SimulatedMicroscope(8, (96, 96), 0.02)
    scan = microscope.next_frame()
    truth = truth_of(scan)
    looked = list(look(load_ensemble(graphene), [scan.image], scan.pixel_nm))
    found = evaluate(enumerate(looked), graphene.card, {0: truth})

    assert looked[0].prepared.grid.resampled
    assert found.overall is not None
    assert found.overall.f1 > 0.95
    assert found.calibration is not None
    assert found.calibration.wrong_pixels < 0.1


def test_no_frame_is_refused() -> None:
    with pytest.raises(InputError, match="no frame"):
        evaluate([], None)  # type: ignore[arg-type]


_SHAPE, _CLASSES = (40, 60), ("C", "Si")


def _csv(folder: Path, text: str) -> Path:
    (folder / "truth.csv").write_text(text)
    return folder / "truth.csv"


def test_a_csv_gives_frames_classes_by_name_or_number_and_unlabelled_atoms(tmp_path: Path) -> None:
    file = _csv(tmp_path, "frame, y, x, class, note\n0,5,5,C,a\n0,5,15,1,b\n0,5,25,,c\n2,5,5,Si,d\n2,45,5,C,outside\n7,,,,empty\n")
    truths = read_truth(file, _SHAPE, _CLASSES, pixel_nm=0.01)

    assert list(truths) == [0, 2, 7]
    assert truths[0].kinds is not None
    assert truths[0].kinds.tolist() == [0, 1, -1]
    assert truths[0].required.tolist() == [True, True, False]
    assert truths[2].required.tolist() == [True, False]
    assert truths[7].atoms_yx.shape == (0, 2)
    assert truths[2].match_px == pytest.approx(3.5)


def test_a_csv_without_frames_and_classes_is_about_the_first_frame(tmp_path: Path) -> None:
    truths = read_truth(_csv(tmp_path, "x,y\n3,4\n5,6\n"), _SHAPE, _CLASSES, match_px=1.5)

    assert list(truths) == [0]
    assert truths[0].kinds is None
    assert truths[0].atoms_yx.tolist() == [[4, 3], [6, 5]]
    assert truths[0].match_px == 1.5


def test_an_npz_gives_one_frame_or_several(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", atoms_yx=np.array([[1.0, 2], [3, 4]]))
    np.savez(tmp_path / "two.npz", atoms_yx=np.array([[1.0, 2], [3, 4]]), kinds=np.array([1, -1]), frame=np.array([3, 1]))

    assert list(read_truth(tmp_path / "one.npz", _SHAPE, _CLASSES)) == [0]
    two = read_truth(tmp_path / "two.npz", _SHAPE, _CLASSES, match_px=1.0)
    assert {k: one.required.tolist() for k, one in two.items()} == {1: [False], 3: [True]}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no column y and no column x"),
        ("frame,y\n0,1\n", "no column x"),
        ("y,x\n1,2\n1,two\n", "line 3, column x: 'two'"),
        ("y,x\n1,2\n1\n", "line 3, column x"),
        ("y,x\nnan,2\n", "line 2, column y"),
        ("frame,y,x\n0.5,1,2\n", "line 2, column frame: '0.5'"),
        ("frame,y,x\n-1,1,2\n", "line 2, column frame: -1"),
        ("y,x,class\n1,2,Au\n", "line 2, column class: 'Au' is neither one of the classes C, Si"),
        ("y,x,class\n1,2,2\n", "line 2, column class: '2'"),
        ("y,x\n1,2\n", "no frame has two atoms"),
        ("y,x\n", "labels no frame"),
    ],
)
def test_a_csv_that_can_not_be_used_is_refused_by_line_and_column(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_truth(_csv(tmp_path, text), _SHAPE, _CLASSES)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"positions": np.zeros((2, 2))}, "holds positions"),
        ({"atoms_yx": np.zeros((2, 3))}, "atoms_yx"),
        ({"atoms_yx": np.full((2, 2), np.nan)}, "atoms_yx"),
        ({"atoms_yx": np.zeros((2, 2)), "kinds": np.zeros(3, int)}, "kinds"),
        ({"atoms_yx": np.zeros((2, 2)), "kinds": np.array([0, 2])}, "0 to 2"),
        ({"atoms_yx": np.zeros((2, 2)), "frame": np.array([0, -2])}, "-2"),
        ({"atoms_yx": np.array([{}, {}], object)}, "can't be read"),
    ],
)
def test_an_npz_that_can_not_be_used_is_refused_by_array(tmp_path: Path, arrays: dict[str, np.ndarray], named: str) -> None:
    np.savez(tmp_path / "truth.npz", allow_pickle=True, **arrays)

    with pytest.raises(InputError) as refusal:
        read_truth(tmp_path / "truth.npz", _SHAPE, _CLASSES)
    assert named in str(refusal.value)


def test_a_truth_of_another_kind_or_without_a_radius_is_refused(tmp_path: Path) -> None:
    for file, radius, named in ((tmp_path / "a.txt", None, "neither"), (tmp_path / "none.csv", None, "none.csv"), (tmp_path / "a.csv", -1.0, "-1")):
        with pytest.raises(InputError, match=named):
            read_truth(file, _SHAPE, _CLASSES, match_px=radius)


def test_classes_are_scored_only_where_the_truth_has_them() -> None:
    with pytest.raises(ValueError, match="no classes"):
        class_detections(_found((0, 0, 0)), replace(_truth([(0, 0)], [0]), kinds=None), 2)
