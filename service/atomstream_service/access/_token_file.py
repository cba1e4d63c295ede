"""The tokens of a service, in one file that the command line writes and the service reads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from ..errors import AtomstreamError
from ._files import AccessFileError, exclusive, read_text, write_private
from ._names import checked_name
from ._roles import Role
from ._tokens import Denied, TokenList, TokenRecord, new_token, recognise

log = logging.getLogger(__name__)


class UnknownKey(AtomstreamError):
    """No token or key has this name."""


def _now() -> datetime:
    return datetime.now(UTC)


class TokenFile:
    """The tokens in a state folder. Safe from any thread, and several processes may change it.

    now : the clock
    """

    def __init__(self, state: Path, now: Callable[[], datetime] = _now) -> None:
        self.path = state / "access.json"
        self._now = now
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._known: tuple[TokenRecord, ...] = ()

    def add(self, name: str, role: Role, lasts: timedelta | None = None) -> str:
        """Make a token and keep its hash; returns the token, which can't be read anywhere again.

        Raises
        ------
        BadName
            where the name can't be used.
        AccessFileError
            where a token has this name already, or the file can't be read or written.
        """
        checked_name(name)
        created = self._now().replace(microsecond=0)
        token, record = new_token(name, role, created, None if lasts is None else created + lasts)
        with exclusive(self.path):
            kept = self._read()
            if any(one.name == name for one in kept):
                raise AccessFileError(f"there is a token named {name!r} already; revoke it first, or choose another name")
            self._write((*kept, record))
        return token

    def revoke(self, name: str) -> None:
        """Have a token be refused from now on.

        Raises
        ------
        UnknownKey
            where no token has this name.
        """
        with exclusive(self.path):
            kept = self._read()
            left = tuple(one for one in kept if one.name != name)
            if len(left) == len(kept):
                raise UnknownKey(f"there is no token named {name!r}; there are: {', '.join(one.name for one in kept) or 'none'}")
            self._write(left)

    def records(self) -> tuple[TokenRecord, ...]:
        """All tokens, expired ones, too; raises AccessFileError for a damaged file."""
        return self._read()

    def valid(self) -> Iterator[TokenRecord]:
        """Those that would be let in now."""
        return (one for one in self._read() if not one.expired(self._now()))

    def check(self, token: str) -> TokenRecord | Denied:
        """Whose token this is, by the file as it is now. A file that can't be read lets nobody in."""
        return recognise(token, self._current(), self._now())

    def _current(self) -> tuple[TokenRecord, ...]:
        """The tokens, read again whenever the file has been replaced."""
        try:
            found = self.path.stat()
            stamp: tuple[int, ...] = (found.st_mtime_ns, found.st_ino, found.st_size)
        except OSError:
            stamp = ()
        with self._lock:
            if stamp != self._stamp:
                try:
                    self._known = self._read()
                except AccessFileError as error:
                    log.error("%s; nobody is let in", error)
                    self._known = ()
                self._stamp = stamp
            return self._known

    def _read(self) -> tuple[TokenRecord, ...]:
        text = read_text(self.path, "tokens")
        if text is None:
            return ()
        try:
            return TokenList.model_validate_json(text).tokens
        except ValidationError as error:
            # The error's own text would quote the file.
            raise AccessFileError(
                f"the tokens in {self.path} are damaged ({error.error_count()} errors); put back a copy, or delete it and make new ones"
            ) from None

    def _write(self, tokens: tuple[TokenRecord, ...]) -> None:
        write_private(self.path, TokenList(tokens=tokens).model_dump_json(by_alias=True, indent=2) + "\n")
