from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from streaming import streaming
from waiting import until

from atomstream_client import Atoms, Failure, FramePublisher, ResultSubscriber
from atomstream_models.bundle import Bundle
from atomstream_service.config import Config
from atomstream_service.control._ensembles import Ensembles, reference
from atomstream_service.control._keeper import Keeper
from atomstream_service.control._meters import Meters
from atomstream_service.control._store import Store
from atomstream_service.control._wish import Lineup, Wish
from atomstream_service.demo import free_endpoints
from atomstream_service.members import MemberState
from atomstream_service.orders import EngineSpec, Wanted
from atomstream_service.transport import CommandClient, CommandRefused, EngineSilent, EngineUnavailable, Reply
from atomstream_wire import Result

WHY = {"actor": "test", "reason": ""}


@dataclass(frozen=True)
class EngineProcess:
    frames: str
    results: str
    commands: CommandClient

    def call(self, operation: str, **arguments: Any) -> Any:
        return self.commands.call(operation, arguments, timeout_s=30).body

    def apply(self, bundle: Bundle, generation: int, **more: Any) -> None:
        wanted = Wanted(generation=generation, sha256=bundle.sha256, folder=bundle.folder, states={}, selected=True, **more)
        self.call("apply", wanted=wanted.model_dump(mode="json"), why=WHY)


@contextlib.contextmanager
def engine_process(bundle: Bundle, folder: Path, **settings: Any) -> Iterator[EngineProcess]:
    """An engine without a control plane."""
    commands = f"ipc://{folder}/c"
    with free_endpoints(2) as ports:
        frames, results = (f"tcp://{port}" for port in ports)
        config = Config(frames=({"endpoint": frames, "policy": "queue"},), results=results, warm_shapes=((128, 128),), **settings)
        wanted = Wanted(generation=1, sha256=bundle.sha256, folder=bundle.folder, states={}, selected=True)
        (folder / "spec.json").write_text(EngineSpec(config=config, commands=commands, wanted=wanted).model_dump_json())
        command = [sys.executable, "-m", "atomstream_service.engine", str(folder / "spec.json")]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            engine = EngineProcess(frames, results, CommandClient(commands, lambda: process.poll() is None))
            try:
                engine.commands.call("status", timeout_s=60)
                yield engine
                assert process.stdin is not None
                process.stdin.close()
                assert process.wait(20) == 0
            finally:
                process.kill()


class Feed:
    """Sends one frame at a time to an engine and waits for what becomes of it."""

    def __init__(self, engine: EngineProcess) -> None:
        self._publisher = FramePublisher("test/feed", engine.frames)
        self._subscriber = ResultSubscriber(engine.results, kinds=("atoms", "error"))

    def __enter__(self) -> Feed:
        assert self._publisher.wait_for_reader()
        time.sleep(0.2)  # the subscription has to reach the engine before its first answer leaves it
        return self

    def __exit__(self, *ignored: object) -> None:
        self._publisher.close()
        self._subscriber.close()

    def send(self, image: NDArray[Any]) -> Result | None:
        self._publisher.publish(image)
        return self._subscriber.receive(20)

    def answer(self, image: NDArray[Any]) -> Atoms:
        result = self.send(image)
        assert isinstance(result, Atoms), result
        return result


