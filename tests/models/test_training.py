from __future__ import annotations

import csv
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import about
from small_training import HereExecutor, tiny

from atomstream_models.bundle import check_member, open_bundle, parse_card
from atomstream_models.errors import ExtraMissing, InputError
from atomstream_models.runtime import accept, load_ensemble
from atomstream_models.simulation import soft_disks
from atomstream_models.training import (
    MemberJob,
    Run,
    TrainingFailed,
    TrainingSettings,
    _member,
    export_member,
    load_recipe,
    parse_recipe,
    probabilities,
    train_ensemble,
    train_member,
)
from atomstream_models.training.commands import main
from atomstream_models.training.data import PreparedData, Scene, SimulatedData, TrainingSet, crops, load_images, masked_set, simulate, training_set
from atomstream_models.training.executors import LocalExecutor
from atomstream_models.training.networks import NetworkSettings, build_network


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the processes that train members: results depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _weights(run: Run, member: int) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(run.member(member) / "weights.pt", weights_only=True)
    return loaded


def _equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def _history(run: Run, member: int) -> list[dict[str, str]]:
    return list(csv.DictReader((run.member(member) / "history.csv").read_text().splitlines()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("trained") / "run")
    train_ensemble(tiny(), run, HereExecutor())
    return run


def test_a_run_becomes_a_bundle_that_is_accepted(trained: Run) -> None:
    bundle = open_bundle(trained.bundle)
    accept(load_ensemble(bundle))
    card = bundle.card

    assert (card.name, card.member_ids, card.classes, card.background, card.origin) == ("tiny", ("m00", "m01"), ("host", "impurity"), 2, "simulated")
    assert card.training["recipe"]["training"]["steps"] == 20
    assert card.members[0].architecture == "half-unet filters=4"
    assert 0 <= card.members[0].metrics["validation_iou"] <= 1


def test_the_same_seed_gives_the_same_weights_in_whatever_process(trained: Run, tmp_path: Path) -> None:
    again = Run(tmp_path / "again")
    train_ensemble(tiny(members=1), again, LocalExecutor(1))

    assert _equal(_weights(again, 0), _weights(trained, 0))


def test_members_differ(trained: Run) -> None:
    assert not _equal(_weights(trained, 0), _weights(trained, 1))


def test_another_seed_gives_other_images_and_weights(trained: Run, tmp_path: Path) -> None:
    recipe = tiny(seed=2)
    train_member(MemberJob(recipe, 0, trained.data, tmp_path))
    other = torch.load(tmp_path / "weights.pt", weights_only=True)

    assert not _equal(_weights(trained, 0), other)
    assert (TrainingSet.load(trained.data).images != simulate(recipe.data, 2, 2).images).any()  # type: ignore[arg-type]


def test_a_member_that_is_cut_off_goes_on_to_the_same_weights(trained: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "cut")
    recipe = tiny(members=1)
    job = MemberJob(recipe, 0, trained.data, run.member(0))

    class Cut(Exception):
        pass

    original = _member.write_history

    def cut(path: Path, rows: list[Any]) -> None:
        original(path, rows)
        if rows[-1].step == 10:
            raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_member, "write_history", cut)
        with pytest.raises(Cut):
            train_member(job)
    assert (run.member(0) / "checkpoint.pt").exists()
    train_member(job)

    assert _equal(_weights(run, 0), _weights(trained, 0))
    assert [row["step"] for row in _history(run, 0)] == [row["step"] for row in _history(trained, 0)]
    assert not (run.member(0) / "checkpoint.pt").exists()


def test_a_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    out = tmp_path / "killed"
    settings = ["training.steps=60", "training.checkpoint_every=5", "training.validate_every=5", "data.patches=40", "data.validation=4", "data.patch_px=48"]
    command = ["train", "small", "--jobs", "1", "--members", "1", "--json", *(part for setting in settings for part in ("--set", setting)), "--out", str(out)]
    program = [sys.executable, "-m", "atomstream_models.training"]
    first = subprocess.Popen([*program, *command], stdout=subprocess.DEVNULL, start_new_session=True)
    history = out / "members" / "m00" / "history.csv"
    while not history.exists():
        assert first.poll() is None
        time.sleep(0.02)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert not (out / "bundle").exists()
    assert main(command) == 0
    whole = Run(tmp_path / "whole")
    train_ensemble(load_recipe("small", [*settings, "training.members=1"]), whole, HereExecutor())

    assert _equal(_weights(Run(out), 0), _weights(whole, 0))
    assert (out / "bundle" / "members" / "m00.onnx").read_bytes() == (tmp_path / "whole" / "bundle" / "members" / "m00.onnx").read_bytes()


