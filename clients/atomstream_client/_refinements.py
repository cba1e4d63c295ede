import json
import time
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ._errors import ServiceUnreachable
from ._http import Http, quoted

_SILENCE_S = 60.0
"""Without news the service says every 15 seconds that it is still there."""
_START_S = 120.0
_LOOK_S = 0.2

Region = Tuple[int, int, int, int]
"""First row, one past the last, first column, one past the last, in pixels."""


class Refinements:
    """New ensembles from what was just seen: `ControlClient.refinements`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> List[Dict[str, Any]]:
        """Every refinement: `{"id", "state", "share", "eta_s", "ensemble", ...}`."""
        found: List[Dict[str, Any]] = self._http.json("GET", "/v1/refinements")["refinements"]
        return found

    def get(self, refinement_id: str) -> Dict[str, Any]:
        """One refinement; once it is done, `ensemble` names what came of it, or `refused` says why it was not registered.

        With `then="shadow"` it has `shadowed` once that runs beside the live one, or `not_shadowed`, why it does not.
        """
        return self._http.json("GET", "/v1/refinements/" + quoted(refinement_id))

    def start(
        self,
        *,
        ring: Optional[Mapping[str, Any]] = None,
        recording: Optional[str] = None,
        frames: Optional[Sequence[int]] = None,
        regions: Sequence[Region] = (),
        leave_out: Sequence[Region] = (),
        members: Optional[Sequence[str]] = None,
        parameters: Optional[Mapping[str, Any]] = None,
        name: Optional[str] = None,
        version: Optional[str] = None,
        then: str = "register",
        reason: str = "",
    ) -> str:
        """Learn from the last frames, or from a recording, in the background; returns the refinement's id.

        ring : which of the last frames, such as `{"last": 6}`; all by default
        recording, frames : a recording instead, and numbers of its frames
        regions, leave_out : parts of the frames to learn from, and not to
        members : whose mean makes the labels; the enabled ones by default
        parameters : recipe, strategy, iterations, steps, count, classes, settings, as in the API's description
        name, version : of the new ensemble
        then : `register`, or `shadow` to run it beside the live one at once
        """
        body: Dict[str, Any] = {
            "ring": dict(ring or {}),
            "recording": recording,
            "frames": None if frames is None else list(frames),
            "regions": [list(one) for one in regions],
            "leave_out": [list(one) for one in leave_out],
            "members": None if members is None else list(members),
            "parameters": dict(parameters or {}),
            "name": name,
            "version": version,
            "then": then,
            "reason": reason,
        }
        return str(self._http.json("POST", "/v1/refinements", body, timeout_s=_START_S)["id"])

    def follow(self, refinement_id: str) -> Iterator[Dict[str, Any]]:
        """Its progress from the beginning, event by event, until it is over; a connection that breaks is taken up again."""
        last = -1
        while True:
            over = self.get(refinement_id)["state"] not in ("queued", "running")
            for event in self._events(refinement_id, last):
                last = event["number"]
                yield event
            if over:
                return

    def wait(self, refinement_id: str) -> Dict[str, Any]:
        """The refinement once it is over and, if it is done, its ensemble registered or refused."""
        for _ in self.follow(refinement_id):
            pass
        while True:
            job = self.get(refinement_id)
            if job["state"] != "done" or "ensemble" in job or "refused" in job:
                return job
            time.sleep(_LOOK_S)

    def resume(self, refinement_id: str, *, reason: str = "") -> None:
        """Go on with one that was cancelled, interrupted or failed."""
        self._http.json("POST", "/v1/refinements/{}/resume".format(quoted(refinement_id)), {"reason": reason})

    def end(self, refinement_id: str, *, reason: str = "") -> str:
        """Cancel one that runs, or forget one that is over; returns which it was."""
        return str(self._http.json("DELETE", "/v1/refinements/" + quoted(refinement_id), query={"reason": reason})["state"])

    def _events(self, refinement_id: str, last: int) -> Iterator[Dict[str, Any]]:
        path = "/v1/refinements/{}/events".format(quoted(refinement_id))
        try:
            with self._http.open("GET", path, headers={"Last-Event-ID": str(last)}, timeout_s=_SILENCE_S) as response:
                for line in response:
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        except ServiceUnreachable:
            self.get(refinement_id)  # it raises where the service has really gone