def test_a_swap_under_load_loses_no_frame_and_mixes_nothing(graphene: Bundle, tmp_path: Path) -> None:
    other = make_plain_bundle(tmp_path / "other", biases=(-1.0, -2.0, -1.5), name="other")
    (tmp_path / "run").mkdir()
    sha_at = {1: graphene.sha256}
    with engine_process(graphene, tmp_path / "run") as engine, streaming(engine.frames, engine.results, shape=(128, 128)) as stream:
        stream.wait_for(3)
        for generation in range(2, 12):
            bundle = other if generation % 2 == 0 else graphene
            engine.call("stage", sha256=bundle.sha256, folder=str(bundle.folder))
            engine.apply(bundle, generation)
            sha_at[generation] = bundle.sha256
            stream.wait_for(len(stream.answers) + 2)

    assert stream.unanswered == 0
    assert stream.failures == []
    assert {answer.report.ensemble.generation for answer in stream.answers} == set(range(1, 12))
    members = {graphene.sha256: graphene.card.member_ids, other.sha256: other.card.member_ids}
    for answer in stream.answers:
        state = answer.report.ensemble
        assert state.sha256 == sha_at[state.generation]
        assert answer.report.members_used == members[state.sha256]
    seqs = [answer.report.seq for answer in stream.answers]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def test_a_bundle_that_can_not_be_staged_leaves_the_live_one_alone(graphene: Bundle, tmp_path: Path) -> None:
    bad = make_plain_bundle(tmp_path / "bad", biases=(float("nan"), -1.0))
    (tmp_path / "run").mkdir()
    with engine_process(graphene, tmp_path / "run") as engine, streaming(engine.frames, engine.results, shape=(128, 128)) as stream:
        with pytest.raises(CommandRefused, match="finite"):
            engine.call("stage", sha256=bad.sha256, folder=str(bad.folder))
        with pytest.raises(CommandRefused) as missing:
            engine.call("stage", sha256="0" * 64, folder=str(tmp_path / "none"))
        with pytest.raises(CommandRefused, match="finite"):
            engine.apply(bad, 9)
        stream.wait_for(len(stream.answers) + 2)
        assert engine.call("status")["ensemble"]["generation"] == 1

    assert missing.value.code == "card"
    assert stream.unanswered == 0


def test_a_bundle_is_staged_once_and_can_be_dropped(graphene: Bundle, plain_bundle: Bundle, tmp_path: Path) -> None:
    with engine_process(graphene, tmp_path) as engine:
        for _ in range(2):
            engine.call("stage", sha256=plain_bundle.sha256, folder=str(plain_bundle.folder))
            assert engine.call("status")["staged"] == [plain_bundle.sha256]
        engine.call("stage", sha256=graphene.sha256, folder=str(graphene.folder))
        assert engine.call("status")["staged"] == [plain_bundle.sha256]
        engine.call("drop", sha256=plain_bundle.sha256)
        assert engine.call("status")["staged"] == []


def test_an_ensemble_that_fails_in_its_first_frames_gives_way_to_the_last_good_one_and_no_frame_is_lost(tmp_path: Path) -> None:
    good = make_plain_bundle(tmp_path / "good", name="good")
    fragile = make_plain_bundle(tmp_path / "fragile", biases=(-1.0, 2.0), fragile=1, name="fragile")
    (tmp_path / "run").mkdir()
    with engine_process(good, tmp_path / "run") as engine, Feed(engine) as feed:
        feed.answer(dots((64, 64), [(20.0, 20.0)]))
        engine.apply(fragile, 2, trial_frames=3, fallback_generation=3)
        tried = feed.answer(dots((64, 64), [(20.0, 20.0)]) + 1)
        on_trial = engine.call("status")["trial"]
        back = feed.answer(dots((64, 64), [(20.0, 20.0)]) - 5)
        status = engine.call("status")

    assert (tried.report.ensemble.name, tried.report.ensemble.generation) == ("fragile", 2)
    assert (on_trial["frames_left"], on_trial["last_good"]["name"]) == (2, "good")
    assert (back.report.ensemble.name, back.report.ensemble.generation, back.report.members_used) == ("good", 3, ("m00", "m01"))
    assert (status["reverted"]["name"], status["reverted"]["tried_generation"], status["trial"]) == ("fragile", 2, None)
    assert "m01" in status["reverted"]["reason"]
    assert status["failures"] == {}


