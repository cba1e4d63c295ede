import contextlib
import threading
from typing import Any, Dict, Iterator, Optional

from ._errors import RequestFailed, ServiceUnreachable
from ._http import Http


class Lease:
    """Control for one program at a time: `ControlClient.lease`. While it is held, changes by others are refused (423)."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def holder(self) -> Optional[Dict[str, Any]]:
        """Who has control: `{"holder", "reason", "until"}`; None for nobody."""
        found: Optional[Dict[str, Any]] = self._http.json("GET", "/v1/lease")["lease"]
        return found

    def take(self, seconds: float = 60.0, *, reason: str = "") -> None:
        """Take control, or keep it for so long from now; raises RequestFailed (423) where somebody else has it."""
        self._http.lease = str(self._http.json("POST", "/v1/lease", {"seconds": seconds, "reason": reason})["id"])

    def give_back(self, *, reason: str = "") -> None:
        """Give control back."""
        self._http.json("DELETE", "/v1/lease", query={"reason": reason})
        self._http.lease = None

    def break_(self, *, reason: str) -> None:
        """Take control away from whoever has it."""
        self._http.json("DELETE", "/v1/lease", query={"reason": reason, "force": True})
        self._http.lease = None

    @contextlib.contextmanager
    def held(self, seconds: float = 60.0, *, reason: str = "") -> Iterator[None]:
        """Control within a context, however long it takes: the lease is renewed, and ends by itself so many seconds after this program has died.

        An operator may break it meanwhile; changes are then carried out or refused as for anybody else.
        """
        self.take(seconds, reason=reason)
        done = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(seconds, reason, done), name="lease", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()
            try:
                self.give_back()
            except RequestFailed as error:
                self._http.lease = None
                if error.code not in ("no_lease", "leased"):
                    raise

    def _renew(self, seconds: float, reason: str, done: threading.Event) -> None:
        while not done.wait(seconds / 3):
            try:
                if self._http.json("GET", "/v1/lease")["lease"] is None:
                    return  # it was broken, and is not taken again behind the operator's back
                self.take(seconds, reason=reason)
            except (RequestFailed, ServiceUnreachable):
                continue
