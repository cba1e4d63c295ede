from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import make_plain_bundle
from streaming import streaming

from atomstream_models.bundle import Bundle
from atomstream_service.config import Config
from atomstream_service.demo import free_endpoint
from atomstream_service.engine import EngineSpec
from atomstream_service.transport import CommandClient, CommandRefused

WHY = {"actor": "test", "reason": ""}


@dataclass(frozen=True)
class EngineProcess:
    frames: str
    results: str
    commands: CommandClient

    def call(self, operation: str, **arguments: Any) -> Any:
        return self.commands.call(operation, arguments, timeout_s=30).body


@contextlib.contextmanager
def engine_process(bundle: Path, folder: Path, **settings: Any) -> Iterator[EngineProcess]:
    """An engine without a control plane."""
    frames, results, commands = f"tcp://{free_endpoint()}", f"tcp://{free_endpoint()}", f"ipc://{folder}/c"
    config = Config(frames=({"endpoint": frames, "policy": "queue"},), results=results, warm_shapes=((128, 128),), **settings)
    spec = EngineSpec(config=config, commands=commands, bundle=bundle, generation=1, states={}, selected=True)
    (folder / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "atomstream_service.engine", str(folder / "spec.json")]
    engine = EngineProcess(frames, results, CommandClient(commands))
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            engine.commands.call("status", timeout_s=60)
            yield engine
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_swap_under_load_loses_no_frame_and_mixes_nothing(graphene: Bundle, tmp_path: Path) -> None:
    other = make_plain_bundle(tmp_path / "other", biases=(-1.0, -2.0, -1.5), name="other")
    (tmp_path / "run").mkdir()
    sha_at = {1: graphene.sha256}
    with engine_process(graphene.folder, tmp_path / "run") as engine, streaming(engine.frames, engine.results, shape=(128, 128)) as stream:
        stream.wait_for(3)
        for generation in range(2, 12):
            bundle = other if generation % 2 == 0 else graphene
            staged = engine.call("stage", key="next", folder=str(bundle.folder))
            engine.call("swap", key="next", generation=generation, states={}, selected=True, why=WHY)
            sha_at[generation] = staged["sha256"]
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
    with engine_process(graphene.folder, tmp_path / "run") as engine, streaming(engine.frames, engine.results, shape=(128, 128)) as stream:
        with pytest.raises(CommandRefused, match="finite"):
            engine.call("stage", key="bad", folder=str(bad.folder))
        with pytest.raises(CommandRefused) as missing:
            engine.call("stage", key="none", folder=str(tmp_path / "none"))
        with pytest.raises(CommandRefused) as unstaged:
            engine.call("swap", key="bad", generation=9, states={}, selected=True, why=WHY)
        stream.wait_for(len(stream.answers) + 2)
        assert engine.call("status")["ensemble"]["generation"] == 1

    assert (missing.value.code, unstaged.value.code) == ("card", "not_staged")
    assert stream.unanswered == 0


def test_a_staged_bundle_can_be_dropped_and_staged_again(graphene: Bundle, plain_bundle: Bundle, tmp_path: Path) -> None:
    with engine_process(graphene.folder, tmp_path) as engine:
        engine.call("stage", key="a", folder=str(plain_bundle.folder))
        with pytest.raises(CommandRefused) as twice:
            engine.call("stage", key="a", folder=str(plain_bundle.folder))
        assert engine.call("status")["staged"] == ["a"]
        engine.call("drop", key="a")
        assert engine.call("status")["staged"] == []
        engine.call("stage", key="a", folder=str(plain_bundle.folder))

    assert twice.value.code == "staged_already"


def test_commands_are_answered_while_others_wait(graphene: Bundle, tmp_path: Path) -> None:
    with engine_process(graphene.folder, tmp_path) as engine:
        slow = threading.Thread(target=lambda: engine.call("stage", key="again", folder=str(graphene.folder)))
        slow.start()
        assert engine.call("status")["device"] in ("cpu", "cuda")
        slow.join(30)
        assert engine.call("status")["staged"] == ["again"]
