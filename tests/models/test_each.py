"""Work that is shared between processors."""

from __future__ import annotations

import threading
import time

import pytest

from atomstream_models.each import Sharing


def test_answers_come_in_the_order_of_the_items_whoever_worked_them_out() -> None:
    def slower_at_first(k: int) -> int:
        time.sleep(0.02 if k < 3 else 0)
        return k * k

    with Sharing(4) as sharing:
        assert sharing.each(slower_at_first, range(20)) == [k * k for k in range(20)]
        assert sharing.each(slower_at_first, []) == []


def test_several_processors_work_and_who_asks_is_one_of_them() -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(k: int) -> str:
        together.wait()
        return threading.current_thread().name

    with Sharing(3) as sharing:
        names = sharing.each(meet, range(3))

    assert len(set(names)) == 3
    assert threading.current_thread().name in names


def test_helpers_that_are_busy_elsewhere_are_not_waited_for() -> None:
    ended = threading.Event()
    with Sharing(3) as sharing:
        busy = threading.Barrier(5, timeout=20)

        def hold(k: int) -> None:
            busy.wait()
            ended.wait(20)

        elsewhere = [threading.Thread(target=sharing.each, args=(hold, range(2))) for _ in range(2)]
        for one in elsewhere:
            one.start()
        # Two who ask and two helpers hold on; a third who asks has all its work to do alone.
        try:
            busy.wait()
            assert sharing.each(lambda k: threading.current_thread().name, range(6)) == 6 * [threading.current_thread().name]
        finally:
            ended.set()
            for one in elsewhere:
                one.join(20)


@pytest.mark.parametrize("processors", [1, 4])
def test_what_goes_wrong_is_told_when_nobody_works_any_more(processors: int) -> None:
    at_work = []

    def fails(k: int) -> None:
        at_work.append(k)
        time.sleep(0.01)
        at_work.remove(k)
        if k % 4 == 3:
            raise ValueError(f"piece {k}")

    with Sharing(processors) as sharing:
        with pytest.raises(ValueError, match="piece"):
            sharing.each(fails, range(16))
        assert not at_work
        assert sharing.each(str, range(3)) == ["0", "1", "2"]


def test_one_processor_does_all_of_it_itself() -> None:
    with Sharing(1) as sharing:
        assert set(sharing.each(lambda k: threading.current_thread().name, range(5))) == {threading.current_thread().name}
