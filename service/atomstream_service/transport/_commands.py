"""Commands from the control plane to the engine and their replies: `[JSON, buffer, ...]` both ways."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import zmq

from ..errors import AtomstreamError

STOPPING = "stopping"
"""Code of a refusal by an engine that is about to end; to who asked, it has ended."""

_INSIDE = "inproc://commands"
_ALIVE_EVERY_S = 0.05


class EngineUnavailable(AtomstreamError):
    """The engine did not answer: it starts, restarts or hangs."""


class EngineSilent(EngineUnavailable):
    """The engine is alive but did not answer in time; it may still do what it was told."""


class CommandRefused(AtomstreamError):
    """The engine answered that it will not do this; `code` says why in a word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Reply:
    """What a command answers: JSON values, and buffers beside them."""

    body: Mapping[str, Any]
    buffers: Sequence[Any] = field(default=())


Handler = Callable[[str, Mapping[str, Any], Sequence[Any]], Reply]
"""(operation, arguments, buffers) -> reply; raises CommandRefused."""


class CommandServer:
    """Answers commands on threads of its own, so that one that waits for a frame boundary holds up no other.

    A request goes to a thread that has nothing else to do; where there is none, it waits for the first to be done.

    threads : more than the single frames that may wait at once, so that a status is always answered
    """

    def __init__(self, endpoint: str, handler: Handler, threads: int = 24) -> None:
        self._handler = handler
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        outside, inside = self._context.socket(zmq.ROUTER), self._context.socket(zmq.ROUTER)
        outside.bind(endpoint)
        inside.bind(_INSIDE)
        threading.Thread(target=self._deal_out, args=(outside, inside), name="commands", daemon=True).start()
        for k in range(threads):
            threading.Thread(target=self._work, name=f"command-{k}", daemon=True).start()

    def close(self) -> None:
        """End all threads: each finds its context ended, and closes its own sockets."""
        self._context.term()

    def _deal_out(self, outside: zmq.Socket[bytes], inside: zmq.Socket[bytes]) -> None:
        idle: list[zmq.Frame] = []
        answers, everything = zmq.Poller(), zmq.Poller()
        for poller, socket in ((answers, inside), (everything, inside), (everything, outside)):
            poller.register(socket, zmq.POLLIN)
        with contextlib.suppress(zmq.ContextTerminated):
            while True:
                ready = dict((everything if idle else answers).poll())
                if inside in ready:
                    thread, _, *reply = inside.recv_multipart(copy=False)
                    idle.append(thread)
                    if len(reply) > 1:  # the first message of a thread only says that it is there
                        outside.send_multipart(reply, copy=False)
                if outside in ready:
                    inside.send_multipart([idle.pop(), b"", *outside.recv_multipart(copy=False)], copy=False)
        outside.close(linger=0)
        inside.close(linger=0)

    def _work(self) -> None:
        socket = self._context.socket(zmq.REQ)
        socket.connect(_INSIDE)
        with contextlib.suppress(zmq.ContextTerminated):
            socket.send(b"")
            while True:
                client, empty, request, *buffers = socket.recv_multipart()
                socket.send_multipart([client, empty, *self._answer(request, buffers)], copy=False)
        socket.close(linger=0)

    def _answer(self, request: bytes, buffers: Sequence[Any]) -> Sequence[Any]:
        try:
            call = json.loads(request)
            reply = self._handler(call["operation"], call["arguments"], buffers)
        except CommandRefused as error:
            return [json.dumps({"code": error.code, "message": str(error)}).encode()]
        except Exception as error:  # the caller must hear of a bug, not wait for its timeout
            return [json.dumps({"code": "internal", "message": f"{type(error).__name__}: {error}"}).encode()]
        return [json.dumps({"body": reply.body}).encode(), *reply.buffers]


class CommandClient:
    """Sends commands from any thread; each call uses a socket of its own.

    alive : asked while a reply is awaited; once it says no, none is awaited any more
    """

    def __init__(self, endpoint: str, alive: Callable[[], bool] = lambda: True) -> None:
        self._endpoint = endpoint
        self._alive = alive

    def call(self, operation: str, arguments: Mapping[str, Any] | None = None, buffers: Sequence[Any] = (), timeout_s: float = 10.0) -> Reply:
        """The engine's reply.

        Raises
        ------
        EngineSilent
            when none comes in time.
        EngineUnavailable
            when the engine has ended, is about to, or has not been started.
        CommandRefused
            when the engine will not.
        """
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        socket.linger = 0
        try:
            socket.connect(self._endpoint)
            request = json.dumps({"operation": operation, "arguments": arguments or {}}).encode()
            socket.send_multipart([request, *buffers])
            self._await(socket, operation, timeout_s)
            answer, *data = socket.recv_multipart()
        finally:
            socket.close()
        reply = json.loads(answer)
        if reply.get("code") == STOPPING:
            raise EngineUnavailable(reply["message"])
        if "code" in reply:
            raise CommandRefused(reply["code"], reply["message"])
        return Reply(reply["body"], data)

    def _await(self, socket: zmq.Socket[bytes], operation: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            # The last look comes after the deadline: a reply that is there counts, however late this thread got its turn.
            if socket.poll(int(1000 * min(max(left, 0), _ALIVE_EVERY_S))):
                return
            if not self._alive():
                raise EngineUnavailable(f"there is no engine that could answer {operation!r}: it has ended, or not been started")
            if left <= 0:
                break
        raise EngineSilent(f"the engine did not answer {operation!r} within {timeout_s:g} s")
