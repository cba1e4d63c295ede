"""All that a monitor remembers, as plain values that go to JSON and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ._instrument_watch import InstrumentWatch
from ._member_watch import MemberWatch
from ._scene_watch import SceneWatch


@dataclass(frozen=True)
class ScanKey:
    """The scan parameters that a reference holds for; when one of them changes, what is normal is learned anew.

    shape : (rows, columns)
    pixel_size_nm, fov_nm : (y, x) in nm, None where unknown
    dwell_us : dwell time in µs, None where unknown
    channel, source : which detector of which instrument
    """

    shape: tuple[int, int]
    pixel_size_nm: tuple[float, float] | None = None
    fov_nm: tuple[float, float] | None = None
    dwell_us: float | None = None
    channel: str = ""
    source: str = ""


@dataclass
class MonitorState:
    """What a monitor remembers of one stream.

    frames : frames judged
    seq : the last one's number in the stream
    used : members used on it
    scan : its scan parameters
    """

    members: dict[str, MemberWatch]
    frames: int = 0
    seq: int | None = None
    used: tuple[str, ...] = ()
    scan: ScanKey | None = None
    scene: SceneWatch = field(default_factory=SceneWatch)
    instrument: InstrumentWatch = field(default_factory=InstrumentWatch)

    @classmethod
    def of(cls, members: Iterable[str]) -> MonitorState:
        """Nothing is known yet of these members."""
        return cls({member: MemberWatch() for member in members})

    def keep(self, members: Iterable[str]) -> None:
        """Have exactly these members: those that were not known begin anew, the others are forgotten."""
        self.members = {member: self.members.get(member) or MemberWatch() for member in members}