def test_a_finished_run_is_not_trained_again(trained: Run) -> None:
    before = (trained.member(0) / "weights.pt").stat().st_mtime_ns
    train_ensemble(tiny(), trained, HereExecutor())

    assert (trained.member(0) / "weights.pt").stat().st_mtime_ns == before


def test_a_folder_with_another_run_is_refused_by_what_differs(trained: Run) -> None:
    with pytest.raises(InputError, match=r"training\.steps"):
        train_ensemble(tiny(steps=30), trained, HereExecutor())


def test_training_lowers_the_loss_and_raises_the_iou(tmp_path: Path) -> None:
    settings = ["data.patches=32", "data.validation=8", "data.patch_px=48", "training.steps=120", "training.validate_every=10", "training.batch=8"]
    recipe = load_recipe("small", settings)
    simulate(recipe.data, 1, 1).save(tmp_path / "data")  # type: ignore[arg-type]
    train_member(MemberJob(recipe, 0, tmp_path / "data", tmp_path / "m"))
    rows = list(csv.DictReader((tmp_path / "m" / "history.csv").read_text().splitlines()))

    assert float(rows[-1]["validation_loss"]) < 0.9 * float(rows[0]["validation_loss"])
    assert float(rows[-1]["iou"]) > float(rows[0]["iou"]) + 0.1


@pytest.mark.parametrize("loss", ["dice", "focal", "soft-iou"])
def test_every_loss_trains(loss: str, trained: Run, tmp_path: Path) -> None:
    job = MemberJob(tiny(loss=loss, steps=60, rate=0.01, validate_every=10, batch=8), 0, trained.data, tmp_path / loss)
    train_member(job)
    rows = list(csv.DictReader((tmp_path / loss / "history.csv").read_text().splitlines()))

    assert float(rows[-1]["validation_loss"]) < float(rows[0]["validation_loss"])


def test_weights_are_averaged_over_the_end_and_norms_taken_anew(trained: Run) -> None:
    rows = _history(trained, 0)

    # 20 steps, a quarter of them averaged, every second one.
    assert [row["phase"] for row in rows] == ["search", "search", "average", "average", "averaged"]
    assert json.loads((trained.member(0) / "metrics.json").read_text())["averaged"] == 2


def test_a_search_that_no_longer_improves_goes_on_to_averaging(trained: Run, tmp_path: Path) -> None:
    recipe = tiny(patience=1, rate=1e-12, steps=400, swa_share=0.02, swa_rate=1e-12, schedule="constant")
    train_member(MemberJob(recipe, 0, trained.data, tmp_path))
    metrics = json.loads((tmp_path / "metrics.json").read_text())

    assert metrics["steps"] < 100
    assert metrics["averaged"] == 4


def test_a_loss_that_is_not_finite_ends_the_training_by_name(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="no longer finite at step"):
        train_member(MemberJob(tiny(rate=1e30, schedule="constant"), 0, trained.data, tmp_path))


