from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class Throttle:
    """Slows down whoever keeps failing: each address may fail `burst` times, and once more every `every_s` seconds.

    most : addresses remembered; beyond these the one that failed longest ago is forgotten, so that memory stays bounded
    """

    def __init__(self, burst: int = 20, every_s: float = 1.0, most: int = 1024, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._every_s = every_s
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def failed(self, address: str) -> bool:
        """Note a failure; False where there have been too many."""
        who, now = _neighbourhood(address), self._clock()
        with self._lock:
            left, since = self._buckets.pop(who, (float(self._burst), now))
            left = min(float(self._burst), left + (now - since) / self._every_s)
            allowed = left >= 1
            self._buckets[who] = (left - 1 if allowed else left, now)
            while len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        """Addresses remembered."""
        return len(self._buckets)


def _neighbourhood(address: str) -> str:
    """An IPv6 host has a whole /64 to itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
