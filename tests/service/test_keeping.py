from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from atomstream_service.engine._keeping import Keeping
from atomstream_service.record import RecordingRequest, Recordings
from atomstream_service.transport import CommandRefused


@pytest.fixture
def recordings(tmp_path: Path) -> Iterator[Recordings]:
    made = Recordings(tmp_path / "recordings")
    yield made
    made.close()


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    made = Keeping(1 << 20, 8, lambda finished: None, lambda source: None)
    yield made
    made.close()


def test_a_recorder_may_be_named_twice_and_another_one_of_its_name_is_refused(recordings: Recordings, keeping: Keeping) -> None:
    one, other = (recordings.start(name, RecordingRequest()) for name in ("one", "other"))
    keeping.start("one", one.endpoint, maps=False)
    keeping.start("one", one.endpoint, maps=False)
    with pytest.raises(CommandRefused, match="by another recorder already"):
        keeping.start("one", other.endpoint, maps=False)

    assert list(keeping.summary()["recorders"]) == ["one"]
