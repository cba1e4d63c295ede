import contextlib
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from ._errors import ServiceUnreachable
from ._http import Http, quoted

_END_S = 120.0
_PIECE = 1 << 20


class Recordings:
    """Recordings of the stream, and the ring of the last frames: `ControlClient.recordings`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def ring(self) -> Dict[str, Any]:
        """What can still be recorded or learned from: `{"count", "bytes", "t_from", "t_to", "seqs", "sources"}`."""
        return self._http.json("GET", "/v1/ring")

    def list(self) -> List[Dict[str, Any]]:
        """Every recording: `{"name", "state", "frames", "bytes", "dropped", ...}`."""
        found: List[Dict[str, Any]] = self._http.json("GET", "/v1/recordings")["recordings"]
        return found

    def get(self, name: str) -> Dict[str, Any]:
        """One recording."""
        return self._http.json("GET", "/v1/recordings/" + quoted(name))

    def start(
        self,
        name: str,
        *,
        ring: Optional[Mapping[str, Any]] = None,
        live: bool = True,
        maps: bool = False,
        compression: str = "lzf",
        reason: str = "",
        **limits: float,
    ) -> Dict[str, Any]:
        """Record the stream, or frames that were just seen, or both.

        ring : which of the last frames to begin with, such as `{"last": 20}`; None for none
        live : go on with the frames that come
        maps : mean and std maps, too
        compression : of frames and maps: lzf, gzip or none
        limits : max_frames, max_bytes, max_seconds
        """
        body = {"name": name, "ring": ring, "live": live, "maps": maps, "compression": compression, "reason": reason, "limits": limits}
        return self._http.json("POST", "/v1/recordings", body, timeout_s=_END_S)

    def stop(self, name: str, *, reason: str = "") -> Dict[str, Any]:
        """End a recording; its file is whole when this returns."""
        return self._http.json("POST", "/v1/recordings/{}/stop".format(quoted(name)), query={"reason": reason}, timeout_s=_END_S)

    def download(self, name: str, file: Union[str, Path]) -> None:
        """Copy a recording's HDF5 file here; `file` is whole, or what it was before."""
        part = str(file) + ".part"
        with self._http.open("GET", "/v1/recordings/{}/file".format(quoted(name))) as response:
            try:
                with open(part, "wb") as target:
                    for piece in iter(lambda: response.read(_PIECE), b""):
                        target.write(piece)
                    found = target.tell()
                expected = response.headers["Content-Length"]
                if expected is not None and found != int(expected):
                    # urllib takes a connection that breaks for the end of the file.
                    raise ServiceUnreachable("the connection broke after {} of {} bytes of {}".format(found, expected, name))
                os.replace(part, str(file))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.remove(part)
                raise

    def delete(self, name: str, *, reason: str = "") -> None:
        """Delete a recording that has ended; one that runs is ended instead, and stays."""
        self._http.json("DELETE", "/v1/recordings/" + quoted(name), query={"reason": reason}, timeout_s=_END_S)
