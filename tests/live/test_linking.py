from __future__ import annotations

import io
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from conftest import dots, make_plain_bundle

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.demo import Launched, launched

CENTRES = [(y + 0.3 * x, x) for y in (20.0, 40.0, 60.0) for x in (20.0, 40.0, 60.0, 80.0)]


@pytest.fixture(scope="module")
def linking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    folder = tmp_path_factory.mktemp("linking")
    bundle = make_plain_bundle(folder / "plain")
    with launched(folder / "state", bundle=str(bundle.folder), config="warm_shapes = [[112, 128]]\nmaps = false\n[tracks]\nenabled = true\n") as running:
        yield running


def _shown(first: int, move: float) -> list[tuple[float, float]]:
    return [(y + move, x + move) for y, x in CENTRES[first:]]


def test_atoms_of_a_live_stream_keep_their_ids_while_the_specimen_drifts_and_a_new_session_gets_new_ones(linking: Launched) -> None:
    seen: dict[int, Atoms] = {}
    with ResultSubscriber(linking.results, kinds=("atoms",)) as subscriber:
        for session in (0, 1):
            with FramePublisher("test/tracks", linking.frames) as publisher:
                assert publisher.wait_for_reader()
                time.sleep(0.2)
                for k in range(4):
                    # The first atom is out of sight in the second frame.
                    publisher.publish(dots((112, 128), _shown(int(k == 1), 4.0 * k)), frame=k)
                    answer = subscriber.receive(30)
                    assert isinstance(answer, Atoms)
                    seen[10 * session + k] = answer

    def ids(k: int) -> list[int]:
        rows = seen[k].atoms
        return [int(rows[np.argmin(np.hypot(rows[:, 0] - y, rows[:, 1] - x)), 9]) for y, x in _shown(0, 4.0 * (k % 10))]

    assert [len(seen[k].atoms) for k in range(4)] == [12, 11, 12, 12]
    assert ids(0) == ids(2) == ids(3)
    assert ids(1)[1:] == ids(0)[1:]
    assert sorted(ids(0)) == list(range(12))
    assert sorted(ids(10)) == list(range(12, 24))
    assert all(one.report.tracked for one in seen.values())


def test_a_single_frame_over_rest_is_numbered_and_not_linked(linking: Launched) -> None:
    content = io.BytesIO()
    np.save(content, dots((112, 128), CENTRES))
    answer = httpx.post(f"{linking.url}/v1/infer", content=content.getvalue()).json()

    assert not answer["tracked"]
    assert [row[-1] for row in answer["atoms"]] == list(range(12))
    assert httpx.get(f"{linking.url}/v1/status").json()["tracks"].keys() == {"started", "open", "narrowed", "restarted"}
