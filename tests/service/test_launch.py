from __future__ import annotations

import socket
import sys

import pytest
import zmq

from atomstream_service.demo import free_endpoints


def test_free_endpoints_differ_and_nobody_listens_there() -> None:
    with free_endpoints(20) as endpoints:
        for endpoint in endpoints:
            host, _, port = endpoint.rpartition(":")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)), 5)

    assert len(set(endpoints)) == 20


def test_who_names_a_free_endpoint_can_listen_there_and_again() -> None:
    with free_endpoints(2) as (http, results):
        host, _, port = http.rpartition(":")
        for _ in range(2):
            with socket.create_server((host, int(port))), zmq.Context() as context, context.socket(zmq.PUB) as publisher:
                publisher.bind(f"tcp://{results}")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port that is held can't be listened on")
def test_a_free_endpoint_is_held() -> None:
    with free_endpoints(1) as (endpoint,), socket.socket() as other:
        host, _, port = endpoint.rpartition(":")
        with pytest.raises(OSError, match="in use"):
            other.bind((host, int(port)))
