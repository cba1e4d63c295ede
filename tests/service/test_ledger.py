from __future__ import annotations

import time

from atomstream_service.engine._ledger import Ledger


def test_a_jump_in_seq_is_a_loss_at_the_source() -> None:
    ledger = Ledger()
    for seq in (4, 5, 9, 10):
        assert ledger.arrived("x", "s", seq) is None

    assert ledger.summary()["x"]["sequence_gaps"] == 1
    assert ledger.dropped("x") == {"source_gap": 3, "queue": 0, "late": 0, "rejected": 0}


def test_a_frame_that_a_newer_one_has_overtaken_is_late() -> None:
    ledger = Ledger()
    ledger.arrived("x", "s", 4)

    assert ledger.arrived("x", "s", 3) == 4
    assert ledger.arrived("x", "s", 4) == 4
    assert ledger.dropped("x")["late"] == 2


def test_a_new_session_starts_afresh() -> None:
    ledger = Ledger()
    ledger.arrived("x", "one", 100)

    assert ledger.arrived("x", "two", 0) is None
    assert sum(ledger.dropped("x").values()) == 0


def test_sources_are_counted_apart() -> None:
    ledger = Ledger()
    ledger.arrived("x", "s", 0)
    ledger.lost("x", "queue")
    ledger.lost("y", "rejected")
    ledger.answered("x", time.time())
    ledger.passed_over("x")

    summary = ledger.summary()
    assert float(str(summary["x"].pop("frames_per_s"))) > 0
    assert 0 <= float(str(summary["x"].pop("age_s"))) < 60
    assert summary["y"]["age_s"] is None
    assert summary["x"] == {"received": 1, "answered": 1, "partial": 1, "sequence_gaps": 0, "dropped": {"source_gap": 0, "queue": 1, "late": 0, "rejected": 0}}
    assert summary["y"]["received"] == 0


def test_endless_new_sources_do_not_grow_the_accounts_without_bound() -> None:
    ledger = Ledger()
    for k in range(5000):
        ledger.arrived(f"source {k}", "s", 0)

    assert len(ledger.summary()) < 1000
    assert sum(int(str(one["received"])) for one in ledger.summary().values()) == 5000
