"""The first thing that a request meets: is it for this service, from no foreign page, and let in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access import WEBSOCKET_PROTOCOL, Denied, Gatekeeper, Role, Rules, same_origin
from ..config import Config
from ._problems import refusal
from ._protocol import MOST_HEADER_BYTES
from ._refuse import answer_unread

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = ("0.0.0.0", "::")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="atomstream"'}


class Gate:
    """ASGI middleware; leaves who asks in `request.state.caller`, an `access.Caller`."""

    def __init__(self, app: ASGIApp, config: Config, keeper: Gatekeeper, rules: Rules) -> None:
        self._app = app
        self._keeper = keeper
        self._rules = rules
        self._names = frozenset(name.lower() for name in (*_LOOPBACK_NAMES, config.http_host, *config.http_names))
        self._any_address = config.http_host in _WILDCARDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        size = sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size > MOST_HEADER_BYTES:
            await _refuse(scope, receive, send, 431, "head_too_large", f"the request's head has {size} bytes, {MOST_HEADER_BYTES} are allowed")
            return
        headers = _joined(scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            # A page elsewhere that resolves its own name to this machine must not get an answer.
            await _refuse(scope, receive, send, 400, "bad_host", f"this service is not called {_hostname(host)!r}")
            return
        if not same_origin(headers, self._names):
            await _refuse(scope, receive, send, 403, "cross_origin", f"pages of {headers.get('origin')!r} may not use this service")
            return
        method = scope["method"] if scope["type"] == "http" else "WS"
        rule = self._rules.of(method, scope["path"])
        client = scope.get("client")
        caller = self._keeper.admit(client[0] if client else None, headers, rule.role, f"{method} {scope['path']!r}")
        if isinstance(caller, Denied):
            await _refuse(scope, receive, send, *_why(caller, rule.role), denied=caller)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, _naming_the_protocol(scope, headers, send))

    def _is_ours(self, host: str) -> bool:
        name = _hostname(host)
        return name in self._names or (self._any_address and _is_address(name))


def _joined(scope: Scope) -> Mapping[str, str]:
    """Header names in lower case; of one that comes twice, both values."""
    headers = Headers(scope=scope)
    return {name: ", ".join(headers.getlist(name)) for name in headers}


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """No page can make its own name look like a bare address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _why(denied: Denied, needed: Role | None) -> tuple[int, str, str]:
    """(status, code, sentence) for the answer."""
    match denied:
        case Denied.FORBIDDEN:
            return 403, "forbidden", f"this needs the role {needed}"
        case Denied.THROTTLED:
            return 429, "too_many_failures", "too many requests from this address were refused; try again in some seconds"
        case Denied.EXPIRED:
            return 401, "token_expired", "this token has expired; ask for a new one"
        case Denied.UNKNOWN:
            return 401, "token_unknown", "this token is not known here; it may have been revoked"
        case _:
            return 401, "token_missing", "send a token: Authorization: Bearer TOKEN; `atomstream keys token add` makes one"


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, code: str, sentence: str, denied: Denied | None = None) -> None:
    if scope["type"] == "websocket":
        # Before it has been accepted, closing is answered with HTTP 403.
        await send({"type": "websocket.close", "code": 1008, "reason": code})
        return
    answer = refusal(scope["path"], status, code, sentence)
    if status == 401:
        answer.headers.update(_CHALLENGE)
    if denied is Denied.THROTTLED:
        answer.headers["Retry-After"] = "5"
    await answer_unread(answer, scope, receive, send)


def _naming_the_protocol(scope: Scope, headers: Mapping[str, str], send: Send) -> Send:
    """Accept a WebSocket under our own protocol's name where that was offered: a browser gives up where none of its offers is taken."""
    if scope["type"] != "websocket" or WEBSOCKET_PROTOCOL not in (one.strip() for one in headers.get("sec-websocket-protocol", "").split(",")):
        return send

    async def named(message: Message) -> None:
        await send({**message, "subprotocol": WEBSOCKET_PROTOCOL} if message["type"] == "websocket.accept" else message)

    return named
