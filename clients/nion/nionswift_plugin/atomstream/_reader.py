"""The thread that reads atoms back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from atomstream_client import Atoms, BadMessage, ClientError, Failure, KeysRefused, ResultSubscriber

log = logging.getLogger("atomstream")

_POLL_S = 0.2


class AtomsReader:
    """Hands over the newest atoms of one source until it is closed; what they are shown with may take its time.

    endpoint : where the service publishes results
    source : whose results
    session : the publisher's, so that nobody else's frames are taken for ours
    take : called with each answer, on this reader's own thread
    curve : file of keys, where the service asks for them
    """

    def __init__(self, endpoint: str, source: str, session: str, take: Callable[[Atoms], None], curve: str | None = None) -> None:
        self._session = session
        self._take = take
        self._stop = threading.Event()
        self._subscriber = ResultSubscriber(endpoint, kinds=("atoms", "error"), source=source, latest=True, curve=curve)
        self._thread = threading.Thread(target=self._run, name="atomstream results", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        with self._subscriber as results:
            while not self._stop.is_set():
                try:
                    result = results.receive(_POLL_S)
                except KeysRefused as error:
                    log.warning("no atoms are shown: %s", error)
                    return
                except BadMessage as error:
                    log.warning("a result could not be read: %s", error)
                    continue
                except ClientError as error:
                    log.warning("no atoms are shown any more: %s", error)
                    return
                if isinstance(result, Failure):
                    log.warning("a frame was not analysed: %s", result.message)
                elif isinstance(result, Atoms) and result.report.session == self._session:
                    self._show(result)

    def _show(self, result: Atoms) -> None:
        try:
            self._take(result)
        except Exception:
            log.exception("the atoms of frame %d could not be shown", result.report.seq)
