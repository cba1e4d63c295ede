import base64
import http.client
import io
import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from atomstream_wire import ATOM_COLUMNS

from ._errors import BadKeys, RequestFailed, ServiceUnreachable


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

    Every method raises `RequestFailed` where the service refuses and `ServiceUnreachable` where nothing answers;
    the constructor raises `BadKeys` for a `ca_file` that can't be used.

    url : where the control plane answers
    actor : who acts, for the journal
    timeout_s : seconds to wait for an answer
    token : from `atomstream keys token add`, where the service asks for one
    ca_file : certificate (PEM) to trust for an https address, where it is none that this computer trusts anyway
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
        self._url = url.rstrip("/")
        self._actor = actor
        self._timeout_s = timeout_s
        self._token = token
        # A proxy of the environment is for the outside world, never for an instrument's network.
        handlers: List[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _StayHere()]
        if self._url.startswith("https:"):
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
            except OSError as error:
                raise BadKeys("{} holds no certificate: {}".format(ca_file, error)) from error
        self._opener = urllib.request.build_opener(*handlers)

    def ready(self) -> bool:
        """Whether frames are being answered."""
        try:
            self._json("GET", "/readyz")
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
        return self._json("GET", "/v1/status")

    def members(self) -> Dict[str, Any]:
        """`{"generation": ..., "members": [{"id", "state", ...}]}`."""
        return self._json("GET", "/v1/members")

    def set_member(self, member: str, state: str, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Set one member `enabled`, `shadow` or `disabled`; returns the generation from which it holds.

        if_generation : refuse (412) where the state has moved on from this generation
        """
        path = "/v1/members/" + urllib.parse.quote(member, safe="")
        return int(self._json("PATCH", path, {"state": state, "reason": reason}, if_generation)["generation"])

    def choose_members(self, enabled: Sequence[str], reason: str = "", if_generation: Optional[int] = None) -> int:
        """Have exactly these members count; returns the generation from which it holds."""
        return int(self._json("PUT", "/v1/members", {"enabled": list(enabled), "reason": reason}, if_generation)["generation"])

    def journal(self, after: Optional[int] = None, limit: int = 100) -> List[Dict[str, Any]]:
        """Who changed what, when, why: the newest entries, or the first after an id; oldest first."""
        path = "/v1/journal?limit={}".format(limit) + ("" if after is None else "&after={}".format(after))
        entries: List[Dict[str, Any]] = self._json("GET", path)["entries"]
        return entries

    def infer(self, image: NDArray[Any], pixel_size_nm: Optional[float] = None, maps: bool = False) -> InferredFrame:
        """The atoms of one frame (rows, columns), outside the stream."""
        body = io.BytesIO()
        np.save(body, np.asarray(image), allow_pickle=False)
        query = {"maps": "true" if maps else "false"}
        if pixel_size_nm is not None:
            query["pixel_size_nm"] = repr(float(pixel_size_nm))
        headers = {"Content-Type": "application/octet-stream"}
        return _inferred(json.loads(self._request("POST", "/v1/infer?" + urllib.parse.urlencode(query), body.getvalue(), headers)))

    def latest(self) -> InferredFrame:
        """The frame of the stream that was answered last, without maps."""
        return _inferred(self._json("GET", "/v1/frames/latest"))

    def latest_png(self, layer: str = "frame") -> bytes:
        """One layer of the latest frame as PNG: frame, mean, std, atoms or member:ID."""
        return self._request("GET", "/v1/frames/latest.png?" + urllib.parse.urlencode({"layer": layer}))

    def _json(self, method: str, path: str, body: Optional[Mapping[str, Any]] = None, if_generation: Optional[int] = None) -> Dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if if_generation is not None:
            headers["If-Match"] = '"{}"'.format(if_generation)
        data = self._request(method, path, None if body is None else json.dumps(body).encode(), headers)
        try:
            answer: Dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise ServiceUnreachable("{} is not an Atomstream service: {}".format(self._url, error)) from error
        return answer

    def _request(self, method: str, path: str, body: Optional[bytes] = None, headers: Optional[Mapping[str, str]] = None) -> bytes:
        request = urllib.request.Request(self._url + path, data=body, headers=dict(headers or {}), method=method)
        if self._actor is not None:
            request.add_header("X-Atomstream-Actor", urllib.parse.quote(self._actor, safe=" @"))
        if self._token is not None:
            request.add_header("Authorization", "Bearer " + self._token)
        try:
            with self._opener.open(request, timeout=self._timeout_s) as response:
                data: bytes = response.read()
                return data
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, error.read()) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise ServiceUnreachable("{} does not answer: {}".format(self._url, error)) from error


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which would carry the token to another place."""

    def redirect_request(self, *about: Any) -> None:
        return None


def _failure(status: int, body: bytes) -> RequestFailed:
    try:
        problem = json.loads(body)
        return RequestFailed(status, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return RequestFailed(status, "unexplained", body[:200].decode("utf-8", "replace"))


def _inferred(answer: Dict[str, Any]) -> InferredFrame:
    rows = [[float("nan") if value is None else value for value in row] for row in answer.pop("atoms")]
    atoms = np.array(rows, np.float32).reshape(-1, len(ATOM_COLUMNS))
    maps = {name: _array(one) for name, one in answer.pop("maps", {}).items()}
    return InferredFrame(answer, atoms, maps.get("mean"), maps.get("std"))


def _array(one: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(one["base64"]), np.dtype(one["dtype"])).reshape(one["shape"])
