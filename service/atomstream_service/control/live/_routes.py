"""`WS /v1/live`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.websockets import WebSocket

from ...access import Caller
from ...transport import CommandRefused, EngineUnavailable
from .._service import Service
from .._supervisor import EngineState
from ._board import Board
from ._frames import FrameWatcher
from ._page import Page
from ._protocol import hello_text


def live_routes(service: Service) -> APIRouter:
    """The WebSocket that pages follow frames and the state of things on."""
    router = APIRouter()
    frames, board = FrameWatcher(service), Board(lambda: _state(service))

    @router.websocket("/v1/live")
    async def live(socket: WebSocket) -> None:
        caller: Caller = socket.state.caller
        await socket.accept()
        await socket.send_text(hello_text(caller.name, caller.role))
        headers = dict(socket.headers)
        await Page(socket, service, frames, board, lambda: service.gatekeeper.still_admits(caller, headers)).run()

    return router


def _state(service: Service) -> Mapping[str, Any]:
    return {
        "status": service.status(),
        "policy": service.drift.policy.model_dump(mode="json"),
        "lease": None if (lease := service.leases.current) is None else lease.shown,
        "ring": _ring(service),
        "refinements": [service.refinement.as_json(job) for job in service.refinement.jobs.jobs()],
        "journal": service.store.newest,
    }


def _ring(service: Service) -> Mapping[str, Any] | None:
    if service.supervisor.state is not EngineState.READY:
        return None  # waiting for an engine that starts would keep from the pages that it does
    try:
        body = service.call("ring", {}, timeout_s=2.0).body
    except (EngineUnavailable, CommandRefused):
        return None
    # Which frames these are is many numbers, which a page asks for when it needs them.
    return {"recorders": body["recorders"], **{name: value for name, value in body["ring"].items() if name != "seqs"}}
