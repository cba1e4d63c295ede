from __future__ import annotations

import threading
from pathlib import Path

from conftest import make_plain_bundle

from atomstream_service.demo import Launched, launched

_CLIENTS, _EACH = 4, 250


def test_a_thousand_changes_from_four_clients_at_once_are_all_journalled_in_the_order_of_their_generations(tmp_path: Path) -> None:
    plain = make_plain_bundle(tmp_path / "plain", biases=(-1.0, -1.5, -2.0, -2.5, -3.0))
    answered: dict[str, list[int]] = {}

    def change(service: Launched, number: int) -> None:
        control = service.control(f"client {number}")
        answered[f"client {number}"] = [
            control.set_member(f"m{number:02d}", "disabled" if k % 2 == 0 else "enabled", reason=f"change {k}") for k in range(_EACH)
        ]

    with launched(tmp_path / "state", bundle=str(plain.folder), config="warm_shapes = [[64, 64]]\n") as service:
        clients = [threading.Thread(target=change, args=(service, number)) for number in range(_CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        control, lines, last = service.control(), [], 0
        while page := control.journal(after=last, limit=1000):
            lines += [line for line in page if line["action"] == "set_members"]
            last = page[-1]["id"]
        generation = control.status()["ensemble"]["generation"]

    assert len(lines) == _CLIENTS * _EACH
    generations = [line["generation"] for line in lines]
    assert generations == sorted(set(generations))
    assert generations[-1] == generation
    for name, told in answered.items():
        own = [line for line in lines if line["actor"] == name]
        assert [line["generation"] for line in own] == told
        assert [line["reason"] for line in own] == [f"change {k}" for k in range(_EACH)]
