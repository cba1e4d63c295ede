"""Keys for ZeroMQ: who is let in, on a real service and on real sockets."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import zmq
from conftest import dots, make_plain_bundle

from atomstream_client import Atoms, BadKeys, BadMessage, ClientError, CurveKeys, FramePublisher, KeysRefused, ResultSubscriber
from atomstream_service.access import AccessFileError, AccessRefused, CurveFolder, KeyPair, TokenFile, check_listening
from atomstream_service.access import Role as TokenRole
from atomstream_service.cli import main
from atomstream_service.config import Config, FramesEndpoint, load_config
from atomstream_service.demo import Launched, launched
from atomstream_service.transport import CurveGuard, CurveUnusable, FrameSocket, ResultSocket, new_key_pair

IMAGE = dots((56, 64), [(20.0, 30.0), (40.0, 10.0)])


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with the service's keys and one client's."""
    folder = tmp_path_factory.mktemp("curve") / "state"
    assert main(["keys", "curve", "init", "--state", str(folder)]) == 0
    assert main(["keys", "curve", "add", "nion", "--state", str(folder), "--out", str(folder / "nion.json")]) == 0
    return folder


@pytest.fixture(scope="module")
def guarded(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    bundle = make_plain_bundle(tmp_path_factory.mktemp("plain"))
    with launched(state, bundle=str(bundle.folder), config="curve = true") as running:
        yield running


def _strange(state: Path) -> CurveKeys:
    """A pair of keys that the service does not know."""
    return CurveKeys(*new_key_pair(), server=CurveFolder(state).service_pair().public)


def _answered(service: Launched, curve: CurveKeys | Path) -> Atoms:
    with FramePublisher("curve/scope", service.frames, curve=curve) as publisher, ResultSubscriber(service.results, kinds=("atoms",), curve=curve) as results:
        assert publisher.wait_for_reader(10)
        time.sleep(0.3)
        assert publisher.publish(IMAGE)
        answer = results.receive(20)
    assert isinstance(answer, Atoms)
    return answer


def _zeromq(service: Launched) -> dict[str, int]:
    refused: dict[str, int] = service.control().status()["access"]["zeromq"]
    return refused


def _grows(service: Launched, before: dict[str, int], reason: str) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if _zeromq(service)[reason] > before[reason]:
            return True
        time.sleep(0.1)
    return False


def test_the_right_key_streams_and_is_answered(guarded: Launched, state: Path) -> None:
    assert len(_answered(guarded, state / "nion.json").atoms) == 2


def test_an_unknown_key_gets_nothing_hears_why_and_is_counted(guarded: Launched, state: Path) -> None:
    before = _zeromq(guarded)
    with FramePublisher("x", guarded.frames, curve=_strange(state)) as publisher, pytest.raises(KeysRefused, match="does not know this key"):
        publisher.wait_for_reader(10)
    with ResultSubscriber(guarded.results, curve=_strange(state)) as results, pytest.raises(KeysRefused, match="does not know this key"):
        results.receive(10)

    assert _grows(guarded, before, "unknown_key")


def test_no_key_gets_nothing_hears_why_and_is_counted(guarded: Launched) -> None:
    before = _zeromq(guarded)
    with FramePublisher("x", guarded.frames) as publisher:
        with pytest.raises(KeysRefused, match="asks for keys"):
            publisher.wait_for_reader(10)
        with pytest.raises(KeysRefused, match="asks for keys"):
            publisher.publish(IMAGE)
        assert (publisher.sent, publisher.dropped) == (0, 1)
    with ResultSubscriber(guarded.results) as results, pytest.raises(KeysRefused, match="asks for keys"):
        results.receive(10)

    assert _grows(guarded, before, "handshake")


def test_keys_made_for_another_service_get_nothing_and_hear_why(guarded: Launched, state: Path) -> None:
    before = _zeromq(guarded)
    elsewhere = CurveKeys.load(state / "nion.json")._replace(server=new_key_pair()[0])
    with FramePublisher("x", guarded.frames, curve=elsewhere) as publisher, pytest.raises(KeysRefused, match="another one"):
        publisher.wait_for_reader(10)
    with ResultSubscriber(guarded.results, curve=elsewhere) as results, pytest.raises(KeysRefused, match="another one"):
        results.receive(10)

    assert _grows(guarded, before, "handshake")


def test_keys_against_a_service_that_asks_for_none_are_said_to_be_too_many(state: Path) -> None:
    plain: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    with plain:
        plain.subscribe(b"")
        port = plain.bind_to_random_port("tcp://127.0.0.1")
        with FramePublisher("x", f"tcp://127.0.0.1:{port}", curve=state / "nion.json") as publisher:
            said = _turned_away(publisher, plain)

    assert "asks for no keys" in said


def _turned_away(publisher: FramePublisher, reader: zmq.Socket[bytes]) -> str:
    """What a publisher says when it is turned away by a socket of this very thread, which takes up connections only while it is used."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        reader.poll(0)
        try:
            publisher.wait_for_reader(0.05)
        except KeysRefused as error:
            return str(error)
    return "nothing"


def test_a_key_counts_and_ends_while_the_service_runs(guarded: Launched, state: Path) -> None:
    public, secret = new_key_pair()
    server = CurveFolder(state).service_pair().public
    assert main(["keys", "curve", "add", "late", f"--public={public}", "--state", str(state)]) == 0
    _answered(guarded, CurveKeys(public, secret, server))
    assert main(["keys", "curve", "revoke", "late", "--state", str(state)]) == 0

    with FramePublisher("x", guarded.frames, curve=CurveKeys(public, secret, server)) as publisher, pytest.raises(KeysRefused):
        publisher.wait_for_reader(10)


def test_replay_brings_its_keys(guarded: Launched, state: Path, tmp_path: Path) -> None:
    movie = tmp_path / "movie.npy"
    np.save(movie, np.stack([IMAGE] * 2))

    assert main(["replay", str(movie), "--to", guarded.frames, "--fps", "20", "--curve", str(state / "nion.json")]) == 0
    assert main(["replay", str(movie), "--to", guarded.frames]) == 1


def test_refusals_show_in_the_metrics(guarded: Launched) -> None:
    assert 'elit_access_refused_total{reason="handshake",way="zeromq"}' in httpx.get(f"{guarded.url}/metrics").text


def test_the_service_checks_keys_where_it_connects_out_too(state: Path) -> None:
    folder = CurveFolder(state)
    guard = CurveGuard(folder.service_pair().secret, folder.clients)
    try:
        with (
            FramePublisher("x", "tcp://127.0.0.1:*", attach="bind", curve=state / "nion.json") as known,
            FramePublisher("y", "tcp://127.0.0.1:*", attach="bind", curve=_strange(state)) as strange,
        ):
            sockets = [FrameSocket(FramesEndpoint(endpoint=_endpoint(one._socket), attach="connect"), guard=guard) for one in (known, strange)]
            guard.start()
            assert known.wait_for_reader(10)
            assert known.publish(IMAGE)
            assert sockets[0].receive(10_000) is not None
            assert not strange.wait_for_reader(0.5)
            assert guard.refused()["unknown_key"] > 0
            for socket in sockets:
                socket.close()
    finally:
        guard.close()


def test_one_process_has_one_guard(state: Path) -> None:
    folder = CurveFolder(state)
    guard = CurveGuard(folder.service_pair().secret, folder.clients)
    try:
        with pytest.raises(CurveUnusable):
            CurveGuard(folder.service_pair().secret, folder.clients)
    finally:
        guard.close()


def test_without_its_guard_a_protected_socket_lets_nobody_in(state: Path) -> None:
    folder = CurveFolder(state)
    guard = CurveGuard(folder.service_pair().secret, folder.clients)
    socket = ResultSocket("tcp://127.0.0.1:0", 4, guard=guard)
    endpoint = _endpoint(socket._socket)
    guard.close()
    with ResultSubscriber(endpoint, curve=state / "nion.json") as results:
        for _ in range(20):
            socket.send([b"atoms/x", b"{}"])
            heard = _heard(results)

    socket.close()
    assert heard is None


def _endpoint(socket: zmq.Socket[bytes]) -> str:
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def test_a_guard_that_has_ended_holds_up_no_other_socket_of_its_process(state: Path) -> None:
    folder = CurveFolder(state)
    guard = CurveGuard(folder.service_pair().secret, folder.clients)
    guarded = ResultSocket("tcp://127.0.0.1:0", 4, guard=guard)
    guard.close()
    with ResultSubscriber(_endpoint(guarded._socket), curve=state / "nion.json") as refused:
        for _ in range(10):
            guarded.send([b"atoms/x", b"{}"])
            _heard(refused)
    guarded.close()
    plain = ResultSocket("tcp://127.0.0.1:0", 4)
    with ResultSubscriber(_endpoint(plain._socket)) as results:
        deadline = time.monotonic() + 10
        heard = ""
        while not heard and time.monotonic() < deadline:
            plain.send([b"atoms/x", b"{}"])
            try:
                results.receive(0.05)
            except BadMessage as error:
                heard = str(error)
    plain.close()

    assert heard


def _heard(results: ResultSubscriber) -> object:
    try:
        return results.receive(0.02)
    except KeysRefused:
        return None


def test_secrets_are_readable_by_their_owner_alone_and_shown_nowhere(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = CurveFolder(state).service_pair().secret
    keys = CurveKeys.load(state / "nion.json")
    main(["keys", "curve", "list", "--state", str(state)])
    main(["keys", "curve", "list", "--json", "--state", str(state)])
    listed = capsys.readouterr().out

    assert {stat.S_IMODE(one.stat().st_mode) for one in (state / "curve" / "service.json", state / "nion.json")} == {0o600}
    assert keys.public in listed
    assert secret not in listed + repr(CurveFolder(state).service_pair())
    assert keys.secret not in listed + repr(keys)
    assert all(keys.secret not in one.read_text() for one in (state / "curve").rglob("*") if one.is_file())


def test_keys_are_not_replaced_by_chance(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "curve", "init", "--state", str(state)]) == 1
    assert main(["keys", "curve", "add", "nion", "--state", str(state), "--out", str(state / "again.json")]) == 1
    assert main(["keys", "curve", "add", "other", "--state", str(state), "--out", str(state / "nion.json")]) == 1
    assert main(["keys", "curve", "add", "other", "--public=short", "--state", str(state)]) == 1
    assert "'nion'" in capsys.readouterr().err
    assert not (state / "again.json").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "atomstream.curve-client.v1", "public": "x"}', '{"schema": "other"}'])
def test_a_file_that_holds_no_keys_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "k.json"
    file.write_text(text)

    with pytest.raises(BadKeys, match=r"k\.json"):
        CurveKeys.load(file)


@pytest.mark.parametrize("key", ["short", "x" * 39 + "~", "ü" * 40])
def test_keys_that_are_none_are_refused_before_anything_is_opened(key: str) -> None:
    for attempt in (lambda: FramePublisher("x", curve=CurveKeys(key, key, key)), lambda: ResultSubscriber(curve=CurveKeys(key, key, key))):
        with pytest.raises(ClientError):
            attempt()


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("http", "0.0.0.0:0", "atomstream keys token add"),
        ("http", "[::]:0", "atomstream keys token add"),
        ("http", ":0", "atomstream keys token add"),
        ("results", "tcp://*:5556", "curve = true"),
        ("results", "tcp://192.168.1.2:5556", "curve = true"),
        ("frames", "tcp://0.0.0.0:5555", "curve = true"),
    ],
)
def test_what_would_be_open_to_anybody_is_refused_with_what_helps(tmp_path: Path, setting: str, value: str, told: str) -> None:
    with pytest.raises(AccessRefused) as refusal:
        check_listening(load_config(flags={"state": tmp_path, setting: value}))
    said = str(refusal.value)

    assert "not loopback" in said
    assert value in said
    assert told in said


def test_a_service_started_on_every_address_ends_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "atomstream_service", "serve", "--state", str(tmp_path), "--http", "0.0.0.0:0"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 1
    assert "no valid token" in run.stderr


def test_with_tokens_and_keys_the_service_may_listen_anywhere(tmp_path: Path) -> None:
    frames = (FramesEndpoint(endpoint="tcp://0.0.0.0:5555"), FramesEndpoint(endpoint="tcp://127.0.0.1:5557", curve=False))
    config = Config(state=tmp_path, http="0.0.0.0:8000", results="tcp://0.0.0.0:5556", frames=frames, curve=True)
    with pytest.raises(AccessRefused, match="token"):
        check_listening(config)
    TokenFile(tmp_path).add("kim", TokenRole.ADMIN)
    with pytest.raises(AccessFileError, match="curve init"):
        check_listening(config)
    CurveFolder(tmp_path).init(KeyPair(*new_key_pair()))
    nobody = check_listening(config)
    CurveFolder(tmp_path).let_in("nion", new_key_pair()[0])

    assert ["not encrypted" in one for one in check_listening(config)] == [True]
    assert any("curve add" in one for one in nobody)


def test_an_endpoint_that_the_service_connects_to_may_be_elsewhere(tmp_path: Path) -> None:
    assert check_listening(Config(state=tmp_path, frames=(FramesEndpoint(endpoint="tcp://192.0.2.9:5555", attach="connect"),))) == []


def test_a_key_file_holds_what_the_client_needs(state: Path) -> None:
    found = json.loads((state / "nion.json").read_text())

    assert (found["schema"], found["name"], found["server"]) == ("atomstream.curve-client.v1", "nion", CurveFolder(state).service_pair().public)
