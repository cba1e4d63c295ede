from __future__ import annotations

import threading

import pytest

from atomstream_service.config import FramesEndpoint, Policy
from atomstream_service.engine._intake import Intake
from atomstream_service.engine._slot import Slot
from atomstream_service.transport import CommandRefused


def _slot(policy: Policy, depth: int = 3) -> tuple[Slot[int], list[int], threading.Condition]:
    dropped: list[int] = []
    changed = threading.Condition()
    return Slot(policy, depth, changed, dropped.append), dropped, changed


def _drain(slot: Slot[int], changed: threading.Condition) -> list[int]:
    with changed:
        return list(iter(slot.pop, None))


@pytest.mark.parametrize(("policy", "kept", "dropped"), [("latest", [9], list(range(9))), ("queue", [7, 8, 9], list(range(7)))])
def test_the_newest_frames_are_kept_and_every_other_one_is_counted(policy: Policy, kept: list[int], dropped: list[int]) -> None:
    slot, gone, changed = _slot(policy)
    for k in range(10):
        slot.put(k)

    assert _drain(slot, changed) == kept
    assert gone == dropped


def test_block_makes_the_sender_wait_and_loses_nothing() -> None:
    slot, gone, changed = _slot("block")

    def send() -> None:
        for k in range(50):
            slot.put(k)

    sender = threading.Thread(target=send)
    sender.start()
    got: list[int] = []
    while len(got) < 50:
        got += _drain(slot, changed)
    sender.join(5)

    assert got == list(range(50))
    assert gone == []


def test_closing_lets_a_waiting_sender_go_and_counts_its_frame() -> None:
    slot, gone, _ = _slot("block", depth=1)
    slot.put(0)
    sender = threading.Thread(target=slot.put, args=(1,))
    sender.start()
    slot.close()
    sender.join(5)

    assert not sender.is_alive()
    assert gone == [1]


def _intake(endpoints: int) -> Intake[str]:
    return Intake([FramesEndpoint(policy="queue", depth=4) for _ in range(endpoints)], 2, lambda item: None)


def test_sockets_and_requests_take_turns() -> None:
    intake = _intake(2)
    for k in range(2):
        intake.frames[0].put(f"a{k}")
        intake.frames[1].put(f"b{k}")
        intake.request(f"r{k}")

    assert [intake.take(0) for _ in range(7)] == ["a0", "b0", "r0", "a1", "b1", "r1", None]


def test_a_command_comes_before_waiting_frames() -> None:
    intake = _intake(1)
    intake.frames[0].put("a")
    done: list[str] = []
    intake.command(lambda: done.append("changed"))
    first = intake.take(0)
    assert callable(first)
    first()

    assert done == ["changed"]
    assert intake.take(0) == "a"


def test_more_requests_than_may_wait_are_refused() -> None:
    intake = _intake(1)

    assert [intake.request(str(k)) for k in range(3)] == [True, True, False]


def test_a_closed_intake_refuses_commands_and_requests_and_gives_out_what_waits() -> None:
    intake = _intake(1)
    intake.request("r")
    intake.close()
    for ask in (lambda: intake.command(lambda: None), lambda: intake.request("late")):
        with pytest.raises(CommandRefused) as refusal:
            ask()
        assert refusal.value.code == "stopping"

    assert [intake.take(0), intake.take(0)] == ["r", None]


def test_a_frame_wakes_the_waiting_inference_thread() -> None:
    intake = _intake(1)
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(intake.take(30)))
    waiting.start()
    intake.frames[0].put("a")
    waiting.join(5)

    assert got == ["a"]


def test_what_may_be_done_aside_waits_for_frames_and_commands() -> None:
    intake = _intake(2)
    done: list[str] = []
    intake.aside(lambda: done.append("aside"))
    intake.frames[0].put("first")
    intake.frames[1].put("second")
    intake.command(lambda: done.append("command"))
    taken = [intake.take(0.1) for _ in range(4)]

    assert taken[1:3] == ["first", "second"]
    for one in (taken[0], taken[3]):
        assert callable(one)
        one()
    assert done == ["command", "aside"]
    assert intake.take(0.0) is None
