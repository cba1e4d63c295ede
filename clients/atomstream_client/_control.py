from __future__ import annotations

import base64
import io
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np

from atomstream_wire import ATOM_COLUMNS

from ._drift import Drift
from ._ensembles import Ensembles
from ._errors import RequestFailed, ServiceUnreachable
from ._http import Http, Query, quoted
from ._lease import Lease
from ._recordings import Recordings
from ._refinements import Refinements

if TYPE_CHECKING:  # NumPy before 1.21 has no NDArray, and old instruments come with such a NumPy
    from numpy.typing import NDArray


class InferredFrame(NamedTuple):
    """The answer to one frame.

    report : how it came about, as in a result's header
    atoms : ndarray, shape (N, 10), float32, columns `ATOM_COLUMNS`, y, x in pixels
    mean, std : ndarrays, shape (classes, rows, columns), float32, where maps were asked for; std also None where unknown
    """

    report: Mapping[str, Any]
    atoms: NDArray[np.float32]
    mean: Optional[NDArray[np.float32]]
    std: Optional[NDArray[np.float32]]


class ControlClient:
    """The service's REST interface. Safe to use from several threads.

    Every method, and every one of its parts', raises `RequestFailed` where the service refuses and `ServiceUnreachable` where nothing answers;
    the constructor raises `BadKeys` for a `ca_file` that can't be used.

    url : where the control plane answers
    actor : who acts, for the journal
    timeout_s : seconds to wait for an answer
    token : from `atomstream keys token add`, where the service asks for one
    ca_file : certificate (PEM) to trust for an https address, where it is none that this computer trusts anyway

    ensembles, drift, recordings, refinements, lease : parts of the interface
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        actor: Optional[str] = None,
        timeout_s: float = 30.0,
        token: Optional[str] = None,
        ca_file: Optional[str] = None,
    ) -> None:
        self._http = Http(url, actor, timeout_s, token, ca_file)
        self.ensembles = Ensembles(self._http)
        self.drift = Drift(self._http)
        self.recordings = Recordings(self._http)
        self.refinements = Refinements(self._http)
        self.lease = Lease(self._http)

    def ready(self) -> bool:
        """Whether frames are being answered."""
        try:
            self._http.json("GET", "/readyz")
        except (RequestFailed, ServiceUnreachable):
            return False
        return True

    def wait_ready(self, timeout_s: float = 60.0) -> bool:
        """Wait until frames are being answered; False after the timeout."""
        deadline = time.monotonic() + timeout_s
        while not self.ready():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def status(self) -> Dict[str, Any]:
        """Engine, ensemble, streams, latency, memory."""
        return self._http.json("GET", "/v1/status")

    def members(self) -> Dict[str, Any]:
        """`{"generation": ..., "members": [{"id", "state", ...}]}`."""
        return self._http.json("GET", "/v1/members")

    def set_member(self, member: str, state: str, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Set one member `enabled`, `shadow` or `disabled`; returns the generation from which it holds.

        if_generation : refuse (412) where the state has moved on from this generation
        """
        body = {"state": state, "reason": reason}
        return int(self._http.json("PATCH", "/v1/members/" + quoted(member), body, if_generation=if_generation)["generation"])

    def choose_members(self, enabled: Sequence[str], reason: str = "", if_generation: Optional[int] = None) -> int:
        """Have exactly these members count; returns the generation from which it holds."""
        body = {"enabled": list(enabled), "reason": reason}
        return int(self._http.json("PUT", "/v1/members", body, if_generation=if_generation)["generation"])

    def journal(self, after: Optional[int] = None, limit: int = 100) -> List[Dict[str, Any]]:
        """Who changed what, when, why: the newest entries, or the first after an id; oldest first."""
        entries: List[Dict[str, Any]] = self._http.json("GET", "/v1/journal", query={"limit": limit, "after": after})["entries"]
        return entries

    def infer(self, image: NDArray[Any], pixel_size_nm: Optional[float] = None, maps: bool = False) -> InferredFrame:
        """The atoms of one frame (rows, columns), outside the stream."""
        body = io.BytesIO()
        np.save(body, np.asarray(image), allow_pickle=False)
        query: Query = {"maps": maps, "pixel_size_nm": None if pixel_size_nm is None else float(pixel_size_nm)}
        headers = {"Content-Type": "application/octet-stream"}
        return _inferred(self._http.parsed(self._http.bytes("POST", "/v1/infer", body.getvalue(), headers, query=query)))

    def latest(self) -> InferredFrame:
        """The frame of the stream that was answered last, without maps."""
        return _inferred(self._http.json("GET", "/v1/frames/latest"))

    def latest_png(self, layer: str = "frame") -> bytes:
        """One layer of the latest frame as PNG: frame, mean, std, atoms or member:ID."""
        return self._http.bytes("GET", "/v1/frames/latest.png", query={"layer": layer})


def _inferred(answer: Dict[str, Any]) -> InferredFrame:
    rows = [[float("nan") if value is None else value for value in row] for row in answer.pop("atoms")]
    atoms = np.array(rows, np.float32).reshape(-1, len(ATOM_COLUMNS))
    maps = {name: _array(one) for name, one in answer.pop("maps", {}).items()}
    return InferredFrame(answer, atoms, maps.get("mean"), maps.get("std"))


def _array(one: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(one["base64"]), np.dtype(one["dtype"])).reshape(one["shape"])
