"""What a refinement told, kept in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RefinementStage = Literal["labels", "images", "train", "pack", "done", "failed", "cancelled", "interrupted"]


class FollowedEvent(BaseModel):
    """One event of a refinement, as its process told it; the last two stages are the service's own.

    number : counts the events of a refinement from 0; asking for what came after it takes up a stream that broke off
    t : seconds since 1970
    round : of refinement, from 1
    share : of the work that is done; never falls
    member, step, steps, loss, iou : a member's number, gradient steps done and at most, last validation; null where it is about no member
    eta_s : seconds to the end if it goes on like that
    message : in words
    bundle : folder of the new bundle, with `done`
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    number: int = Field(ge=0)
    t: float
    stage: RefinementStage
    round: int = 1
    share: float = Field(ge=0, le=1)
    member: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    iou: float | None = None
    eta_s: float | None = None
    message: str = ""
    bundle: str | None = None


class Told:
    """The events of one refinement, in memory and in a file.

    file : one event a line; a line that a kill cut off is passed over
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.events: list[FollowedEvent] = []
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        for line in text.splitlines():
            self._take(line)
        if text and not text.endswith("\n"):
            self._append("\n")

    @property
    def share(self) -> float:
        """Of the work that was last told to be done."""
        return self.events[-1].share if self.events else 0.0

    def add(self, line: str) -> FollowedEvent | None:
        """Keep an event, a line of JSON; None for a line that is none.

        The share never falls, also where a refinement goes on from a checkpoint.
        """
        event = self._take(line)
        if event is not None:
            self._append(event.model_dump_json(exclude={"number"}) + "\n")
        return event

    def say(self, stage: RefinementStage, t: float, message: str) -> None:
        """Keep an event of the service's own."""
        number = self.events[-1].round if self.events else 1
        self.add(json.dumps({"t": t, "stage": stage, "round": number, "share": self.share, "message": message}))

    def _take(self, line: str) -> FollowedEvent | None:
        try:
            told: dict[str, Any] = {**json.loads(line)}
            event = FollowedEvent.model_validate({**told, "number": len(self.events)})
        except (ValueError, TypeError, ValidationError):
            return None
        event = event.model_copy(update={"share": max(event.share, self.share)})
        self.events.append(event)
        return event

    def _append(self, text: str) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(text)
