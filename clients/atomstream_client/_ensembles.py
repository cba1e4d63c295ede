from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Union

from ._http import Http, based_on, quoted

_LOAD_S = 600.0


class Activated(NamedTuple):
    """generation : from which it holds; load_s : what loading took, beside the ensemble that answered; name, version : of the live one."""

    generation: int
    load_s: float
    name: str
    version: str


class Ensembles:
    """The registry and hot load: `ControlClient.ensembles`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def list(self) -> Dict[str, Any]:
        """`{"generation", "rollback_to", "ensembles": [{"name", "version", "sha256", "use", ...}]}`."""
        return self._http.json("GET", "/v1/ensembles")

    def get(self, name: str, version: str) -> Dict[str, Any]:
        """One ensemble with its card and how it was accepted."""
        return self._http.json("GET", _path(name, version))

    def upload(self, archive: Union[str, Path], *, if_generation: Optional[int] = None) -> Dict[str, Any]:
        """Register a bundle's zip: `{"name", "version", "sha256", "generation", ...}`, the generation being the one that holds.

        What fails a check is refused (422) with the check's name, and the live ensemble is untouched.
        """
        headers = {"Content-Type": "application/zip", "Content-Length": str(Path(archive).stat().st_size), **based_on(if_generation)}
        with open(str(archive), "rb") as file:
            return self._http.parsed(self._http.bytes("POST", "/v1/ensembles", file, headers, timeout_s=_LOAD_S))

    def activate(self, name: str, version: str, *, reason: str = "", if_generation: Optional[int] = None) -> Activated:
        """Make a registered ensemble the live one, from the next frame on and without losing one."""
        body = {"mode": "live", "reason": reason}
        return _activated(self._http.json("POST", _path(name, version) + "/activate", body, if_generation=if_generation, timeout_s=_LOAD_S))

    def shadow(self, name: str, version: str, *, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Run a registered ensemble beside the live one on every Nth frame, to be compared; returns the generation, which does not change."""
        body = {"mode": "shadow", "reason": reason}
        answer = self._http.json("POST", _path(name, version) + "/activate", body, if_generation=if_generation, timeout_s=_LOAD_S)
        return int(answer["generation"])

    def candidate(self) -> Optional[Dict[str, Any]]:
        """How the ensemble that runs beside the live one agrees with it: `{"name", "frames", "agreement": {"f1", ...}, ...}`; None where none runs."""
        found: Optional[Dict[str, Any]] = self._http.json("GET", "/v1/status")["ensemble"]["candidate"]
        return found

    def drop_candidate(self, *, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Let the ensemble go that runs beside the live one; returns the generation, which does not change."""
        answer = self._http.json("DELETE", "/v1/ensembles/candidate", query={"reason": reason}, if_generation=if_generation)
        return int(answer["generation"])

    def rollback(self, *, reason: str = "", if_generation: Optional[int] = None) -> Activated:
        """Go back to the ensemble that was live before, with the members that it had."""
        return _activated(self._http.json("POST", "/v1/ensembles/rollback", {"reason": reason}, if_generation=if_generation, timeout_s=_LOAD_S))

    def remove(self, name: str, version: str, *, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Take an ensemble that is not in use out of the registry; returns the generation, which does not change."""
        return int(self._http.json("DELETE", _path(name, version), query={"reason": reason}, if_generation=if_generation)["generation"])


def _path(name: str, version: str) -> str:
    return "/v1/ensembles/{}/{}".format(quoted(name), quoted(version))


def _activated(answer: Dict[str, Any]) -> Activated:
    return Activated(int(answer["generation"]), float(answer["load_s"]), answer["ensemble"]["name"], answer["ensemble"]["version"])
