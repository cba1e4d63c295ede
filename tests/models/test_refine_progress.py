from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from small_training import HereExecutor, train_here

from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.errors import InputError
from atomstream_models.labelling import DOUBTFUL, label
from atomstream_models.runtime import load_ensemble
from atomstream_models.training import Recipe, known, load_recipe, refine
from atomstream_models.training.augment import Batch, Geometry, flip_and_turn, move
from atomstream_models.training.commands import main
from atomstream_models.training.data import TrainingSet

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
CENTRES = [(float(y), float(x)) for y in range(10, 90, 16) for x in range(12, 100, 16)]
TINY = ["data.crops=16", "data.crop_px=32", "data.validation=4", "training.batch=2", "training.norm_batches=1", "networks=[{filters=4}]"]
OFTEN = ["training.validate_every=2", "training.checkpoint_every=2"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("parent"))


def _frames(count: int = 1) -> list[NDArray[np.float32]]:
    return [dots((96, 104), CENTRES, height=3.0 + 0.1 * k) for k in range(count)]


def _recipe(*changes: str) -> Recipe:
    return load_recipe("refine", [*TINY, "training.members=1", "training.steps=4", *changes])


def _command(folder: Path, parent: Bundle, steps: int, members: int, *more: str) -> list[str]:
    np.savez(folder / "movie.npz", images=np.stack(_frames(2)), pixel_size_nm=0.01)
    changes = [*TINY, *OFTEN, f"training.steps={steps}", f"training.members={members}"]
    flags = [part for change in changes for part in ("--set", change)]
    return ["refine", str(folder / "movie.npz"), f"--bundle={parent.folder}", f"--out={folder / 'run'}", *more, *flags]