def test_a_frame_that_the_last_good_ensemble_fails_on_too_is_no_fault_of_the_new_one(tmp_path: Path) -> None:
    good = make_plain_bundle(tmp_path / "good", biases=(2.0,), fragile=0, name="good")
    new = make_plain_bundle(tmp_path / "new", biases=(2.0,), fragile=0, name="new", version="2")
    (tmp_path / "run").mkdir()
    with engine_process(good, tmp_path / "run") as engine, Feed(engine) as feed:
        engine.apply(new, 2, trial_frames=3, fallback_generation=3)
        refused = feed.send(dots((64, 64), [(20.0, 20.0)]) - 5)
        answered = feed.answer(dots((64, 64), [(20.0, 20.0)]) + 1)

    assert isinstance(refused, Failure)
    assert refused.code == "no_member"
    assert (answered.report.ensemble.name, answered.report.ensemble.generation) == ("new", 2)


def test_a_trial_ends_after_its_frames_and_the_old_ensemble_can_come_back_within_it(graphene: Bundle, plain_bundle: Bundle, tmp_path: Path) -> None:
    with engine_process(graphene, tmp_path) as engine, Feed(engine) as feed:
        engine.apply(plain_bundle, 2, trial_frames=2, fallback_generation=3)
        engine.apply(graphene, 4, trial_frames=2, fallback_generation=5)
        went_back = engine.call("status")
        engine.apply(plain_bundle, 6, trial_frames=2, fallback_generation=7)
        for _ in range(2):
            feed.answer(dots((64, 64), [(20.0, 20.0)]))
        settled = engine.call("status")

    assert (went_back["ensemble"]["name"], went_back["ensemble"]["generation"], went_back["trial"]) == ("graphene", 4, None)
    assert (settled["ensemble"]["name"], settled["trial"]) == ("plain", None)


def test_a_candidate_is_compared_with_the_live_ensemble_and_becomes_live_without_loading(tmp_path: Path) -> None:
    live = make_plain_bundle(tmp_path / "live", biases=(-4.0, -4.0))
    candidate = make_plain_bundle(tmp_path / "candidate", biases=(-5.0, -4.5, -4.0), name="candidate")
    (tmp_path / "run").mkdir()
    with engine_process(live, tmp_path / "run", shadow_every=1) as engine, Feed(engine) as feed:
        engine.call("set_candidate", sha256=candidate.sha256, folder=str(candidate.folder), why=WHY)
        for _ in range(3):
            answer = feed.answer(dots((64, 64), [(20.0, 20.0), (40.0, 44.0)]))
            assert answer.report.ensemble.name == "plain"
        compared = until(lambda: engine.call("status")["candidate"], lambda one: one["frames"] == 3)
        engine.apply(candidate, 2)
        status = engine.call("status")
        engine.call("set_candidate", sha256=live.sha256, folder=str(live.folder), why=WHY)
        engine.call("set_candidate", sha256=None, folder=None, why=WHY)
        assert engine.call("status")["candidate"] is None

    assert compared["name"] == "candidate"
    assert compared["agreement"]["f1"] == 1.0
    assert compared["agreement"]["count_ratio"] == 1.0
    assert compared["agreement"]["std"] > 0
    assert compared["agreement"]["live_std"] == 0
    assert compared["agreement"]["latency_ms"] > 0
    assert (status["ensemble"]["name"], status["candidate"], status["staged"]) == ("candidate", None, [])


def test_a_candidate_that_fails_says_why_and_disturbs_nobody(tmp_path: Path) -> None:
    live = make_plain_bundle(tmp_path / "live", biases=(-1.0, -1.0))
    candidate = make_plain_bundle(tmp_path / "candidate", biases=(-1.0, 2.0), fragile=1, name="candidate")
    (tmp_path / "run").mkdir()
    with engine_process(live, tmp_path / "run", shadow_every=1) as engine, Feed(engine) as feed:
        engine.call("set_candidate", sha256=candidate.sha256, folder=str(candidate.folder), why=WHY)
        answer = feed.answer(dots((64, 64), [(20.0, 20.0)]) - 5)
        seen = until(lambda: engine.call("status")["candidate"], lambda one: one["failed"] == 1)

    assert answer.report.members_used == ("m00", "m01")
    assert "m01" in seen["failure"]


