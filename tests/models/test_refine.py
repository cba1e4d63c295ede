from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from small_training import HereExecutor, train_here

from atomstream_models.analysis import FrameRefused
from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.cleaning import Cleaning
from atomstream_models.errors import InputError
from atomstream_models.labelling import DOUBTFUL, label
from atomstream_models.runtime import accept, load_ensemble
from atomstream_models.simulation import SimulatedMicroscope, labelled
from atomstream_models.training import Recipe, Run, load_recipe, refine
from atomstream_models.training._refine import _baseline
from atomstream_models.training._run import provide
from atomstream_models.training._warm import network_of
from atomstream_models.training.commands import main
from atomstream_models.training.data import crops
from atomstream_models.training.networks import NetworkSettings

CENTRES = [(float(y), float(x)) for y in range(10, 90, 16) for x in range(12, 100, 16)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _frames(count: int = 3) -> list[NDArray[np.float32]]:
    """Frames of bright dots, every fourth one brighter."""
    bright = dots((96, 104), CENTRES[::4], height=4.0)
    return [dots((96, 104), CENTRES, height=3.0 + 0.1 * k) + bright for k in range(count)]


def _recipe(*changes: str) -> Recipe:
    small = ["data.crops=24", "data.crop_px=48", "data.validation=4", "training.members=2", "training.steps=12", "training.batch=4"]
    return load_recipe("refine", [*small, "networks=[{filters=4}]", "training.validate_every=6", "training.norm_batches=2", *changes])


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def refined(parent: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    (done,) = refine(_frames(), 0.01, parent, _recipe("classes=['C','Si']"), tmp_path_factory.mktemp("run"), HereExecutor(), members=["m01"], use=[0, 2])
    return open_bundle(done.run.bundle)


def test_a_refinement_becomes_a_bundle_that_is_accepted(refined: Bundle) -> None:
    accept(load_ensemble(refined))

    assert refined.card.origin == "experimental"
    assert (refined.card.classes, refined.card.background) == (("C", "Si"), 2)


def test_the_card_tells_where_the_labels_came_from(parent: Bundle, refined: Bundle) -> None:
    story = refined.card.training

    assert story["parent"] == {"name": "plain", "version": "1", "sha256": parent.sha256, "members": ["m01"]}
    assert (story["frames"], story["regions"], story["iteration"]) == ([0, 2], [], 1)
    assert story["atoms"]["found"] == 2 * len(CENTRES)
    assert story["recipe"]["data"]["crops"] == 24


def test_labels_keep_their_brighter_class(parent: Bundle, tmp_path: Path) -> None:
    recipe = _recipe("classes=['C','Si']")
    refine(_frames(), 0.01, parent, recipe, tmp_path, HereExecutor())
    kinds = np.load(tmp_path / "1" / "data" / "kinds.npy")

    assert (kinds == 1).sum() / (kinds >= 0).sum() == pytest.approx(0.25, abs=0.08)


def test_a_single_class_takes_all_atoms(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(), None, parent, _recipe(), tmp_path, HereExecutor())

    assert (done.card.classes, done.card.background) == (("atom",), None)
    assert done.detected[0] == len(CENTRES)


def test_iterations_go_on_from_the_one_before_and_end_when_no_more_is_detected(parent: Bundle, tmp_path: Path) -> None:
    done = refine(
        _frames(),
        None,
        parent,
        _recipe("training.steps=100", "training.batch=8", "augmentation.intensity.noise=[0.05,0.5]"),
        tmp_path,
        HereExecutor(),
        iterations=3,
    )

    # Every atom was detected before, so the first round can't raise the rate.
    assert len(done) == 1
    assert not (tmp_path / "2").exists()


def test_a_region_is_all_that_is_learned_from(parent: Bundle, tmp_path: Path) -> None:
    refine(_frames(1), None, parent, _recipe(), tmp_path, HereExecutor(), regions=[(0, 48, 0, 104)])
    images = np.load(tmp_path / "1" / "data" / "images.npy")
    frame = _frames(1)[0]

    assert images.shape[1:] == (48, 48)
    assert images.max() < (frame[:48].max() - frame.min()) / frame.std() + 1e-3


def test_a_refinement_from_a_baseline_starts_as_its_member_answers(refined: Bundle, tmp_path: Path) -> None:
    recipe = _recipe("classes=['C','Si']", "training.strategy='baseline'", "networks=[{filters=4}]")
    frames = _frames(1)
    positions = np.array(CENTRES)
    data = crops(frames, [positions], [np.zeros(len(positions), int)], classes=2, side_px=48, count=24, seed=0)
    run = Run(tmp_path)
    provide(recipe, run, data)
    weights = _baseline(refined, ["m01"], recipe, run)
    network = network_of(refined.member_path("m01"), NetworkSettings(filters=4), 3)
    tensor = torch.randn(1, 1, 64, 64)
    member = load_ensemble(refined).run(tensor.numpy(), ["m01"])[0]
    with torch.no_grad():
        plain = torch.softmax(network.eval()(tensor), 1)[0].numpy()
        network.load_state_dict(torch.load(weights, weights_only=True))
        calibrated = torch.softmax(network.eval()(tensor), 1)[0].numpy()

    np.testing.assert_allclose(plain, member, atol=1e-5)
    np.testing.assert_allclose(calibrated, member, atol=1e-4)


def test_a_baseline_of_another_architecture_is_refused(refined: Bundle, parent: Bundle, tmp_path: Path) -> None:
    baseline = "training.strategy='baseline'"
    with pytest.raises(InputError, match="half-unet filters=4, the recipe trains a half-unet filters=8"):
        refine(_frames(1), None, refined, _recipe(baseline, "networks=[{filters=8}]", "classes=['C','Si']"), tmp_path / "a", HereExecutor())
    with pytest.raises(InputError, match="unknown architecture"):
        refine(_frames(1), None, parent, _recipe(baseline), tmp_path / "b", HereExecutor())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use": [5]}, "frame 5 is asked for, there are 2 frames"),
        ({"use": []}, "no frame is chosen"),
        ({"members": ["m09"]}, "no member m09"),
        ({"regions": [(0, 300, 0, 10)]}, "not inside frame 0"),
        ({"frames": []}, "no frame to refine on"),
        ({"frames": [np.zeros((96, 104), np.float32)]}, "no atom"),
    ],
)
def test_what_can_not_be_refined_on_is_refused_by_name(parent: Bundle, tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        refine(**{"frames": _frames(2), "pixel_nm": None, "parent": parent, "recipe": _recipe(), "out": tmp_path, "executor": HereExecutor(), **change})


def test_a_recipe_that_simulates_can_not_refine(parent: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kind 'experimental'"):
        refine(_frames(1), None, parent, load_recipe("small"), tmp_path, HereExecutor())


def test_contamination_is_not_learned_as_atoms(graphene: Bundle, tmp_path: Path) -> None:
    microscope = SimulatedMicroscope(4, (256, 256), mild=0, drift=10)
    frame = [microscope.next_frame() for _ in range(5)][-1]
    refine([frame.image], frame.pixel_nm, graphene, _recipe("classes=['host','impurity']", "training.members=1"), tmp_path, HereExecutor())
    card = open_bundle(tmp_path / "1" / "bundle").card

    assert card.training["atoms"]["amorphous"] > 0
    assert card.training["atoms"]["kept"] > 0.8 * labelled(frame).sum()


def test_the_command_refines_and_says_what_it_did(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    train_here(monkeypatch)
    np.savez(tmp_path / "movie.npz", images=np.stack(_frames()), pixel_size_nm=0.01)
    changes = ["data.crops=12", "data.crop_px=48", "data.validation=4", "training.members=1", "training.steps=4", "training.batch=4", "networks=[{filters=4}]"]
    flags = [part for change in changes for part in ("--set", change)]
    command = ["refine", str(tmp_path / "movie.npz"), "--bundle", str(parent.folder), "--out", str(tmp_path / "run"), "--frames", "0-1", "--jobs", "1"]
    assert main([*command, "--region", "0:96,0:96", "--json", *flags]) == 0
    (figures,) = json.loads(capsys.readouterr().out)
    card = open_bundle(Path(figures["bundle"])).card

    assert (card.name, card.version, card.pixel_size_nm) == ("plain", "1.1", (0.008, 0.0125))
    assert card.training["frames"] == [0, 1]


@pytest.mark.parametrize(("flag", "value"), [("--frames", "a-b"), ("--region", "1,2,3"), ("--bundle", "nowhere"), ("--set", "data='none'")])
def test_the_command_refuses_nonsense_by_name(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    np.save(tmp_path / "movie.npy", np.stack(_frames()))
    arguments = {"--bundle": str(parent.folder), "--out": str(tmp_path / "run"), flag: value}
    assert main(["refine", str(tmp_path / "movie.npy"), *(part for pair in arguments.items() for part in pair)]) == 1
    assert value.split("=", maxsplit=1)[0] in capsys.readouterr().err


def test_where_there_may_be_an_atom_nothing_is_learned(tmp_path: Path) -> None:
    strict = make_plain_bundle(tmp_path / "strict", biases=(-4.0, -4.0))
    faint = dots((96, 104), [*CENTRES[:-1]], height=4.0) + dots((96, 104), CENTRES[-1:], height=1.6)
    ensemble = load_ensemble(strict)
    labels = label(ensemble, [faint], None)
    ensemble.close()

    assert (labels.kinds[0] >= 0).sum() == len(CENTRES) - 1
    np.testing.assert_allclose(labels.positions[0][labels.kinds[0] == DOUBTFUL], [CENTRES[-1]], atol=1)


def test_atoms_that_members_disagree_on_are_doubtful_and_not_background(tmp_path: Path) -> None:
    apart = make_plain_bundle(tmp_path / "apart", biases=(-1.0, -3.0))
    frame = dots((96, 104), CENTRES[:-1], height=6.0) + dots((96, 104), CENTRES[-1:], height=1.2)
    ensemble = load_ensemble(apart)
    labels = label(ensemble, [frame], None, cleaning=Cleaning(window_px=None, most_std=0.15))
    ensemble.close()

    assert labels.counts["high_std"] == 1
    assert (labels.kinds[0] == DOUBTFUL).sum() >= 1
    assert (labels.kinds[0] >= 0).sum() == len(CENTRES) - 1


def test_a_folder_is_not_taken_for_a_refinement_on_other_frames(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(3), 0.01, parent, _recipe(), tmp_path, HereExecutor(), members=["m01"], use=[0])
    card = (done.run.bundle / "card.json").read_bytes()
    (again,) = refine(_frames(3), 0.01, parent, _recipe(), tmp_path, HereExecutor(), members=["m01"], use=[0])

    assert again.card == done.card
    assert (done.run.bundle / "card.json").read_bytes() == card
    with pytest.raises(InputError, match="holds a run on other images"):
        refine(_frames(3), 0.01, parent, _recipe(), tmp_path, HereExecutor(), members=["m01"], use=[1, 2])
    with pytest.raises(InputError, match=r"another history \(.*training.parent.members"):
        refine(_frames(3), 0.01, parent, _recipe(), tmp_path, HereExecutor(), use=[0])


def test_classes_stay_the_parent_s_unless_they_are_to_be_told_anew(refined: Bundle, tmp_path: Path) -> None:
    by = {}
    changes = {
        "kept": ["classes=['C','Si']"],
        "anew": ["classes=['light','heavy']", "data.classes_by='kmeans'"],
        "renamed": ["classes=['a','b']", "data.classes_by='parent'"],
    }
    for name, changed in changes.items():
        (done,) = refine(_frames(1), None, refined, _recipe(*changed, "training.steps=2"), tmp_path / name, HereExecutor(), members=["m00"])
        by[name] = done.card.training["classes"]["by"]
        if name == "anew":
            assert min(done.card.training["classes"]["atoms"].values()) > 0

    assert by == {"kept": "parent", "anew": "kmeans", "renamed": "parent"}


def test_classes_of_which_there_is_no_atom_are_refused(parent: Bundle, tmp_path: Path) -> None:
    recipe = _recipe("classes=['C','Si']", "data.classes_by='threshold'", "data.class_thresholds=[50.0]")
    with pytest.raises(InputError, match="no atom of class 'Si' among the labels"):
        refine(_frames(1), None, parent, recipe, tmp_path, HereExecutor())


def test_one_frame_of_three_is_kept_for_validation(parent: Bundle, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frames = [frame + rng.normal(0, 0.01, frame.shape).astype(np.float32) for frame in _frames(3)]
    (done,) = refine(frames, None, parent, _recipe("training.steps=2"), tmp_path, HereExecutor())
    corners = np.load(done.run.data / "images.npy")[:, 0, 0]
    held_out = np.isin(corners, ((frames[1] - float(frames[1].min())) / float(frames[1].std(dtype=np.float64))).astype(np.float32))

    assert done.card.training["validation_frame"] == 1
    assert held_out.tolist() == [False] * 20 + [True] * 4


def test_discs_of_sparse_atoms_are_as_large_as_the_atoms(parent: Bundle, tmp_path: Path) -> None:
    apart = [dots((160, 160), [(30.0, 30.0), (40.0, 130.0), (120.0, 60.0)])]
    recipe = _recipe("data.window_px=0", "training.steps=2")
    (done,) = refine(apart, None, parent, recipe, tmp_path / "found", HereExecutor())
    (given,) = refine(apart, None, parent, _recipe("data.window_px=0", "training.steps=2", "data.radius_px=6.5"), tmp_path / "given", HereExecutor())

    assert np.load(done.run.data / "radius_px.npy")[0] < 8
    assert np.load(given.run.data / "radius_px.npy")[0] == 6.5


def test_a_bad_frame_is_named_where_it_is_chosen_and_passed_over_where_not(parent: Bundle, tmp_path: Path) -> None:
    frames = _frames(3)
    frames[2] = frames[2].copy()
    frames[2][40, 40] = np.nan
    (done,) = refine(frames, None, parent, _recipe("training.steps=2"), tmp_path / "a", HereExecutor(), use=[0, 1])

    assert done.detected[0] == len(CENTRES)
    with pytest.raises(FrameRefused, match="frame 2: 1 of"):
        refine(frames, None, parent, _recipe(), tmp_path / "b", HereExecutor(), use=[1, 2])


def test_a_last_layer_that_starts_afresh_is_the_same_each_time(refined: Bundle) -> None:
    first, again, other = (network_of(refined.member_path("m01"), NetworkSettings(filters=4), 5, seed=seed).state_dict() for seed in (1, 1, 2))

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert [name for name in first if not torch.equal(first[name], other[name])]


def _command(folder: Path, bundle: Bundle, frames: list[NDArray[np.float32]]) -> list[str]:
    np.savez(folder / "movie.npz", images=np.stack(frames), pixel_size_nm=0.01)
    changes = ["data.crops=8", "data.crop_px=48", "data.validation=4", "training.members=1", "training.steps=2", "training.batch=4", "networks=[{filters=4}]"]
    flags = [part for change in changes for part in ("--set", change)]
    return ["refine", str(folder / "movie.npz"), "--bundle", str(bundle.folder), "--out", str(folder / "run"), "--jobs", "1", "--json", *flags]


def test_what_the_user_sets_wins_over_what_follows_from_the_frames(
    parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_here(monkeypatch)
    assert main([*_command(tmp_path, parent, _frames(1)), "--set", "pixel_size_nm=[0.005, 0.02]"]) == 0
    (figures,) = json.loads(capsys.readouterr().out)

    assert open_bundle(Path(figures["bundle"])).card.pixel_size_nm == (0.005, 0.02)


def test_a_member_that_fails_on_the_frames_is_an_error_and_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fragile = make_plain_bundle(tmp_path / "fragile", biases=(-1.0, 1.0), fragile=1)
    assert main(_command(tmp_path, fragile, [_frames(1)[0] - 5])) == 1
    assert "member m01" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--iterations", "0"), ("--jobs", "-1"), ("--pixel-size-nm", "0")])
def test_the_command_refuses_numbers_that_mean_nothing(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    assert main([*_command(tmp_path, parent, _frames(1)), flag, value]) == 1
    assert value in capsys.readouterr().err


def test_the_command_keeps_the_parent_s_classes_and_licence(refined: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_here(monkeypatch)
    np.savez(tmp_path / "movie.npz", images=np.stack(_frames(1)))
    small = ["data.crops=24", "data.crop_px=48", "data.validation=4", "training.members=1", "training.steps=2", "training.batch=4", "networks=[{filters=4}]"]
    settings = [part for change in small for part in ("--set", change)]
    bundle = str(refined.folder)
    assert main(["refine", str(tmp_path / "movie.npz"), "--bundle", bundle, "--out", str(tmp_path / "out"), "--jobs", "1", *settings]) == 0
    card = open_bundle(tmp_path / "out" / "1" / "bundle").card

    assert (card.classes, card.license) == (refined.card.classes, refined.card.license)


def test_a_bundle_s_folder_is_not_trained_in(parent: Bundle) -> None:
    with pytest.raises(InputError, match="is a bundle"):
        provide(_recipe(), Run(parent.folder), crops(_frames(1), [np.array(CENTRES)], [np.zeros(30, int)], classes=1, side_px=48, count=24, seed=0))


def test_atoms_outside_the_regions_are_not_counted_as_learned_from(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(1), None, parent, _recipe("training.steps=2"), tmp_path, HereExecutor(), regions=[(0, 48, 0, 104)])

    assert done.counts["kept in the regions"] == sum(y < 48 for y, _ in CENTRES)
    assert done.card.training["atoms"] == done.counts


def test_rare_classes_weigh_more(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(1), None, parent, _recipe("classes=['C','Si']", "training.steps=2"), tmp_path, HereExecutor())
    counts, weights = done.card.training["classes"]["atoms"], done.card.training["recipe"]["training"]["class_weights"]

    assert weights == [1.0, pytest.approx(np.sqrt(counts["C"] / counts["Si"]), abs=0.01), 1.0]
