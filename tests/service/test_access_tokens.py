"""Tokens in their file, roles in their table, and the command that makes them; no service runs here."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from atomstream_service.access import (
    ADMIN,
    OPEN,
    OPERATOR,
    VIEWER,
    AccessFileError,
    BadName,
    Caller,
    Denied,
    Gatekeeper,
    Role,
    Rules,
    Throttle,
    TokenFile,
    TokenRecord,
    UnknownKey,
    bearer_token,
    lifetime,
    same_origin,
)
from atomstream_service.cli import main

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_recognised_and_its_file_holds_only_a_hash(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.add("kim", Role.OPERATOR)
    found = tokens.check(token)

    assert isinstance(found, TokenRecord)
    assert (found.name, found.role) == ("kim", Role.OPERATOR)
    secret = token.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in tokens.path.read_text()
    assert _mode(tokens.path) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["access.json"]


@pytest.mark.parametrize(
    "change", [lambda token: token[:-1], lambda token: f"{token}x", lambda token: token.upper(), lambda token: "", lambda token: "ast__", str.swapcase]
)
def test_what_is_nearly_a_token_is_none(tmp_path: Path, change: object) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.add("kim", Role.ADMIN)

    assert callable(change)
    assert tokens.check(change(token)) is Denied.UNKNOWN


def test_a_token_ends_when_it_was_said_to(tmp_path: Path) -> None:
    now = NOON
    tokens = TokenFile(tmp_path, lambda: now)
    token = tokens.add("kim", Role.VIEWER, lifetime("30d"))
    now = NOON + timedelta(days=30, seconds=-1)
    before = tokens.check(token)
    now = NOON + timedelta(days=30)

    assert isinstance(before, TokenRecord)
    assert tokens.check(token) is Denied.EXPIRED
    assert list(tokens.valid()) == []
    assert [one.name for one in tokens.records()] == ["kim"]


def test_another_process_s_changes_count_at_once(tmp_path: Path) -> None:
    reader, writer = TokenFile(tmp_path), TokenFile(tmp_path)
    early = reader.check("ast_0_0")
    first, second = writer.add("kim", Role.VIEWER), writer.add("lee", Role.ADMIN)
    added = reader.check(first), reader.check(second)
    writer.revoke("kim")

    assert early is Denied.UNKNOWN
    assert all(isinstance(one, TokenRecord) for one in added)
    assert reader.check(first) is Denied.UNKNOWN
    assert isinstance(reader.check(second), TokenRecord)


def test_a_damaged_file_lets_nobody_in_and_is_named(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.add("kim", Role.VIEWER)
    content = tokens.path.read_text()
    tokens.path.write_text(content[:-20])

    assert tokens.check(token) is Denied.UNKNOWN
    with pytest.raises(AccessFileError, match=r"access\.json") as refusal:
        tokens.add("lee", Role.VIEWER)
    assert json.loads(content)["tokens"][0]["sha256"] not in str(refusal.value)


def test_two_commands_can_t_change_the_file_at_once(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    (tmp_path / "access.json.lock").touch()

    with pytest.raises(AccessFileError, match=r"access\.json\.lock"):
        tokens.add("kim", Role.VIEWER)


@pytest.mark.parametrize("name", ["", "../kim", "a b", "-x", "x" * 65, "kim\n"])
def test_a_name_that_could_not_stand_in_a_journal_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadName):
        TokenFile(tmp_path).add(name, Role.VIEWER)


@pytest.mark.parametrize("text", ["", "30", "0d", "30 d", "1y", "-1d"])
def test_a_lifetime_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        lifetime(text)


def test_names_are_unique_and_a_wrong_one_is_answered_with_those_there_are(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    tokens.add("kim", Role.VIEWER)

    with pytest.raises(AccessFileError, match="'kim'"):
        tokens.add("kim", Role.ADMIN)
    with pytest.raises(UnknownKey, match="kim"):
        tokens.revoke("lee")


def test_each_role_may_what_lesser_ones_may() -> None:
    assert [[one.allows(needed) for needed in Role] for one in Role] == [[True, False, False], [True, True, False], [True, True, True]]


@pytest.mark.parametrize(
    ("method", "path", "rule"),
    [
        ("GET", "/a", OPEN),
        ("HEAD", "/a", OPEN),
        ("GET", "/a/x", OPERATOR),
        ("GET", "/a/b", ADMIN),
        ("GET", "/a/x/y", ADMIN),
        ("GET", "/pages/x/y.js", VIEWER),
        ("POST", "/a", ADMIN),
        ("GET", "/nowhere", ADMIN),
        ("GET", "/a/", ADMIN),
        ("GET", "/a\nGET /a", ADMIN),
    ],
)
def test_a_request_needs_what_the_strictest_line_about_it_says_and_admin_where_none_is(method: str, path: str, rule: object) -> None:
    rules = Rules({"GET /a": OPEN, "GET /a/{id}": OPERATOR, "GET /a/b": ADMIN, "GET /pages/{file:path}": VIEWER})

    assert rules.of(method, path) == rule


def test_who_keeps_failing_is_slowed_down_and_memory_stays_bounded() -> None:
    now = 0.0
    throttle = Throttle(burst=3, every_s=2.0, most=10, clock=lambda: now)
    first = [throttle.failed("10.0.0.1") for _ in range(5)]
    other = throttle.failed("10.0.0.2")
    now = 2.0
    later = [throttle.failed("10.0.0.1") for _ in range(2)]
    for k in range(1000):
        throttle.failed(f"10.0.1.{k}")
    neighbours = [throttle.failed(f"fd00::{k}") for k in range(4)]

    assert first == [True, True, True, False, False]
    assert other
    assert later == [True, False]
    assert len(throttle) == 10
    assert neighbours == [True, True, True, False]


@pytest.mark.parametrize(
    ("address", "headers", "let_in"),
    [
        ("127.0.0.1", {}, True),
        ("127.8.9.10", {}, True),
        ("::1", {}, True),
        ("127.0.0.1", {"x-forwarded-for": "127.0.0.1"}, False),
        ("127.0.0.1", {"forwarded": "for=10.0.0.1"}, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False),
        ("10.0.0.1", {}, False),
        ("fd00::1", {}, False),
        (None, {}, False),
    ],
)
def test_only_this_machine_itself_needs_no_token(tmp_path: Path, address: str | None, headers: dict[str, str], let_in: bool) -> None:
    tokens = TokenFile(tmp_path)
    open_here, closed = Gatekeeper(tokens, "loopback-open"), Gatekeeper(tokens, "token")

    assert isinstance(open_here.admit(address, headers, Role.ADMIN, "x"), Caller) is let_in
    assert closed.admit(address, headers, Role.VIEWER, "x") is Denied.MISSING
    assert closed.counts()["missing"] == 1


def test_a_false_token_is_no_better_than_none_on_this_machine_either(tmp_path: Path) -> None:
    keeper = Gatekeeper(TokenFile(tmp_path), "loopback-open")

    assert keeper.admit("127.0.0.1", {"authorization": "Bearer ast_0_0"}, Role.VIEWER, "x") is Denied.UNKNOWN


def test_a_good_token_is_let_in_from_where_others_have_failed(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    good = {"authorization": f"Bearer {tokens.add('kim', Role.VIEWER)}"}
    keeper = Gatekeeper(tokens, "token", Throttle(burst=2))
    failed = [keeper.admit("10.0.0.1", {"authorization": "Bearer x"}, Role.VIEWER, "x") for _ in range(4)]

    assert failed == [Denied.UNKNOWN, Denied.UNKNOWN, Denied.THROTTLED, Denied.THROTTLED]
    assert keeper.admit("10.0.0.1", good, Role.VIEWER, "x") == Caller("kim", Role.VIEWER, "10.0.0.1")
    assert keeper.admit("10.0.0.1", good, Role.ADMIN, "x") is Denied.FORBIDDEN
    assert keeper.counts() == {"missing": 0, "unknown": 2, "expired": 0, "forbidden": 1, "throttled": 2}


def test_what_is_not_let_in_is_logged_without_its_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = TokenFile(tmp_path)
    token = tokens.add("kim", Role.VIEWER)
    tokens.revoke("kim")
    Gatekeeper(tokens, "token").admit("10.0.0.1", {"authorization": f"Bearer {token}"}, Role.VIEWER, "GET '/v1/status'")

    assert "GET '/v1/status' from 10.0.0.1" in caplog.text
    assert token[:20] not in caplog.text


def test_a_token_comes_in_the_header_or_as_a_websocket_s_protocol() -> None:
    assert bearer_token({"authorization": "bearer abc"}) == "abc"
    assert bearer_token({"authorization": "Basic abc"}) is None
    assert bearer_token({"sec-websocket-protocol": "atomstream.v1, bearer.abc"}) == "abc"
    assert bearer_token({"sec-websocket-protocol": "atomstream.v1"}) is None


@pytest.mark.parametrize(
    ("origin", "ours"),
    [
        (None, True),
        ("http://127.0.0.1:8000", True),
        ("https://scope.example", True),
        ("http://127.0.0.1:9000", True),
        ("http://evil.example", False),
        ("http://evil.example:8000", False),
        ("null", False),
        ("", False),
    ],
)
def test_pages_of_others_are_told_from_our_own(origin: str | None, ours: bool) -> None:
    headers = {"host": "127.0.0.1:8000", **({} if origin is None else {"origin": origin})}

    assert same_origin(headers, frozenset({"127.0.0.1", "scope.example"})) is ours


def test_the_journal_names_the_token_whoever_it_says_to_act_for() -> None:
    kim = Caller("kim", Role.OPERATOR, "10.0.0.1")

    assert kim.actor(None) == "kim (operator)"
    assert kim.actor("lee") == "kim (operator) for lee"
    assert Caller(None, Role.ADMIN, "127.0.0.1").actor("lee") == "lee"
    assert Caller(None, Role.ADMIN, "127.0.0.1").actor(None) == "anonymous@127.0.0.1"


def test_the_command_makes_lists_and_revokes_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path)]
    assert main(["keys", "token", "add", "kim", "--role", "operator", "--expires", "30d", *state]) == 0
    token = capsys.readouterr().out.strip()
    found = TokenFile(tmp_path).check(token)
    assert main(["keys", "token", "list", "--json", *state]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert main(["keys", "token", "list", *state]) == 0
    table = capsys.readouterr().out
    assert main(["keys", "token", "revoke", "kim", *state]) == 0
    assert main(["keys", "token", "revoke", "kim", *state]) == 1

    assert isinstance(found, TokenRecord)
    assert [(one["name"], one["role"]) for one in listed] == [("kim", "operator")]
    assert datetime.fromisoformat(listed[0]["expires"]) - datetime.fromisoformat(listed[0]["created"]) == timedelta(days=30)
    assert "operator" in table
    assert found.sha256 not in table
    assert TokenFile(tmp_path).check(token) is Denied.UNKNOWN


def test_the_command_says_what_was_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "token", "add", "k/im", "--role", "viewer", "--state", str(tmp_path)]) == 1
    assert "'k/im'" in capsys.readouterr().err
    assert main(["keys", "token", "add", "kim", "--role", "viewer", "--expires", "soon", "--state", str(tmp_path)]) == 1
    assert "'soon'" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
