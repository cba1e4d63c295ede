"""The control plane as a process."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from atomstream_models.bundle import find_bundle, open_bundle

from ..access import check_listening
from ..config import Config
from ..errors import AtomstreamError
from ..signals import end_with_the_terminal
from ..traces import open_traces
from ._app import create_app
from ._protocol import MOST_HEADER_BYTES, PromptProtocol
from ._service import Service

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 512
_LONGEST_MESSAGE = 1 << 16
"""Bytes of what a page may say over a WebSocket."""


class ServiceFailed(AtomstreamError):
    """The service could not start, or ended because its engine can't."""


def serve(config: Config, on_listening: Callable[[], None] = lambda: None) -> None:
    """Run the service until it is interrupted, told to end, or its engine can't start.

    on_listening : called once, before the first request is answered

    Raises
    ------
    BundleError
        where the ensemble can't be used.
    TracesUnavailable
        where traces are asked for and OpenTelemetry is not installed.
    ServiceFailed
        where the address is taken or the engine can't start.
    AccessRefused
        where something would be open beyond this machine to anybody.
    """
    for warning in check_listening(config):
        log.warning("%s", warning)
    signal.signal(signal.SIGTERM, _end)
    end_with_the_terminal()
    bundle = open_bundle(find_bundle(config.bundle, config.state))
    if config.min_active > len(bundle.card.members):
        raise ServiceFailed(f"min_active is {config.min_active}, but the ensemble has {len(bundle.card.members)} members")
    with _listen(config.http_host, config.http_port) as listener:
        traces = None if config.otel_endpoint is None else open_traces(str(config.otel_endpoint), config.otel_share, "control")
        hopeless = threading.Event()

        def give_up() -> None:
            hopeless.set()
            server.should_exit = True

        service = Service(config, bundle, give_up)
        server = uvicorn.Server(server_settings(create_app(service, traces), config))
        service.start()
        try:
            on_listening()
            server.run(sockets=[listener])
        except KeyboardInterrupt:
            pass
        finally:
            service.stop()
            if traces is not None:
                traces.close()
        if hopeless.is_set():
            raise ServiceFailed("the engine can't start; its reason stands above")


def server_settings(app: FastAPI, config: Config) -> uvicorn.Config:
    """How uvicorn serves the control plane."""
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        http=PromptProtocol,
        ws="websockets-sansio",
        ws_max_size=_LONGEST_MESSAGE,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        limit_concurrency=_MOST_CONNECTIONS,
        # A forwarded address is the sender's own claim; who is let in goes by the peer's.
        proxy_headers=False,
        server_header=False,
        ssl_certfile=config.tls_cert,
        ssl_keyfile=config.tls_key,
    )


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ServiceFailed(f"can't listen on {host}:{port}: {error.strerror}") from error
