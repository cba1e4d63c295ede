from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import about, dots, golden_of, make_plain_bundle, write_member
from onnx import helper, numpy_helper

from atomstream_models.bundle import Bundle, BundleError, MemberSource, open_bundle, pack, write_bundle
from atomstream_service.logs import read_said
from atomstream_service.registry import (
    AcceptanceReport,
    BundleRefused,
    CheckName,
    NoRoom,
    NotRegistered,
    Registry,
    RegistryEntry,
    RegistryError,
    StagerLimits,
    UploadTooLarge,
    VersionTaken,
    WatchFolder,
)
from atomstream_service.registry.stager._process import _end

_SECRET = "ATOMSTREAM_TOKEN"


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return _registry(tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("sound"), biases=(-1.0, -1.5))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Another bundle of the same name and version."""
    return make_plain_bundle(tmp_path_factory.mktemp("other"), biases=(-1.0, -0.5))


@pytest.fixture(scope="module")
def zipped(sound: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("zipped") / "plain-1.atomstream"
    pack(sound.folder, archive)
    return archive


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose member runs for minutes."""
    folder = tmp_path_factory.mktemp("endless")
    member = onnx.load(str(write_member(folder / "raw.onnx", 2.0, -1.0)))
    del member.graph.node[-1]
    member.graph.node.extend(
        [
            helper.make_node("Resize", ["logit", "", "up"], ["wide"], mode="nearest"),
            helper.make_node("AveragePool", ["wide"], ["slow"], kernel_shape=[255, 255], pads=[127] * 4, strides=[1, 1]),
            helper.make_node("Resize", ["slow", "", "down"], ["back"], mode="nearest"),
            helper.make_node("Sigmoid", ["back"], ["probability"]),
        ]
    )
    scales = {"up": 32.0, "down": 1 / 32}
    member.graph.initializer.extend(numpy_helper.from_array(np.array([1, 1, by, by], np.float32), name) for name, by in scales.items())
    onnx.save(member, str(folder / "slow.onnx"))
    golden = [golden_of(dots((56, 64), [centre]), (-1.0,)) for centre in ((20.0, 30.0), (40.0, 10.0))]
    write_bundle(folder / "bundle", about(name="endless"), [MemberSource("m00", folder / "slow.onnx")], golden)
    return open_bundle(folder / "bundle")


def _registry(folder: Path, wall_s: float = 300.0) -> Registry:
    return Registry(folder / "registry", device="cpu", threads=1, warm_shapes=((64, 64),), limits=StagerLimits(wall_s=wall_s, memory_bytes=1 << 30))


def _leftovers(folder: Path) -> list[Path]:
    return list((folder / "registry" / ".scratch").iterdir())


def _until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def test_an_uploaded_bundle_is_registered_with_all_that_is_known_of_it(registry: Registry, zipped: Path, sound: Bundle, tmp_path: Path) -> None:
    data = zipped.read_bytes()
    with registry.upload(len(data)) as upload:
        for at in range(0, len(data), 1000):
            upload.write(data[at : at + 1000])
        entry = upload.accept("upload", "kim")

    assert (entry.name, entry.version, entry.sha256, entry.source, entry.actor) == ("plain", "1", sound.sha256, "upload", "kim")
    assert upload.new
    assert open_bundle(entry.folder).sha256 == sound.sha256
    assert entry.size_bytes == sum(path.stat().st_size for path in sound.folder.rglob("*") if path.is_file())
    assert registry.entries() == [entry]
    assert registry.folder_of("plain", "1") == entry.folder
    assert _leftovers(tmp_path) == []
    registry.verify(entry)


def test_a_report_names_every_check_with_its_numbers_and_comes_back_from_json(registry: Registry, sound: Bundle) -> None:
    report = registry.add_folder(sound.folder, "shipped", "tests").report

    assert report is not None
    assert report.passed
    assert [check.name for check in report.checks] == list(CheckName)
    numbers = {check.name: check.numbers for check in report.checks}
    assert numbers[CheckName.ACCEPTANCE]["mean_off"] < numbers[CheckName.ACCEPTANCE]["mean_allowed"]
    assert {"m00_64x64_ms", "m01_64x64_ms", "warm_up_s"} <= set(numbers[CheckName.WARM_UP])
    assert (report.name, report.version, report.sha256, report.device) == ("plain", "1", sound.sha256, "cpu")
    assert report.runtime is not None
    assert sys.platform != "linux" or (report.memory_after_bytes or 0) > (report.memory_before_bytes or 0) > 0
    assert AcceptanceReport.parse(json.loads(json.dumps(report.as_json()))) == report


