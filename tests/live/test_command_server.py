"""Commands to an engine over a real socket, where some wait long."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from atomstream_service.transport import CommandClient, CommandServer, EngineSilent, Reply


class Waiting:
    """Answers anything at once, but `wait` only once it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.waiting = threading.Semaphore(0)

    def __call__(self, operation: str, arguments: Mapping[str, Any], buffers: Sequence[Any]) -> Reply:
        if operation == "wait":
            self.waiting.release()
            assert self.let_go.wait(60)
        return Reply({"operation": operation, **arguments}, buffers)


@pytest.fixture
def handler() -> Waiting:
    return Waiting()


@pytest.fixture
def commands(handler: Waiting, tmp_path: Path) -> Iterator[CommandClient]:
    endpoint = f"ipc://{tmp_path}/commands"
    server = CommandServer(endpoint, handler, threads=4)
    yield CommandClient(endpoint)
    server.close()


@contextmanager
def waiting(commands: CommandClient, handler: Waiting, count: int) -> Iterator[None]:
    """While so many commands wait."""
    threads = [threading.Thread(target=commands.call, args=("wait",), kwargs={"timeout_s": 60}) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
            assert handler.waiting.acquire(timeout=30)
        yield
        assert all(thread.is_alive() for thread in threads)
    finally:
        handler.let_go.set()
        for thread in threads:
            thread.join(30)


def test_what_can_be_answered_at_once_never_stands_behind_what_waits(handler: Waiting, commands: CommandClient) -> None:
    with waiting(commands, handler, 3):  # of four threads
        answers = [commands.call("status", {"k": k}, [b"array"], timeout_s=30) for k in range(40)]

    assert [answer.body for answer in answers] == [{"operation": "status", "k": k} for k in range(40)]
    assert all(list(answer.buffers) == [b"array"] for answer in answers)


def test_where_every_thread_waits_a_command_is_kept_for_the_first_that_is_done(handler: Waiting, commands: CommandClient) -> None:
    answers: list[Reply] = []
    late = threading.Thread(target=lambda: answers.append(commands.call("status", timeout_s=60)))
    with waiting(commands, handler, 4):
        late.start()
        with pytest.raises(EngineSilent, match="'status'"):
            commands.call("status", timeout_s=0.5)  # its reply has nobody left to go to, and disturbs nobody
        assert not answers

    late.join(30)
    assert [answer.body for answer in answers] == [{"operation": "status"}]
