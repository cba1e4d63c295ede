"""Tokens: what they are, and how one is told from a false one. No file, no clock."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ._roles import Role

_PREFIX = "ast"
_SECRET_BYTES = 32
_NOBODYS_HASH = "0" * 64


class Denied(StrEnum):
    """Why a request is not let in."""

    MISSING = "missing"
    """It carries no token."""
    UNKNOWN = "unknown"
    """Its token was never given out, or has been revoked."""
    EXPIRED = "expired"
    """Its token was good until a while ago."""
    FORBIDDEN = "forbidden"
    """Its token is good, but its role does not reach."""
    THROTTLED = "throttled"
    """Its address has failed too often just now."""


class TokenRecord(BaseModel):
    """What is kept of a token: enough to recognise it, not enough to use it.

    id : the part of the token that may be seen
    salt, sha256 : of the part that may not, in hexadecimal
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str
    role: Role
    salt: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created: datetime
    expires: datetime | None = None

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


class TokenList(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: Literal["atomstream.access.v1"] = Field("atomstream.access.v1", alias="schema")
    tokens: tuple[TokenRecord, ...] = ()


def new_token(name: str, role: Role, created: datetime, expires: datetime | None) -> tuple[str, TokenRecord]:
    """A fresh token, to be shown once, and what is kept of it."""
    key, secret, salt = secrets.token_hex(6), secrets.token_urlsafe(_SECRET_BYTES), secrets.token_hex(16)
    record = TokenRecord(id=key, name=name, role=role, salt=salt, sha256=_hash(salt, secret), created=created, expires=expires)
    return f"{_PREFIX}_{key}_{secret}", record


def recognise(token: str, records: Sequence[TokenRecord], now: datetime) -> TokenRecord | Denied:
    """The record of a token, or why it is none. The time it takes says nothing about how nearly right a secret is."""
    prefix, key, secret = (*token.split("_", 2), "", "")[:3]
    record = next((one for one in records if one.id == key and prefix == _PREFIX), None)
    right = hmac.compare_digest(_hash(record.salt if record else "", secret), record.sha256 if record else _NOBODYS_HASH)
    if record is None or not right:
        return Denied.UNKNOWN
    return Denied.EXPIRED if record.expired(now) else record


def _hash(salt: str, secret: str) -> str:
    # The secret has 256 random bits: nobody tries them through, so nothing slower than SHA-256 is needed.
    return hashlib.sha256(f"{salt}:{secret}".encode("utf-8", "surrogateescape")).hexdigest()