def test_entries_are_there_after_a_restart(registry: Registry, sound: Bundle, tmp_path: Path) -> None:
    entry = registry.add_folder(sound.folder, "refinement", "loop")

    assert _registry(tmp_path).entries() == [entry]


def test_the_very_same_bundle_again_is_answered_as_there_already(registry: Registry, zipped: Path, sound: Bundle) -> None:
    first = registry.add_archive(zipped, "upload", "kim")

    assert registry.add_folder(sound.folder, "shipped", "tests") == first
    assert registry.adopt(sound, "configured", "control") == first
    with registry.upload(1 << 20) as upload, zipped.open("rb") as stream:
        upload.write_all(stream)
        assert upload.accept("upload", "ann") == first
        assert not upload.new


def test_a_name_and_version_that_are_taken_are_refused(registry: Registry, sound: Bundle, other: Bundle, tmp_path: Path) -> None:
    entry = registry.add_folder(sound.folder, "shipped", "tests")

    with pytest.raises(VersionTaken, match="plain/1 is taken by another bundle"):
        registry.add_folder(other.folder, "refinement", "loop")
    with pytest.raises(VersionTaken, match="give this one a new version"):
        registry.adopt(other, "configured", "control")
    assert registry.entries() == [entry]
    assert _leftovers(tmp_path) == []


def test_an_adopted_bundle_has_no_report_and_nothing_that_its_card_does_not_name(registry: Registry, sound: Bundle, tmp_path: Path) -> None:
    entry = registry.adopt(sound, "configured", "control")

    assert entry.report is None
    assert entry.as_json()["report"] is None
    registry.verify(entry)
    assert _registry(tmp_path).entries() == [entry]


def test_files_that_the_card_does_not_name_stay_out_and_are_named(registry: Registry, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "made")
    for k in range(7):
        (bundle.folder / f"note{k}.txt").write_text("hello")
    entry = registry.add_folder(bundle.folder, "shipped", "tests")

    assert sorted(path.name for path in entry.folder.iterdir()) == ["card.json", "golden", "members"]
    assert entry.report is not None
    assert entry.report.notes[0].endswith("note0.txt, note1.txt, note2.txt, note3.txt, note4.txt and 2 more")


def test_a_registered_bundle_s_files_are_read_only_and_a_change_is_seen(registry: Registry, sound: Bundle) -> None:
    entry = registry.add_folder(sound.folder, "shipped", "tests")
    files = [path for path in entry.folder.parent.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o222 for path in files} == {0}

    member = entry.folder / "members" / "m01.onnx"
    member.chmod(0o644)
    member.write_bytes(b"other")
    with pytest.raises(BundleError, match=r"m01\.onnx"):
        registry.verify(entry)
    (entry.folder / "card.json").chmod(0o644)
    (entry.folder / "card.json").write_text(json.dumps({**json.loads((entry.folder / "card.json").read_text()), "license": "mine"}))
    with pytest.raises(BundleError, match=r"card\.json of plain 1 has changed"):
        registry.verify(entry)


def test_a_removed_bundle_is_gone_and_its_version_free(registry: Registry, sound: Bundle, other: Bundle, tmp_path: Path) -> None:
    registry.add_folder(sound.folder, "shipped", "tests")
    registry.remove("plain", "1")

    assert registry.entries() == []
    assert [path.name for path in (tmp_path / "registry").iterdir()] == [".scratch"]
    for call in (registry.get, registry.folder_of, registry.remove):
        with pytest.raises(NotRegistered, match="plain 1"):
            call("plain", "1")
    assert registry.add_folder(other.folder, "shipped", "tests").sha256 == other.sha256


@pytest.mark.parametrize(("name", "version"), [("..", ".."), ("../registry", "plain"), ("", ""), ("plain", "../plain/1"), (".scratch", "x")])
def test_a_name_can_not_lead_out_of_the_registry(registry: Registry, sound: Bundle, name: str, version: str) -> None:
    registry.adopt(sound, "configured", "control")

    with pytest.raises(NotRegistered):
        registry.remove(name, version)
    assert len(registry.entries()) == 1


