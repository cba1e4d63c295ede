from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from atomstream_client import ControlClient, RequestFailed, ServiceUnreachable


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], ControlClient]]:
    """Makes a client of a service that answers one request with these bytes and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def client(answer: bytes) -> ControlClient:
        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return ControlClient(f"http://127.0.0.1:{listener.getsockname()[1]}")

    yield client
    listener.close()


def _ok(length: int, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body


def test_a_download_that_breaks_off_is_an_error_and_leaves_the_file_that_was_there(answering: Callable[[bytes], ControlClient], tmp_path: Path) -> None:
    file = tmp_path / "scan.h5"
    answering(_ok(3, b"old")).recordings.download("scan", file)
    with pytest.raises(ServiceUnreachable, match="1000 of 1000000 bytes of scan"):
        answering(_ok(1_000_000, b"x" * 1000)).recordings.download("scan", file)

    assert [one.name for one in tmp_path.iterdir()] == ["scan.h5"]
    assert file.read_bytes() == b"old"


def test_a_download_that_is_refused_leaves_nothing(answering: Callable[[bytes], ControlClient], tmp_path: Path) -> None:
    body = b'{"code": "unknown", "detail": "there is no recording scan"}'
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with pytest.raises(RequestFailed, match="no recording scan"):
        answering(refusal).recordings.download("scan", tmp_path / "scan.h5")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_the_callers_own_error(answering: Callable[[bytes], ControlClient], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        answering(_ok(3, b"abc")).recordings.download("scan", tmp_path / "nowhere" / "scan.h5")
