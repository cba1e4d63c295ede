"""Lets requests in or not, by where they come from and the token they carry. Knows no HTTP library."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Literal
from urllib.parse import urlsplit

from ..config import is_loopback
from ._caller import Caller
from ._roles import Role
from ._throttle import Throttle
from ._token_file import TokenFile
from ._tokens import Denied

log = logging.getLogger(__name__)

Access = Literal["loopback-open", "token"]

WEBSOCKET_PROTOCOL = "atomstream.v1"
_BEARER = "bearer."
_FORWARDING = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"})


class Gatekeeper:
    """The rules of entry of one service; asked from any thread.

    access : whether loopback is let in without a token
    """

    def __init__(self, tokens: TokenFile, access: Access, throttle: Throttle | None = None) -> None:
        self._tokens = tokens
        self._access = access
        self._throttle = Throttle() if throttle is None else throttle
        self._lock = threading.Lock()
        self._denied: Counter[str] = Counter()

    def admit(self, address: str | None, headers: Mapping[str, str], needed: Role | None, what: str) -> Caller | Denied:
        """Who asks, or why not to answer.

        address : the peer's; None where it has none
        headers : names in lower case
        needed : the role that is asked for; None lets strangers in, too
        what : what is asked for, for the log
        """
        where = address or "unknown"
        token = bearer_token(headers)
        if token is None:
            caller: Caller | Denied = self._without_token(address, where, headers)
        else:
            record = self._tokens.check(token)
            caller = record if isinstance(record, Denied) else Caller(record.name, record.role, where)
        if isinstance(caller, Denied):
            stranger = Caller(None, None, where)
            if needed is None and token is None:
                return stranger
            denied = self._refused(caller, where, what)
            return stranger if needed is None else denied
        return caller if caller.may(needed) else self._refused(Denied.FORBIDDEN, where, f"{what} by {caller.actor(None)}")

    def still_admits(self, caller: Caller, headers: Mapping[str, str]) -> bool:
        """Whether somebody who was let in with these headers, and has stayed, still would be, as the same."""
        token = bearer_token(headers)
        if token is None:
            return True
        record = self._tokens.check(token)
        return not isinstance(record, Denied) and (record.name, record.role) == (caller.name, caller.role)

    def counts(self) -> Mapping[str, int]:
        """Requests that were not let in, by reason."""
        with self._lock:
            return {one: self._denied[one] for one in Denied}

    def _without_token(self, address: str | None, where: str, headers: Mapping[str, str]) -> Caller | Denied:
        # A proxy on this machine makes everybody look local; what it forwards says so.
        local = address is not None and is_loopback(address) and not _FORWARDING & headers.keys()
        return Caller(None, Role.ADMIN, where) if local and self._access == "loopback-open" else Denied.MISSING

    def _refused(self, reason: Denied, where: str, what: str) -> Denied:
        # Who fails too often fills no log either.
        if self._throttle.failed(where):
            log.warning("not let in: %s from %s (%s)", what, where, reason)
        elif reason is not Denied.FORBIDDEN:
            reason = Denied.THROTTLED
        with self._lock:
            self._denied[reason] += 1
        return reason


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The token of a request: `Authorization: Bearer TOKEN`, or, since a page can't set that for a WebSocket, its subprotocol `bearer.TOKEN`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    offered = (one.strip() for one in headers.get("sec-websocket-protocol", "").split(","))
    return next((one[len(_BEARER) :] for one in offered if one.startswith(_BEARER)), None)


def same_origin(headers: Mapping[str, str], names: Collection[str]) -> bool:
    """Whether a request comes from no page, or from one of this service's own.

    A page elsewhere can have a browser send requests here and open WebSockets; the browser then names the page's origin.

    names : what the service is called by
    """
    origin = headers.get("origin")
    if origin is None:
        return True
    parts = urlsplit(origin)
    return parts.netloc.lower() == headers.get("host", "").lower() or (parts.hostname or "") in names