def test_two_that_add_the_same_bundle_at_once_get_the_same_entry(registry: Registry, zipped: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(lambda k: registry.add_archive(zipped, "upload", f"actor {k}"), range(4)))

    assert len(set(map(id, entries))) == 1
    assert registry.entries() == entries[:1]
    assert _leftovers(tmp_path) == []


def test_of_two_bundles_that_want_the_same_version_one_comes_in(registry: Registry, sound: Bundle, other: Bundle) -> None:
    def add(bundle: Bundle) -> RegistryEntry | RegistryError:
        try:
            return registry.add_folder(bundle.folder, "refinement", "loop")
        except RegistryError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(add, (sound, other)))

    assert sorted(type(one).__name__ for one in outcomes) == ["RegistryEntry", "VersionTaken"]
    assert registry.entries() == [one for one in outcomes if isinstance(one, RegistryEntry)]


def test_an_upload_that_is_too_large_or_broken_off_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    with registry.upload(1000) as upload:
        upload.write(bytes(900))
        with pytest.raises(UploadTooLarge, match="more than the 1000 bytes"):
            upload.write(bytes(101))
    with registry.upload(1000) as upload:
        upload.write(bytes(900))

    assert _leftovers(tmp_path) == []


@contextmanager
def _small_disk(place: Path, size: str) -> Iterator[Path]:
    place.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    if not mounted or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=False, capture_output=True).returncode:
        pytest.skip("a small disk can only be made by root, where mounting is allowed")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_and_nothing_is_left_on_it(zipped: Path, sound: Bundle, tmp_path: Path) -> None:
    with _small_disk(tmp_path / "disk", "256k") as disk:
        registry = _registry(disk)
        free = os.statvfs(disk).f_bfree
        with registry.upload(1 << 20) as upload, pytest.raises(NoRoom, match="no room left"):
            upload.write(bytes(1 << 19))
        assert os.statvfs(disk).f_bfree == free
        (disk / "filler").write_bytes(bytes((free - 5) * 4096))
        with pytest.raises(NoRoom, match="no room left"):
            registry.adopt(sound, "configured", "control")
        with pytest.raises(NoRoom, match="no room left"):
            registry.add_archive(zipped, "upload", "kim")
        with pytest.raises(NoRoom, match="no room left"):
            registry.add_folder(sound.folder, "shipped", "kim")
        assert registry.entries() == []
        assert _leftovers(disk) == []
        (disk / "filler").unlink()
        assert os.statvfs(disk).f_bfree == free
        registry.add_archive(zipped, "upload", "kim")


_LIMITED_UPLOAD = """
import resource, sys
from pathlib import Path
from atomstream_service.registry import NoRoom, Registry
registry = Registry(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with registry.upload(1 << 30) as upload:
        upload.write(bytes(200_000))
except NoRoom as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on a file's size")
def test_a_file_that_can_not_grow_is_no_room(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _LIMITED_UPLOAD, str(tmp_path / "registry")], capture_output=True, text=True, timeout=60, check=True)

    assert "no room left" in run.stdout
    assert _leftovers(tmp_path) == []


def _stager_of(folder: Path) -> int | None:
    """The process that stages a bundle of a registry."""
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if "registry.stager" in line and str(folder) in line:
            return int(process.name)
    return None


def _at_check(folder: Path, name: str) -> bool:
    for file in (folder / "registry" / ".scratch").glob("*/report.json"):
        return bool(json.loads(file.read_text())["under_way"] == name)
    return False


_ADDING = """
import sys
from pathlib import Path
from atomstream_service.registry import Registry
Registry(Path(sys.argv[1]), device="cpu", threads=1).add_archive(Path(sys.argv[2]), "upload", "kim")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process under /proc")
def test_after_a_kill_in_the_middle_the_registry_is_as_before_and_the_stager_is_gone(sound: Bundle, endless: Bundle, tmp_path: Path) -> None:
    entry = _registry(tmp_path).add_folder(sound.folder, "shipped", "tests")
    pack(endless.folder, tmp_path / "endless.atomstream")
    adding = subprocess.Popen([sys.executable, "-c", _ADDING, str(tmp_path / "registry"), str(tmp_path / "endless.atomstream")])
    _until(lambda: _at_check(tmp_path, "shapes"))
    adding.kill()
    adding.wait()
    _until(lambda: _stager_of(tmp_path) is None)
    assert len(_leftovers(tmp_path)) == 1

    again = _registry(tmp_path)

    assert again.entries() == [entry]
    assert _leftovers(tmp_path) == []
    again.verify(entry)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process under /proc")
