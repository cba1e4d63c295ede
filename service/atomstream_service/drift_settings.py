"""What the watch over drift may be told."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Confined(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DriftSettings(_Confined):
    """How drift is watched for; the defaults were tuned on the simulated microscope (`benchmarks/drift.py`)."""

    every: int = Field(1, ge=1, le=1000, description="score every Nth frame")
    window: int = Field(100, ge=20, le=5000, description="scored frames that make the reference of what is normal")
    sustain: int = Field(5, ge=1, le=1000, description="scored frames in a row that a level must hold before it counts")
    smoothing: float = Field(0.2, gt=0, le=1, description="weight of the newest frame in the running level")
    slack: float = Field(0.25, ge=0, le=10, description="rise in standard deviations that the change test takes for nothing")
    rise: float = Field(25.0, gt=0, le=1e4, description="summed rise in standard deviations at which the change test fires")
    member_factor: float = Field(2.0, gt=1, le=100, description="growth of a member's score against the others' below which it is never blamed")
    member_ratio: float = Field(4.0, gt=1, le=100, description="score as a multiple of the median member's that blames a member without a reference")
    member_level: float = Field(6.0, gt=0, le=100, description="the same in spreads of the members' scores; both must be exceeded")
    scene_factor: float = Field(2.0, gt=1, le=100, description="growth of all members' disagreement below which the scene is not blamed")
    together: int = Field(10, ge=0, le=100000, description="scored frames by which frames may change before agreement is lost, and the scene still be blamed")
    instrument_change: float = Field(0.1, gt=0, le=10, description="relative change of the frame's statistics below which the instrument is not blamed")


class QuarantineSettings(_Confined):
    """What is done about members that are blamed."""

    mode: Literal["advice", "quarantine"] = Field("advice", description="advice = say so; quarantine = take them out until acknowledged")
    most_out: int = Field(3, ge=1, le=1000, description="members quarantined at once, at most")
    least_used: int = Field(3, ge=3, le=1000, description="members that the policy leaves enabled; fewer than three can't be told apart")
    cooldown: int = Field(5, ge=0, le=100000, description="scored frames between two rounds of quarantine")
    quorum: float = Field(0.5, gt=0, le=1, description="share of the used members that must not be blamed; otherwise nothing is done")
