"""A state folder that was damaged, or left by another version."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from atomstream_service.control._keeper import restored
from atomstream_service.control._store import Entry, Store, StoreUnusable
from atomstream_service.control._wish import EnsembleRef, Lineup
from atomstream_service.members import MemberState

CONFIGURED = Lineup(EnsembleRef("plain", "1", "0" * 64), {"m00": MemberState.ENABLED}, False)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ("{", "holds of 'wish' can't be read"),
        ('{"live": 1}', "KeyError: 'trial'"),
        ("[]", "TypeError"),
        (
            json.dumps({"generation": "x", "live": {"ensemble": {}, "states": {}, "selected": 0}, "trial": None, "candidate": None, "earlier": []}),
            "EnsembleRef",
        ),
    ],
)
def test_a_remembered_state_that_can_not_be_read_is_named_with_its_folder(tmp_path: Path, wish: str, why: str) -> None:
    restored(store := Store(tmp_path), CONFIGURED, lambda ref: True)
    store.close()
    with sqlite3.connect(tmp_path / "atomstream.sqlite") as database:
        database.execute("UPDATE state SET value = ? WHERE name = 'wish'", (wish,))
    database.close()

    store = Store(tmp_path)
    with pytest.raises(StoreUnusable, match=re.escape(str(tmp_path))) as refused:
        restored(store, CONFIGURED, lambda ref: True)
    store.close()
    assert why in str(refused.value)


def test_a_database_that_has_lost_its_end_is_named_with_its_folder(tmp_path: Path) -> None:
    restored(store := Store(tmp_path), CONFIGURED, lambda ref: True)
    for k in range(200):
        store.record(Entry("kim", "set_members", f"m{k}", "x" * 500, None, None, k), {f"state {k}": "x" * 500})
    store.close()
    file = tmp_path / "atomstream.sqlite"
    file.write_bytes(file.read_bytes()[: 3 * 4096])

    with pytest.raises(StoreUnusable, match=f"{re.escape(str(tmp_path))}.*damaged"):
        Store(tmp_path)


def test_a_folder_that_another_service_holds_is_said_to_be_held(tmp_path: Path) -> None:
    first = Store(tmp_path)

    with pytest.raises(StoreUnusable, match=f"{re.escape(str(tmp_path))}.*another service holds it"):
        Store(tmp_path)
    first.close()
