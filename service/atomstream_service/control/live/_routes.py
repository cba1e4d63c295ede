"""`WS /v1/live`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.websockets import WebSocket

from ...access import Caller
from .._service import Service
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
        await socket.send_text(hello_text(caller.name, caller.role, time.time()))
        headers = dict(socket.headers)
        await Page(socket, service, frames, board, lambda: service.gatekeeper.still_admits(caller, headers)).run()

    return router


def _state(service: Service) -> Mapping[str, Any]:
    return {
        "status": service.status(fresh=False),
        "policy": service.drift.policy.model_dump(mode="json"),
        "lease": None if (lease := service.leases.current) is None else lease.shown,
        "refinements": [service.refinement.as_json(job) for job in service.refinement.jobs.jobs()],
        "journal": service.store.newest,
    }
