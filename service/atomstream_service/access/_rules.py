"""Who may do what over HTTP, and how much may be sent: the one table that decides it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from ._roles import Role


class Body(StrEnum):
    """How large a request's body may be; the sizes are in `body_limits`."""

    SMALL = "small"
    """JSON: one megabyte."""
    FRAME = "frame"
    """One frame of the largest size that the service accepts."""
    BUNDLE = "bundle"
    """An ensemble's archive."""


@dataclass(frozen=True)
class Rule:
    """What one route asks of a request.

    role : the least role; None answers anybody
    body : how much may be sent
    """

    role: Role | None
    body: Body = Body.SMALL


OPEN, VIEWER, OPERATOR, ADMIN = Rule(None), Rule(Role.VIEWER), Rule(Role.OPERATOR), Rule(Role.ADMIN)

UNSTATED = ADMIN
"""For a request that no line of the table is about."""

RULES: Mapping[str, Rule] = {
    "GET /": OPEN,
    "GET /page/{name:path}": OPEN,
    "GET /docs": VIEWER,
    "GET /docs-files/{name:path}": OPEN,
    "GET /docs/oauth2-redirect": VIEWER,
    "GET /redoc": VIEWER,
    "GET /openapi.json": VIEWER,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": VIEWER,
    "GET /v1/status": VIEWER,
    "GET /v1/journal": VIEWER,
    "GET /v1/members": VIEWER,
    "PATCH /v1/members/{member}": OPERATOR,
    "PUT /v1/members": OPERATOR,
    "GET /v1/ensembles": VIEWER,
    "GET /v1/ensembles/{name}/{version}": VIEWER,
    "POST /v1/ensembles": Rule(Role.ADMIN, Body.BUNDLE),
    "POST /v1/ensembles/{name}/{version}/activate": OPERATOR,
    "POST /v1/ensembles/rollback": OPERATOR,
    "DELETE /v1/ensembles/candidate": OPERATOR,
    "DELETE /v1/ensembles/{name}/{version}": ADMIN,
    "GET /v1/lease": VIEWER,
    "POST /v1/lease": OPERATOR,
    "DELETE /v1/lease": OPERATOR,
    "GET /v1/frames/latest": VIEWER,
    "GET /v1/frames/latest.json": VIEWER,
    "GET /v1/frames/latest.png": VIEWER,
    "WS /v1/live": VIEWER,
    # It changes nothing, but takes the device's time from the stream.
    "POST /v1/infer": Rule(Role.OPERATOR, Body.FRAME),
    "GET /v1/drift": VIEWER,
    "PUT /v1/drift/policy": ADMIN,
    "POST /v1/drift/{member}/acknowledge": OPERATOR,
    "GET /v1/ring": VIEWER,
    "GET /v1/recordings": VIEWER,
    "POST /v1/recordings": OPERATOR,
    "GET /v1/recordings/{name}": VIEWER,
    "GET /v1/recordings/{name}/file": VIEWER,
    "POST /v1/recordings/{name}/stop": OPERATOR,
    "DELETE /v1/recordings/{name}": OPERATOR,
    "GET /v1/refinements": VIEWER,
    "POST /v1/refinements": OPERATOR,
    "GET /v1/refinements/{refinement_id}": VIEWER,
    "GET /v1/refinements/{refinement_id}/events": VIEWER,
    "POST /v1/refinements/{refinement_id}/resume": OPERATOR,
    "DELETE /v1/refinements/{refinement_id}": OPERATOR,
    "GET /v2": VIEWER,
    "GET /v2/health/live": OPEN,
    "GET /v2/health/ready": OPEN,
    "GET /v2/models/{model}": VIEWER,
    "GET /v2/models/{model}/ready": VIEWER,
    "GET /v2/models/{model}/config": VIEWER,
    "POST /v2/models/{model}/infer": Rule(Role.OPERATOR, Body.FRAME),
    "GET /v2/models/{model}/versions/{version}": VIEWER,
    "GET /v2/models/{model}/versions/{version}/ready": VIEWER,
    "GET /v2/models/{model}/versions/{version}/config": VIEWER,
    "POST /v2/models/{model}/versions/{version}/infer": Rule(Role.OPERATOR, Body.FRAME),
    "POST /v2/repository/index": VIEWER,
    "POST /v2/repository/models/{model}/load": OPERATOR,
    "POST /v2/repository/models/{model}/unload": OPERATOR,
}
"""`METHOD /path` as the route is declared -> what it asks; the method of a WebSocket is WS."""


@dataclass(frozen=True)
class Rules:
    """The table, looked up by requests."""

    table: Mapping[str, Rule]

    def of(self, method: str, path: str) -> Rule:
        """What a request must satisfy.

        Where several lines match, the strictest counts: whichever of these routes then answers, its own role has been asked for.
        """
        method = "GET" if method == "HEAD" else method
        found = [rule for pattern, rule in self._patterns if pattern.fullmatch(f"{method} {path}")]
        return max(found, key=_strictness, default=UNSTATED)

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Rule]]:
        return [(_pattern(line), rule) for line, rule in self.table.items()]


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]+\})", line)
    return re.compile("".join(re.escape(part) if k % 2 == 0 else ".+" if part.endswith(":path}") else "[^/]+" for k, part in enumerate(parts)))


def _strictness(rule: Rule) -> int:
    return -1 if rule.role is None else list(Role).index(rule.role)


def body_limits(max_pixels: int, max_upload_bytes: int) -> Mapping[Body, int]:
    """Bytes that each kind of body may have."""
    megabyte = 1 << 20
    return {Body.SMALL: megabyte, Body.FRAME: 8 * max_pixels + megabyte, Body.BUNDLE: max_upload_bytes}
