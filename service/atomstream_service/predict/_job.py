from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atomstream_models.runtime import LoadedEnsemble

from ..files import FileFrame, FileFrames


@dataclass(frozen=True)
class Job:
    """What a result comes from, as far as it decides the numbers.

    frames : how many the file has
    content : checksum over the first, the middle and the last of them
    pixel_nm : (y, x) of a pixel; None where it is unknown
    bundle : checksum of the ensemble
    members : ids of those that run
    maps : whether mean and std maps are written
    runs_on : what runs the members, whose answers differ in the last digit
    """

    frames: int
    content: str
    pixel_nm: tuple[float, float] | None
    bundle: str
    members: tuple[str, ...]
    maps: bool
    runs_on: str

    @classmethod
    def of(cls, frames: FileFrames, ensemble: LoadedEnsemble, members: Sequence[str], maps: bool) -> Job:
        digest = hashlib.sha256()
        for number in sorted({0, len(frames) // 2, len(frames) - 1}):
            _add(digest, frames[number])
        return cls(len(frames), digest.hexdigest(), frames.pixel_nm, ensemble.bundle.sha256, tuple(members), maps, str(ensemble.way))

    @property
    def session(self) -> str:
        """The session of its frames: the same however often it is interrupted."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]

    def as_json(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def differs_from(self, other: Mapping[str, Any]) -> list[str]:
        """What another job's JSON has otherwise, in words."""
        words = {
            "frames": "the number of frames",
            "content": "the frames themselves",
            "pixel_nm": "the pixel size",
            "bundle": "the ensemble",
            "members": "the members",
            "maps": "whether maps are written",
            "runs_on": "what runs the members",
        }
        return [words[key] for key, value in self.as_json().items() if other.get(key) != value]


def _add(digest: Any, frame: FileFrame) -> None:
    for image in frame.channels.values():
        digest.update(f"{image.dtype.str} {image.shape}".encode())
        digest.update(image.tobytes())