def test_members_from_a_baseline_start_from_it_and_part(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    train_ensemble(tiny(strategy="baseline", baseline_steps=30, rate=1e-5, swa_rate=1e-5), run, HereExecutor())
    baseline, one, other = (_weights(run, member) for member in (-1, 0, 1))
    name = "bottom.0.0.weight"

    assert not torch.equal(one[name], other[name])
    assert (one[name] - baseline[name]).abs().max() < 0.01
    assert len(open_bundle(run.bundle).card.members) == 2


def test_swag_draws_members_around_one_network(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    train_ensemble(tiny(strategy="swag", baseline_steps=40, members=3, steps=40), run, HereExecutor())
    weights = [_weights(run, member)["bottom.0.0.weight"] for member in range(3)]

    assert not torch.equal(weights[0], weights[1])
    assert len(open_bundle(run.bundle).card.members) == 3


KINDS = ("half-unet", "quarter-unet", "unet", "dilated-unet", "segresnet", "hed", "atomai-unet")


@pytest.mark.parametrize(("kind", "channels"), list(zip(KINDS, (3, 1, 3, 1, 3, 1, 3), strict=True)))
def test_an_exported_network_answers_as_it_does_in_torch_at_every_size(kind: str, channels: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_network(NetworkSettings.model_validate({"kind": kind, "filters": 4}), channels)
    network.train()
    with torch.no_grad():
        network(torch.randn(4, 1, 64, 64))  # norms get statistics of their own
    path = tmp_path / "m.onnx"
    export_member(network.eval(), path, downsample=int(network.downsample))
    background = None if channels == 1 else 2
    card = {**about(classes=["a", "b"][: max(channels - 1, 1)], background=background), "members": [{"id": "m", "file": "m.onnx", "sha256": 64 * "0"}]}
    check_member(path, parse_card(json.dumps({"schema": "atomstream.bundle.v1", **card}).encode()))
    session = onnxruntime.InferenceSession(str(path))
    for shape in ((64, 64), (40, 88)):
        frame = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
        with torch.no_grad():
            wanted = probabilities(network(torch.from_numpy(frame)))[0].numpy()

        np.testing.assert_allclose(session.run(None, {"frame": frame})[0][0], wanted, atol=1e-5)
    kinds = Counter(node.op_type for node in onnx.load(str(path)).graph.node)

    # AtomAI's norms follow the activation, so they can't be folded into the convolution before it.
    assert (kinds["BatchNormalization"] == 0) == (kind != "atomai-unet")
    assert b"site-packages" not in path.read_bytes()


def test_members_of_different_architectures_share_a_bundle(tmp_path: Path) -> None:
    recipe = tiny(members=2, steps=4)
    kinds = ("half-unet", "hed")
    recipe = recipe.model_copy(update={"networks": tuple(NetworkSettings.model_validate({"kind": kind, "filters": 4}) for kind in kinds)})
    run = Run(tmp_path / "run")
    card = train_ensemble(recipe, run, HereExecutor())
    accept(load_ensemble(open_bundle(run.bundle)))

    assert tuple(member.architecture.split()[0] for member in card.members) == kinds
    assert card.downsample == 8


def test_the_shipped_recipes_are_valid() -> None:
    for name in ("small", "graphene"):
        assert load_recipe(name).name == name


def test_a_recipe_names_every_wrong_key() -> None:
    with pytest.raises(InputError, match=r"training\.step: .*") as refused:
        load_recipe("small", ["training.step=3", "training.rate=-1", "networks=[]"])

    assert all(key in str(refused.value) for key in ("training.step", "training.rate", "networks"))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("nonsense", "not of the form"),
        ("name.deeper=1", "does not name a setting"),
        ("training.class_weights=[1.0, 2.0, 3.0]", "class_weights has 3"),
        ("training.strategy=swag", "swag"),
        ("training.class_weights=[-1.0]", "class_weights"),
        ("training.class_weights=[0.0]", "nothing would be learned"),
        ("training.rate=inf", "rate"),
        ("pixel_size_nm=[0.015, 0.008]", "not a range from low to high"),
        ("classes=['C','C']", "'C' is named more than once"),
        ("data.scenes=[{pixel_size_nm=[0.0, 0.01]}]", "not a range above 0"),
        ("data.scenes=[{elements={C=0}}]", "goes with"),
        ("data.scenes=[{material='perovskite-island', formation='multislice'}]", "can't tell the columns"),
        ("augmentation={kind='atomai', gauss_noise=[800, 0]}", "not a range from low to high"),
        ("augmentation={kind='atomai', jitter=[-3, 5]}", "greater than or equal to 0"),
    ],
)
def test_a_change_that_can_not_be_made_is_refused(change: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        load_recipe("small", [change, *(["training.swa_share=0"] if "swag" in change else [])])


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="graphene"):
        load_recipe("nowhere")


def _image_set(masks: bool) -> TrainingSet:
    data = simulate(tiny().data, 1, 3)  # type: ignore[arg-type]
    if not masks:
        return data
    drawn = [soft_disks(atoms[kinds == 0], 3.0, (48, 48)) > 0.5 for atoms, kinds in zip(data.atoms_yx, data.kinds, strict=True)]
    return masked_set(data.images, np.array(drawn).astype(np.uint8))


@pytest.mark.parametrize("masks", [True, False])
def test_images_of_ones_own_are_learned_from(masks: bool, tmp_path: Path) -> None:
    recipe = tiny(members=1)
    tree = {**recipe.model_dump(), "classes": ["atom"], "data": {"kind": "prepared", "validation": 4, "source": "my microscope", "origin": "experimental"}}
    run = Run(tmp_path / "run")
    card = train_ensemble(parse_recipe(tree, "mine"), run, HereExecutor(), data=_image_set(masks))

    assert (card.origin, card.classes, card.background) == ("experimental", ("atom",), None)
    assert card.training["recipe"]["data"]["source"] == "my microscope"


def test_prepared_images_are_read_from_a_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    masks = (images > 0.9).astype(np.uint8)
    atoms = np.array([[0, 5, 6, 0], [2, 9.5, 1, 1]])
    np.savez(tmp_path / "masks.npz", images=images, masks=masks)
    np.savez(tmp_path / "atoms.npz", images=images, atoms=atoms, radius_px=3.0, pixel_size_nm=0.01)
    by_atoms = load_images(tmp_path / "atoms.npz", 2)

    assert load_images(tmp_path / "masks.npz", 1).masks is not None
    assert (by_atoms.classes, int(by_atoms.kinds[2, 0]), float(by_atoms.atoms_yx[2, 0, 0])) == (2, 1, 9.5)


def test_images_that_can_not_be_learned_from_are_refused_by_name(tmp_path: Path) -> None:
    images = np.zeros((2, 32, 32), np.float32)
    one = [np.array([[4.0, 4.0]])] * 2
    bad = images.copy()
    bad[1, 3, 3] = np.nan
    np.savez(tmp_path / "none.npz", pictures=images)
    np.savez(tmp_path / "radius.npz", images=images, atoms=np.array([[0, 1, 1]]))
    attempts = [
        (lambda: masked_set(images, np.zeros_like(images)), "every mask is empty"),
        (lambda: masked_set(images, np.ones((2, 16, 16))), "don't fit"),
        (lambda: training_set(images, [np.empty((0, 2))] * 2, [np.empty(0, int)] * 2, 3.0, 1), "nothing to learn"),
        (lambda: training_set(images, one, [np.array([1])] * 2, 3.0, 1), "class 1"),
        (lambda: training_set(bad, one, [np.array([0])] * 2, 3.0, 1), "image 1 has pixels that are not finite"),
        (lambda: training_set(images, one[:1], [np.array([0])] * 2, 3.0, 1), "2 images come with 1"),
        (lambda: load_images(tmp_path / "none.npz", 1), "pictures"),
        (lambda: load_images(tmp_path / "radius.npz", 1), "radius_px"),
        (lambda: load_images(tmp_path / "nowhere.npz", 1), "nowhere"),
    ]
    for attempt, complaint in attempts:
        with pytest.raises(InputError, match=complaint):
            attempt()  # type: ignore[no-untyped-call]


def test_a_recipe_and_its_images_must_agree_on_the_classes(tmp_path: Path) -> None:
    tree = {**tiny().model_dump(), "data": {"kind": "prepared", "validation": 4}}
    with pytest.raises(InputError, match="1 classes, the recipe names 2"):
        train_ensemble(parse_recipe(tree, "mine"), Run(tmp_path / "run"), HereExecutor(), data=_image_set(masks=False))
    with pytest.raises(InputError, match="none were given"):
        train_ensemble(parse_recipe(tree, "mine"), Run(tmp_path / "other"), HereExecutor())


def test_crops_carry_their_atoms_along() -> None:
    rng = np.random.default_rng(0)
    atoms = rng.uniform(10, 190, (60, 2))
    frame = np.zeros((200, 220))
    frame[tuple(np.rint(atoms).astype(int).T)] = 1
    made = crops([frame], [atoms], [np.zeros(60, int)], classes=1, side_px=64, count=20, seed=0, regions=[(0, 120, 0, 220)])
    hits = 0
    for image, places in zip(made.images, made.atoms_yx, strict=True):
        inside = np.all((places > 0) & (places < 63), axis=1)
        y, x = np.rint(places[inside]).astype(int).T
        hits += len(y)
        assert (image[y, x] > image.min()).all()

    assert hits > 60
    assert made.images.shape == (20, 64, 64)


def test_frames_smaller_than_a_crop_give_smaller_crops() -> None:
    frame = np.random.default_rng(0).random((50, 90))
    made = crops([frame], [np.array([[10.0, 10.0], [30.0, 40.0]])], [np.zeros(2, int)], classes=1, side_px=224, count=4, seed=0)

    assert made.images.shape == (4, 48, 48)


@pytest.mark.parametrize(
    ("frame", "region", "complaint"),
    [
        (np.ones((64, 64)), None, "frame 0 is constant"),
        (np.full((64, 64), np.nan), None, "not finite"),
        (np.eye(64), (0, 80, 0, 64), "not inside frame 0"),
        (np.eye(64), (0, 8, 0, 64), "smaller than 16"),
    ],
)
def test_frames_and_regions_that_can_not_be_cut_are_refused(frame: np.ndarray, region: tuple[int, int, int, int] | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        crops(
            [frame],
            [np.array([[10.0, 10.0], [30.0, 40.0]])],
            [np.zeros(2, int)],
            classes=1,
            side_px=32,
            count=2,
            seed=0,
            regions=[region] if region else [],
        )


@contextmanager
def _files_at_most(size: int) -> Iterator[None]:
    """As if the disk were full once a file has so many bytes."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, kept)


def test_a_full_disk_is_said_and_the_last_checkpoint_stays(trained: Run, tmp_path: Path) -> None:
    job = MemberJob(tiny(members=1), 0, trained.data, tmp_path / "m")
    with _files_at_most(20_000), pytest.raises(TrainingFailed, match="no room left"):
        train_member(job)
    train_member(job)

    assert _equal(torch.load(tmp_path / "m" / "weights.pt", weights_only=True), _weights(trained, 0))


def test_a_disk_too_full_for_the_training_images_is_said(tmp_path: Path) -> None:
    with _files_at_most(25_000), pytest.raises(TrainingFailed, match="no room left"):
        train_ensemble(tiny(), Run(tmp_path / "run"), HereExecutor())
    assert not (tmp_path / "run" / "data").exists()


@pytest.mark.parametrize("masks", [True, False])
def test_a_training_set_is_saved_whole(masks: bool, tmp_path: Path) -> None:
    made = _image_set(masks)
    made.save(tmp_path / "data")
    read = TrainingSet.load(tmp_path / "data")

    assert (read.classes, read.images.dtype, read.masks is None) == (1, made.images.dtype, made.masks is None)
    np.testing.assert_array_equal(read.images, made.images)
    np.testing.assert_array_equal(read.atoms_yx, made.atoms_yx)
    np.testing.assert_array_equal(read.masks if masks else read.kinds, made.masks if masks else made.kinds)


def test_swag_needs_two_snapshots_of_the_network_that_it_draws_around() -> None:
    TrainingSettings(strategy="swag", steps=40, baseline_steps=1200)
    with pytest.raises(ValueError, match="of baseline_steps = 50 the last 12, with one every 10"):
        TrainingSettings(strategy="swag", steps=1200, baseline_steps=50)


def test_an_element_of_a_class_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "any.xyz").touch()
    scene = Scene(material="structures", structures=str(tmp_path / "any.xyz"), elements={"C": 0, "Si": 1, "O": 2})
    tree = {**tiny().model_dump(), "data": {"kind": "simulated", "scenes": [scene.model_dump()]}}
    for attempt in (lambda: parse_recipe(tree, "mine"), lambda: simulate(SimulatedData(scenes=(scene,)), 2, 0)):
        with pytest.raises(InputError, match="O of class 2: 2 classes count from 0 to 1"):
            attempt()

    assert parse_recipe({**tree, "classes": ["atom"]}, "mine").channels == 1
    assert parse_recipe({**tree, "classes": ["C", "Si", "O"]}, "mine").channels == 4


def test_a_single_class_takes_hosts_and_impurities() -> None:
    scene = Scene(impurities_chance=1.0)
    both, one = (simulate(SimulatedData(patches=4, validation=2, patch_px=48, scenes=(scene,)), classes, 0) for classes in (2, 1))

    assert (both.kinds == 1).any()
    np.testing.assert_array_equal(one.kinds, np.minimum(both.kinds, 0))


@pytest.mark.skipif(find_spec("abtem") is not None, reason="the extra multislice is installed")
def test_multislice_without_its_package_says_what_brings_it() -> None:
    pytest.importorskip("ase")
    with pytest.raises(ExtraMissing, match=r"abtem.*atomstream\[multislice\]"):
        simulate(SimulatedData(scenes=(Scene(), Scene(formation="multislice"))), 1, 0)


@pytest.mark.parametrize("material", ["graphene", "mos2"])
def test_multislice_shows_the_same_atoms_as_sums_of_gaussians(material: str) -> None:
    pytest.importorskip("abtem")
    still: dict[str, Any] = {"thermal": (0.0,), "line_jitter_px": (0.0,), "background": (0.0, 0.0), "background_swing": (0.0,), "astigmatism": 0}
    whole = {"amorphous_chance": 0, "hole_chance": 0, "impurities_chance": 0, "pixel_size_nm": (0.02, 0.02), "probe": (0.25, 0.25)}
    sets = []
    for formation in ("gaussian", "multislice"):
        scene = Scene.model_validate({"material": material, "formation": formation, **still, **whole})
        sets.append(simulate(SimulatedData(patches=1, validation=2, patch_px=16, scenes=(scene,)), 2, 1))
    sums, waves = sets

    np.testing.assert_array_equal(sums.atoms_yx, waves.atoms_yx)
    for one, other in zip(sums.images.astype(float), waves.images.astype(float), strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_a_multislice_column_of_no_element_is_refused() -> None:
    pytest.importorskip("abtem")
    scene = Scene.model_validate({"formation": "multislice", "columns": {"0": {"elements": ["Xx"]}}})
    with pytest.raises(InputError, match="'Xx'"):
        scene.image_formation()


def test_prepared_images_are_simulated_unless_somebody_says_they_are_not() -> None:
    assert PreparedData().origin == "simulated"
    assert PreparedData(origin="experimental").origin == "experimental"


_IMAGES = np.random.default_rng(0).random((2, 32, 32)).astype(np.float32)
_ATOMS: dict[str, Any] = {"images": _IMAGES, "atoms": np.array([[0, 4, 4], [1, 9, 9]]), "radius_px": 3.0}
_MASKS: dict[str, Any] = {"images": _IMAGES, "masks": (_IMAGES > 0.9).astype(np.uint8)}
_HOLED = np.where(_IMAGES > 0.99, np.nan, _IMAGES)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({**_ATOMS, "radius_px": np.array([3.0, 3.0, 3.0])}, r"radius .* shape \[3\], not one for all or one for each of 2 images"),
        ({**_ATOMS, "radius_px": 0.0}, "radius .* must be a positive number, got 0"),
        ({**_ATOMS, "pixel_size_nm": np.array([[0.01, 0.01]])}, r"pixel size .* shape \[1, 2\]"),
        ({**_ATOMS, "pixel_size_nm": -0.01}, "pixel size .* got -0.01"),
        ({**_ATOMS, "pixel_size_nm": "10 pm"}, "'pixel_size_nm' is not of numbers"),
        ({**_ATOMS, "atoms": np.array([[0, 4, 4], [2, 4, 4], [7, 9, 9]])}, "atom 1 is in image 2, but the images are 0 to 1; 2 atoms"),
        ({**_ATOMS, "atoms": np.array([[0.5, 4, 4]])}, "image 0.5"),
        ({**_ATOMS, "atoms": np.array([[0, np.nan, 4]])}, "image 0 has an atom whose position is not finite"),
        ({**_ATOMS, "atoms": np.array([[0, 4, 4, 0.5]])}, "class 0.5"),
        ({**_ATOMS, "images": np.float32(3)}, r"shape \[\], not"),
        ({**_MASKS, "images": _HOLED}, "pixels that are not finite"),
        ({**_MASKS, "masks": 255 * _MASKS["masks"]}, "up to 255, but there is 1 class; .* masks > 0"),
        ({**_MASKS, "masks": _IMAGES}, "not class numbers"),
        ({**_MASKS, "masks": np.float32(1)}, "don't fit"),
    ],
)
def test_a_file_that_can_not_be_learned_from_is_refused_by_name(arrays: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", allow_pickle=False, **arrays)
    with pytest.raises(InputError, match=rf"mine\.npz: .*{complaint}"):
        load_images(tmp_path / "mine.npz", 1)


def test_a_single_array_is_no_training_set(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", _IMAGES)
    with pytest.raises(InputError, match=r"mine\.npy is a single array"):
        load_images(tmp_path / "mine.npy", 1)


def test_radius_and_pixel_size_may_be_each_images_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", **{**_ATOMS, "radius_px": np.array([3.0, 4.0]), "pixel_size_nm": np.array([0.01])})
    made = load_images(tmp_path / "mine.npz", 1)

    assert made.radius_px.tolist() == [3.0, 4.0]
    np.testing.assert_allclose(made.pixel_nm, [0.01, 0.01])


def test_a_member_that_fails_is_named_and_ends_the_others(trained: Run, tmp_path: Path) -> None:
    endless = MemberJob(tiny(steps=10_000_000), 0, trained.data, tmp_path / "m00")
    failing = MemberJob(tiny(rate=1e30, schedule="constant"), 1, trained.data, tmp_path / "m01")
    with pytest.raises(TrainingFailed, match="member 1: the loss is no longer finite"):
        list(LocalExecutor(2).train([endless, failing]))

    assert multiprocessing.active_children() == []


def test_a_member_whose_process_dies_is_named(trained: Run, tmp_path: Path) -> None:
    jobs = [MemberJob(tiny(steps=10_000_000), k, trained.data, tmp_path / f"m{k}") for k in range(2)]

    def kill() -> None:
        while not (tmp_path / "m0" / "history.csv").exists():
            time.sleep(0.02)
        for child in multiprocessing.active_children():
            child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(TrainingFailed, match="the process of member 0 died"):
        list(LocalExecutor(1).train(jobs))
    killer.join()


@pytest.mark.parametrize("jobs", [0, -1])
def test_fewer_than_one_member_at_once_is_refused(jobs: int) -> None:
    with pytest.raises(InputError, match=f"{jobs} members"):
        LocalExecutor(jobs)


def test_a_class_that_no_image_shows_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training image has an atom of class 'c'"):
        train_ensemble(load_recipe("small", ["classes=['a','b','c']", "data.patches=4", "data.validation=2"]), Run(tmp_path), HereExecutor())


def test_a_wrong_setting_is_blamed_on_who_gave_it() -> None:
    with pytest.raises(InputError, match=r"training.stepz.*\(from --set training.stepz=3\)"):
        load_recipe("small", ["training.steps=4", "training.stepz=3"])


def test_structures_lie_beside_the_recipe_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "cell.xyz").write_text("1\n\nC 0 0 0\n")
    recipe = "name = 'mine'\nclasses = ['C']\n[data]\nkind = 'simulated'\n[[data.scenes]]\nmaterial = 'structures'\nelements = {C = 0}\n"
    (tmp_path / "mine.toml").write_text(recipe + "structures = 'cell.xyz'\n")
    data = load_recipe(str(tmp_path / "mine.toml")).data

    assert isinstance(data, SimulatedData)
    assert data.scenes[0].structures == str(tmp_path / "cell.xyz")
