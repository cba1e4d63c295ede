"""Ensembles beside the live one: loaded, checked and warm before a frame meets them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from atomstream_models.analysis import MemberFailed
from atomstream_models.bundle import BundleError, open_bundle
from atomstream_models.runtime import LoadedEnsemble, Loader, LoadError, open_strips

from ..transport import STOPPING, CommandRefused

log = logging.getLogger(__name__)


class Staging:
    """Loaded ensembles by checksum, the live one not among them."""

    def __init__(self, loader: Loader, shapes: Sequence[tuple[int, int]], strip_rows: int | None = None, threads: int | None = None) -> None:
        self._loader = loader
        self._strip_rows = strip_rows
        self._threads = threads
        self._shapes = shapes
        # One thread for all loading: the C library keeps a heap for each thread, and each would hold what a loading left behind.
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="loading")
        self._lock = threading.Lock()
        self._loaded: dict[str, LoadedEnsemble] = {}
        self._under_way: dict[str, Future[None]] = {}
        self._closed = False

    def load(self, folder: Path) -> LoadedEnsemble:
        """A bundle's ensemble, accepted by its golden frames and warm; one is loaded at a time.

        Raises
        ------
        BundleError, LoadError
            saying what is wrong with it.
        """
        return self._loading.submit(self._load, folder).result()

    def _load(self, folder: Path) -> LoadedEnsemble:
        ensemble = self._loader.load(open_bundle(folder))
        try:
            for shape in self._shapes:
                ensemble.warm(shape)
        except MemberFailed as error:
            ensemble.close()
            raise LoadError(f"warming up failed: {error}") from error
        except Exception:
            ensemble.close()
            raise
        if self._strip_rows is not None:
            try:
                ensemble.strips = open_strips(ensemble, self._strip_rows, self._threads)
            except LoadError as error:
                log.warning("%s %s looks at scans once they are complete: %s", ensemble.card.name, ensemble.card.version, error)
        return ensemble

    def stage(self, sha256: str, folder: Path) -> None:
        """Load a bundle and keep it here, by its checksum; whoever asks for one that is being loaded waits for that.

        Raises
        ------
        CommandRefused
            with the failed check's name; `load` also where another bundle lies in the folder by now; `stopping` once closed.
        """
        with self._lock:
            if self._closed:
                raise CommandRefused(STOPPING, "the engine is being stopped")
            if sha256 in self._loaded:
                return
            loading = self._under_way.get(sha256)
            if loading is None:
                loading = self._under_way[sha256] = self._loading.submit(self._load_and_keep, sha256, folder)
        try:
            loading.result()
        except BundleError as error:
            raise CommandRefused(error.check, str(error)) from error
        except LoadError as error:
            raise CommandRefused("load", str(error)) from error

    def _load_and_keep(self, sha256: str, folder: Path) -> None:
        try:
            ensemble = self._load(folder)
            if ensemble.bundle.sha256 != sha256:
                ensemble.close()
                raise LoadError(f"the bundle in {folder} is {ensemble.bundle.sha256[:12]}, not {sha256[:12]}")
            with self._lock:
                self._loaded[sha256] = ensemble
        finally:
            with self._lock:
                del self._under_way[sha256]

    def take(self, sha256: str) -> LoadedEnsemble | None:
        """Take a staged ensemble out; None where there is none."""
        with self._lock:
            return self._loaded.pop(sha256, None)

    def close(self) -> None:
        """Free everything, and load nothing any more."""
        with self._lock:
            self._closed = True
        self._loading.shutdown()
        for key in self.keys:
            if (left := self.take(key)) is not None:
                left.close()

    @property
    def keys(self) -> list[str]:
        with self._lock:
            return sorted(self._loaded)