@pytest.mark.parametrize(("number", "said"), [(signal.SIGSEGV, "crashed (SIGSEGV)"), (signal.SIGKILL, "memory runs out (SIGKILL)")])
def test_a_stager_that_crashes_yields_a_report_with_the_check_under_way(endless: Bundle, tmp_path: Path, number: signal.Signals, said: str) -> None:
    registry = _registry(tmp_path)

    def crash() -> None:
        _until(lambda: _at_check(tmp_path, "shapes"))
        os.kill(_stager_of(tmp_path) or 0, number)

    crashing = threading.Thread(target=crash)
    crashing.start()
    with pytest.raises(BundleRefused) as refusal:
        registry.add_folder(endless.folder, "upload", "mallory")
    crashing.join()

    failed = refusal.value.report.failed
    assert failed is not None
    assert (failed.name, said in failed.detail, failed.numbers["exit_code"]) == ("shapes", True, -number)
    assert [check.name for check in refusal.value.report.checks] == list(CheckName)[:8]
    assert registry.entries() == []


def test_a_stager_that_hangs_is_ended_at_its_time_limit(endless: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="took more than the 4 s allowed"):
        _registry(tmp_path, wall_s=4).add_folder(endless.folder, "upload", "mallory")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_stager_s_process_knows_no_secrets_and_stands_back(endless: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_SECRET, "secret")
    seen: dict[str, str] = {}

    def look() -> None:
        _until(lambda: _at_check(tmp_path, "shapes"))
        process = Path("/proc") / str(_stager_of(tmp_path))
        for name in ("environ", "limits", "stat", "oom_score_adj", "maps"):
            seen[name] = (process / name).read_text()
        os.kill(int(process.name), signal.SIGKILL)

    looking = threading.Thread(target=look)
    looking.start()
    with pytest.raises(BundleRefused):
        _registry(tmp_path).add_folder(endless.folder, "upload", "kim")
    looking.join()

    assert _SECRET not in seen["environ"]
    limits = {line[:25].strip(): line[26:].split()[0] for line in seen["limits"].splitlines()}
    assert (limits["Max core file size"], limits["Max data size"], limits["Max cpu time"]) == ("0", str(1 << 30), "3600")
    assert int(seen["stat"].rpartition(")")[2].split()[16]) >= 10
    assert seen["oom_score_adj"].strip() == "1000"


def test_an_archive_that_fails_early_never_meets_the_runtime() -> None:
    program = "import sys\nimport atomstream_service.registry.stager.__main__\nprint(sorted({'onnxruntime', 'zmq', 'fastapi', 'torch'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.strip() == "[]"


