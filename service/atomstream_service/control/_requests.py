"""What routes that change something have in common: who asks, on what it is based, and whether somebody else is in control."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header
from starlette.requests import HTTPConnection

from ..access import Caller
from ._refusal import RequestRefused
from ._service import Service

_ETAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


def _caller(connection: HTTPConnection) -> Caller:
    caller: Caller = connection.state.caller
    return caller


AskedBy = Annotated[Caller, Depends(_caller)]
"""Who asks, as the gate has found out."""


def _actor(
    caller: AskedBy,
    claimed: Annotated[str | None, Header(alias="X-Atomstream-Actor", max_length=200, description="who acts, for the journal; percent-encoded UTF-8")] = None,
) -> str:
    return caller.actor(unquote(claimed) if claimed else None)


def _generation(
    if_match: Annotated[str | None, Header(description="the generation that the change is based on, as in ETag; 412 if it has moved on")] = None,
) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise RequestRefused(400, "bad_if_match", f'If-Match is {if_match!r}; send the ETag of /v1/members, such as "12"')
    return int(found[1])


Actor = Annotated[str, Depends(_actor)]
"""Whom the journal names: the token's name always, and whom it says to act for."""

Expected = Annotated[int | None, Depends(_generation)]
"""The generation that a change is based on, None for any."""

LeaseId = Annotated[str | None, Header(alias="X-Atomstream-Lease", max_length=100, description="the id of the control lease, where the caller has it")]


class InControl:
    """A dependency of routes that change something: refuses (423) whoever does not have the lease while somebody else has."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self, lease: LeaseId = None) -> None:
        self._service.leases.check(lease)
