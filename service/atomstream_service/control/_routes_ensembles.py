"""Ensembles: the registry and hot load."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from ._refusal import RequestRefused
from ._requests import Actor, Expected, InControl
from ._service import Service


class Activation(BaseModel):
    """How a registered ensemble shall run."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["live", "shadow"] = Field("live", description="live = answer frames; shadow = run beside the live one on every Nth frame and be compared")
    reason: str = Field("", max_length=2000)


class Rollback(BaseModel):
    """Going back to the ensemble before."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field("", max_length=2000)
