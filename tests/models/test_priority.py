from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from atomstream_models.priority import stand_back


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ranks threads")
def test_a_thread_alone_stands_back_and_never_comes_forward() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    with ThreadPoolExecutor(1, initializer=stand_back, initargs=(before + 3,)) as behind:
        assert behind.submit(niceness).result() == before + 3
        behind.submit(stand_back, 0).result()
        assert behind.submit(niceness).result() == before + 3
    assert niceness() == before