def test_commands_are_answered_while_others_wait(graphene: Bundle, plain_bundle: Bundle, tmp_path: Path) -> None:
    with engine_process(graphene, tmp_path) as engine:
        slow = threading.Thread(target=lambda: engine.call("stage", sha256=plain_bundle.sha256, folder=str(plain_bundle.folder)))
        slow.start()
        assert engine.call("status")["device"] in ("cpu", "cuda")
        slow.join(30)
        assert engine.call("status")["staged"] == [plain_bundle.sha256]


@pytest.mark.parametrize("silent", ["stage", "apply"])
def test_an_ensemble_that_was_loaded_for_a_silent_engine_s_activation_does_not_stay_in_memory(silent: str, plain_bundle: Bundle, tmp_path: Path) -> None:
    other = make_plain_bundle(tmp_path / "other", biases=(-1.0, -2.0, -1.5), name="other")
    shelf = {("plain", "1"): plain_bundle, ("other", "1"): other}
    store = Store(tmp_path / "state")
    heard = threading.Event()
    if silent == "apply":
        heard.set()
    with engine_process(plain_bundle, tmp_path) as engine:

        def call(operation: str, arguments: Mapping[str, Any], *, timeout_s: float) -> Reply:
            if not heard.is_set() and operation == "stage":
                threading.Thread(target=engine.commands.call, args=(operation, arguments), kwargs={"timeout_s": 60}).start()
            if not heard.is_set():
                raise EngineSilent("its answer is not waited for")
            return engine.commands.call(operation, arguments, timeout_s=timeout_s)

        def tell(wish: Wish, why: Mapping[str, str], patience_s: float) -> None:
            raise EngineSilent("it has not heard of it yet")

        live = Lineup(reference(plain_bundle), dict.fromkeys(plain_bundle.card.member_ids, MemberState.ENABLED), False)
        keeper = Keeper(Wish(live, 1), store, tell)
        meters = Meters(CollectorRegistry())
        ensembles = Ensembles(keeper, lambda *key: shelf[key], call, meters, min_active=1, trial_frames=0, load_s=60)
        with pytest.raises(EngineSilent):
            ensembles.activate("other", "1", "kim", "")
        until(lambda: engine.call("status")["staged"], lambda staged: staged == [other.sha256])
        heard.set()
        ensembles.let_go(engine.call("status"))
        kept = engine.call("status")["staged"]
        if silent == "apply":  # the engine is to have it, so it waits; then somebody thinks better of it before the engine has heard of it
            with pytest.raises(EngineSilent):
                ensembles.activate("plain", "1", "kim", "")
            ensembles.let_go(engine.call("status"))

        assert kept == ([] if silent == "stage" else [other.sha256])
        assert engine.call("status")["staged"] == []
    store.close()


def test_an_engine_that_is_being_stopped_leaves_no_command_without_an_answer(plain_bundle: Bundle, tmp_path: Path) -> None:
    answers: list[str] = []

    def command(engine: EngineProcess, first: int) -> None:
        for generation in range(first, 100_000, 8):
            try:
                engine.apply(plain_bundle, generation)
                engine.call("set_candidate", sha256=None, folder=None, why=WHY)
            except EngineSilent:
                answers.append("silent")
                return
            except EngineUnavailable:
                answers.append("ended")
                return

    # Leaving the context, the engine is told to stop, and has to end by itself.
    with engine_process(plain_bundle, tmp_path) as engine:
        asking = [threading.Thread(target=command, args=(engine, 2 + k)) for k in range(8)]
        for one in asking:
            one.start()
        until(lambda: engine.call("status")["ensemble"]["generation"], lambda generation: generation > 20)
    for one in asking:
        one.join()

    assert answers == ["ended"] * 8