def test_an_entry_that_can_not_be_read_is_left_out_and_its_place_is_not_overwritten(
    registry: Registry, sound: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = registry.adopt(sound, "configured", "control").folder.parent
    (home / "entry.json").chmod(0o644)
    (home / "entry.json").write_text("{")
    again = _registry(tmp_path)

    assert again.entries() == []
    assert "left out of the registry" in caplog.text
    with pytest.raises(VersionTaken, match="move it away"):
        again.adopt(sound, "configured", "control")


@contextmanager
def _watched(registry: Registry, folder: Path) -> Iterator[tuple[list[RegistryEntry], list[tuple[Path, RegistryError]]]]:
    added: list[RegistryEntry] = []
    refused: list[tuple[Path, RegistryError]] = []
    with WatchFolder(folder, registry, added.append, lambda path, error: refused.append((path, error)), every_s=0.05, limit_bytes=1 << 20):
        yield added, refused


def _done(folder: Path, count: int) -> bool:
    return len([*folder.glob("accepted/*.json"), *folder.glob("refused/*.json")]) == count and not list(folder.glob("*.atomstream"))


def test_a_bundle_dropped_into_the_watch_folder_is_registered_and_put_aside(registry: Registry, zipped: Path, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    with _watched(registry, drop) as (added, refused):
        for name in ("plain-1.atomstream", "again.atomstream"):
            (drop / name).write_bytes(zipped.read_bytes())
        _until(lambda: _done(drop, 2))

    assert registry.entries() == added
    assert (len(added), refused) == (1, [])
    assert added[0].source == "watch folder"
    assert sorted(path.name for path in (drop / "accepted").glob("*.atomstream")) == ["again.atomstream", "plain-1.atomstream"]
    reports = [json.loads(path.read_text()) for path in (drop / "accepted").glob("*.json")]
    assert sorted(one["new"] for one in reports) == [False, True]
    assert {one["entry"]["sha256"] for one in reports} == {added[0].sha256}


def test_what_the_watch_folder_refuses_is_put_aside_with_its_report(registry: Registry, zipped: Path, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    with _watched(registry, drop) as (added, refused):
        for count in (1, 2):
            (drop / "bad.atomstream").write_bytes(zipped.read_bytes()[:-50])
            _until(lambda count=count: _done(drop, count))  # type: ignore[misc]
        (drop / "big.atomstream").write_bytes(os.urandom(2 << 20))
        _until(lambda: _done(drop, 3))

    assert added == registry.entries() == []
    assert [path.name for path, _ in refused] == ["bad.atomstream", "bad-2.atomstream", "big.atomstream"]
    assert [type(error) for _, error in refused] == [BundleRefused, BundleRefused, UploadTooLarge]
    report = json.loads((drop / "refused" / "bad-2.atomstream.json").read_text())
    assert (report["accepted"], report["file"], report["report"]["checks"][0]["name"]) == (False, "bad.atomstream", "archive")


def test_the_watch_folder_leaves_alone_what_is_unfinished_or_not_meant_for_it(registry: Registry, zipped: Path, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    others = ["plain.atomstream.part", "plain.atomstream.tmp", ".hidden.atomstream", "plain.zip", "notes.txt"]
    data = zipped.read_bytes()
    with _watched(registry, drop) as (added, refused):
        for name in others:
            (drop / name).write_bytes(data)
        (drop / "link.atomstream").symlink_to(zipped)
        with (drop / "slow.atomstream").open("wb", buffering=0) as file:
            for at in range(0, len(data), len(data) // 15):
                file.write(data[at : at + len(data) // 15])
                time.sleep(0.02)
        _until(lambda: added)

    assert (len(added), refused) == (1, [])
    assert sorted(path.name for path in drop.iterdir() if not path.is_dir()) == sorted([*others, "link.atomstream"])
    assert zipped.is_file()


def test_a_listener_that_fails_does_not_end_the_watch(registry: Registry, zipped: Path, tmp_path: Path) -> None:
    seen: list[Path] = []

    def fail(path: Path, error: RegistryError) -> None:
        seen.append(path)
        raise RuntimeError("the journal is closed")

    with WatchFolder(tmp_path / "drop", registry, lambda entry: None, fail, every_s=0.05):
        for count in (1, 2):
            (tmp_path / "drop" / f"{count}.atomstream").write_bytes(b"junk")
            _until(lambda count=count: len(seen) == count)  # type: ignore[misc]


def test_what_nobody_thought_of_is_told_in_the_service_s_log_as_the_stager_s(
    registry: Registry, zipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "odd").mkdir()
    odd = "import atomstream_models.bundle as bundle\ndef unpack(*given): raise RuntimeError('odd\\nthing')\nbundle.unpack = unpack\n"
    (tmp_path / "odd" / "sitecustomize.py").write_text(odd)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "odd"), os.environ.get("PYTHONPATH")])))
    with pytest.raises(BundleRefused) as refusal:
        registry.add_archive(zipped, "upload", "kim")
    told = [record for record in caplog.records if getattr(record, "process_name", "") == "stager"]

    assert refusal.value.report.failed is not None
    assert refusal.value.report.failed.detail == "RuntimeError: odd\nthing"
    assert [record.levelname for record in told] == ["ERROR"]
    assert "Traceback" in told[0].getMessage()


def test_a_stager_s_last_words_are_told_without_the_traceback_that_follows_them() -> None:
    said = json.dumps({"level": "critical", "message": "a bug ends it", "exception": "Traceback (most recent call last):\n  File ...\nValueError: x"})

    assert _end(1, False, StagerLimits(), read_said(said)) == "ended with code 1: a bug ends it"
    assert _end(1, False, StagerLimits(), []) == "ended with code 1: it said nothing"