def _until(what: Callable[[], Any], timeout_s: float = 200.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _group(leader: int) -> list[int]:
    """Processes of a process group that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except OSError:
                continue
            if int(group) == leader and state != "Z":
                found.append(int(entry.name))
    return found


def _begun(command: list[str], folder: Path, members: int) -> subprocess.Popen[bytes]:
    """A refinement whose members have all begun to train."""
    process = subprocess.Popen([sys.executable, "-m", "atomstream_models.training", *command], process_group=0, stdout=subprocess.DEVNULL)
    _until(lambda: len(list(folder.glob("run/1/members/*/history.csv"))) == members)
    assert len(_group(process.pid)) > members
    return process


def test_events_come_in_order_and_their_share_never_falls(parent: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(_command(tmp_path, parent, 8, 1, "--jobs=1", "--progress=-", "--name=better")) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    stages = [event["stage"] for event in events]

    assert [stage for k, stage in enumerate(stages) if stage not in stages[:k]] == ["labels", "images", "train", "pack", "done"]
    assert stages == sorted(stages, key=["labels", "images", "train", "pack", "done"].index)
    shares = [event["share"] for event in events]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    steps = [event["step"] for event in events if event["member"] == 0]
    assert steps == sorted(set(steps))
    assert steps[-1] == 8
    last = [event for event in events if event["step"] == 8][-1]
    assert (last["round"], last["steps"]) == (1, 8)
    assert 0 <= last["iou"] <= 1
    assert last["loss"] > 0
    assert open_bundle(Path(events[-1]["bundle"])).card.name == "better"


def test_what_fails_is_told_too(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "events"
    assert main(_command(tmp_path, parent, 2, 1, f"--progress={file}", "--region=0:300,0:10")) == 1
    told = [json.loads(line) for line in file.read_text().splitlines()]

    assert told[-1]["stage"] == "failed"
    assert "not inside frame 0" in told[-1]["message"]
    assert "not inside frame 0" in capsys.readouterr().err


@pytest.mark.parametrize(("flag", "value"), [("--cores", "0"), ("--nice", "20"), ("--leave-out", "1,2"), ("--json", "--progress=-")])
def test_limits_that_mean_nothing_are_refused(parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    assert main([*_command(tmp_path, parent, 2, 1), flag, value]) == 1
    assert value.removeprefix("--").split("=")[0] in capsys.readouterr().err


@LINUX
def test_told_to_end_it_ends_all_processes_and_keeps_what_it_could_go_on_from(parent: Bundle, tmp_path: Path) -> None:
    command = _command(tmp_path, parent, 4000, 2, "--jobs=2", f"--progress={tmp_path / 'events'}")
    first = _begun(command, tmp_path, 2)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 128 + signal.SIGTERM
    # Python's own tracker of shared resources ends a moment after its parent.
    _until(lambda: _group(first.pid) == [], 10)
    assert len(list(tmp_path.glob("run/1/members/*/checkpoint.pt"))) == 2
    assert "failed" not in (tmp_path / "events").read_text()


@LINUX
def test_killed_it_leaves_no_orphans(parent: Bundle, tmp_path: Path) -> None:
    process = _begun(_command(tmp_path, parent, 4000, 1, "--cores=1"), tmp_path, 1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    _until(lambda: _group(process.pid) == [])


@LINUX
def test_it_keeps_to_few_cores_in_the_background_and_ends_with_the_process_that_wanted_it(parent: Bundle, tmp_path: Path) -> None:
    command = [*_command(tmp_path, parent, 4000, 1, "--cores=1"), "--background"]
    script = "import os, subprocess, sys, time; subprocess.Popen([*sys.argv[1:], f'--end-with={os.getpid()}'], process_group=0); time.sleep(600)"
    owner = subprocess.Popen([sys.executable, "-c", script, sys.executable, "-m", "atomstream_models.training", *command], stdout=subprocess.DEVNULL)
    _until(lambda: Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split())
    (leader,) = map(int, Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split())
    _until(lambda: all(os.sched_getscheduler(int(thread.name)) == os.SCHED_IDLE for thread in Path(f"/proc/{leader}/task").iterdir()))

    assert len(os.sched_getaffinity(leader)) == 1
    assert os.getpriority(os.PRIO_PROCESS, leader) == 19
    owner.kill()
    owner.wait()
    _until(lambda: _group(leader) == [])


def test_what_lies_in_a_region_that_is_left_out_is_not_learned(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(), None, parent, _recipe(), tmp_path, HereExecutor(), leave_out=[(0, 96, 0, 52)])
    data = TrainingSet.load(done.run.data)
    right = sum(x >= 52 for _, x in CENTRES)

    assert done.counts["kept"] == right
    assert done.counts["left out"] == len(CENTRES) - right
    assert done.card.training["left_out"] == [[0, 96, 0, 52]]
    assert data.hidden is not None
    for atoms, kinds, hidden in zip(data.atoms_yx, data.kinds, data.hidden, strict=True):
        y, x = np.rint(atoms[kinds >= 0]).astype(int).T
        inside = (y >= 0) & (y < 32) & (x >= 0) & (x < 32)
        assert not hidden[y[inside], x[inside]].any()
    assert data.hidden.mean(axis=(1, 2)).max() <= 0.5
    assert data.hidden.any()


def test_the_same_frame_with_another_left_half_gives_the_same_labels_on_the_right(parent: Bundle) -> None:
    frame, other = _frames()[0], _frames()[0].copy()
    other[:, :40] = np.random.default_rng(0).normal(2, 1, other[:, :40].shape)
    ensemble = load_ensemble(parent)
    one, two = (label(ensemble, [image], None, leave_out=[(0, 96, 0, 52)]) for image in (frame, other))
    ensemble.close()

    first, second = (labels.positions[0][labels.kinds[0] >= 0] for labels in (one, two))
    first, second = (places[np.lexsort(np.rint(places).T)] for places in (first, second))
    np.testing.assert_allclose(first, second, atol=0.01)
    assert (two.kinds[0][two.positions[0][:, 1] < 52] == DOUBTFUL).all()


def test_hidden_pixels_move_with_their_image_and_nothing_is_known_there() -> None:
    image = torch.rand(4, 32, 32)
    hidden = (image > 0.5).float()
    none = torch.full((4, 1, 2), torch.nan), torch.full((4, 1), -1)
    batch = Batch(image, *none, torch.full((4,), 3.0), hidden=hidden)
    turned = flip_and_turn(batch, torch.tensor([1, 2, 4, 7]))
    zoomed = move(batch, Geometry(zoom=(1.1, 1.3)), torch.Generator().manual_seed(1))

    assert turned.hidden is not None
    torch.testing.assert_close(turned.hidden, (turned.images > 0.5).float())
    learned = known(turned)
    assert learned is not None
    torch.testing.assert_close(learned[:, 0], 1 - turned.hidden)
    assert zoomed.hidden is not None
    assert zoomed.hidden.shape == zoomed.images.shape
    assert known(Batch(image, *none, torch.full((4,), 3.0))) is None


def test_without_regions_left_out_a_run_is_the_one_it_was(parent: Bundle, tmp_path: Path) -> None:
    (done,) = refine(_frames(), None, parent, _recipe("training.steps=2"), tmp_path, HereExecutor())

    assert "left_out" not in done.card.training
    assert not (done.run.data / "hidden.npy").exists()


@pytest.mark.parametrize(
    ("regions", "complaint"),
    [([(0, 96, 0, 104)], "no atom in any of the 1 frames outside the regions"), ([(0, 97, 0, 10)], "rows 0:97, columns 0:10 is not inside frame 0")],
)
def test_regions_that_leave_nothing_or_are_nowhere_are_refused(parent: Bundle, tmp_path: Path, regions: list[Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        refine(_frames(), None, parent, _recipe(), tmp_path, HereExecutor(), leave_out=regions)


def test_a_live_refinement_goes_on_with_its_parent_s_own_networks(
    parent: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_here(monkeypatch)
    (first,) = refine(_frames(), None, parent, _recipe(), tmp_path / "first", HereExecutor())
    assert main([*_live(tmp_path, first.run.bundle), "--set", "training.steps=2"]) == 0
    (figures,) = json.loads(capsys.readouterr().out)
    assert [member.architecture for member in open_bundle(Path(figures["bundle"])).card.members] == ["half-unet filters=4"]

    assert main([*_live(tmp_path, parent.folder), f"--out={tmp_path / 'other'}"]) == 1
    assert "unknown architecture" in capsys.readouterr().err


def _live(folder: Path, bundle: Path) -> list[str]:
    np.savez(folder / "movie.npz", images=np.stack(_frames()), pixel_size_nm=0.01)
    changes = [*TINY[:-1], "training.members=1"]
    flags = [part for change in changes for part in ("--set", change)]
    return ["refine", str(folder / "movie.npz"), f"--bundle={bundle}", f"--out={folder / 'live'}", "--recipe=live-refine", "--jobs=1", "--json", *flags]
