from typing import Any, Dict, Optional

from ._http import Http, quoted


class Drift:
    """Which member, or the scene, or the instrument, has left what was normal: `ControlClient.drift`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def standing(self) -> Dict[str, Any]:
        """`{"policy", "watch", "sources": {source: {"members": {id: {"alarm", "ratio", ...}}, "blamed", "advice", ...}}}`."""
        return self._http.json("GET", "/v1/drift")

    def set_policy(self, mode: str, *, reason: str = "", **settings: Any) -> Dict[str, Any]:
        """Have members that drift told about (`advice`) or taken out until acknowledged (`quarantine`).

        settings : most_out, least_used, cooldown, quorum, watch, as in the API's description
        """
        return self._http.json("PUT", "/v1/drift/policy", {"mode": mode, "reason": reason, **settings})

    def acknowledge(self, subject: str, *, state: str = "enabled", source: Optional[str] = None, reason: str = "", if_generation: Optional[int] = None) -> int:
        """Release an alarm, and a member from quarantine; returns the generation from which it holds.

        subject : a member's id, `scene`, `instrument` or `unattributed`
        state : what a quarantined member becomes: enabled, shadow or disabled
        if_generation : refuse (412) where the state has moved on from this generation
        """
        body = {"state": state, "source": source, "reason": reason}
        return int(self._http.json("POST", "/v1/drift/{}/acknowledge".format(quoted(subject)), body, if_generation=if_generation)["generation"])
