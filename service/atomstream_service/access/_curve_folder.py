"""The ZeroMQ CURVE keys of a service: its own pair, and the public keys of those it lets in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ._files import AccessFileError, exclusive, read_text, write_private
from ._names import checked_name
from ._token_file import UnknownKey

_SCHEMA = "atomstream.curve.v1"
_SUFFIX = ".key"
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


@dataclass(frozen=True)
class KeyPair:
    """A public and a secret key, each as 40 characters of Z85."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public!r})"


class CurveFolder:
    """`STATE/curve`: `service.json` with the service's pair, and `clients/NAME.key` with one public key each."""

    def __init__(self, state: Path) -> None:
        self.path = state / "curve"
        self._service = self.path / "service.json"
        self._clients = self.path / "clients"

    def init(self, pair: KeyPair) -> None:
        """Keep the service's own pair.

        Raises
        ------
        AccessFileError
            where there is one: every instrument knows its public key, so it is never replaced by chance.
        """
        with exclusive(self._service):
            if self._service.exists():
                raise AccessFileError(f"{self._service} holds the service's keys already; all instruments would have to be told of new ones")
            write_private(self._service, json.dumps({"schema": _SCHEMA, "public": pair.public, "secret": pair.secret}, indent=2) + "\n")

    def service_pair(self) -> KeyPair:
        """The service's own pair.

        Raises
        ------
        AccessFileError
            where there is none, or it is damaged.
        """
        text = read_text(self._service, "service's keys")
        if text is None:
            raise AccessFileError(f"the service has no keys yet; make them: atomstream keys curve init --state {self.path.parent}")
        try:
            found = json.loads(text)
            if found["schema"] != _SCHEMA:
                raise ValueError
            return KeyPair(_key(found["public"]), _key(found["secret"]))
        except (ValueError, KeyError, TypeError):
            # The error's own text could quote the secret.
            raise AccessFileError(f"{self._service} does not hold a pair of keys ({_SCHEMA})") from None

    def let_in(self, name: str, public: str) -> None:
        """Let in whoever has the secret key to `public`, under a name.

        Raises
        ------
        BadName
            where the name can't be used.
        AccessFileError
            where the name is taken or the key is none.
        """
        file = self._clients / f"{checked_name(name)}{_SUFFIX}"
        try:
            text = f"{_key(public)}\n"
        except ValueError as error:
            raise AccessFileError(str(error)) from None
        with exclusive(file):
            if file.exists():
                raise AccessFileError(f"there is a key named {name!r} already; revoke it first, or choose another name")
            write_private(file, text)

    def revoke(self, name: str) -> None:
        """Let this key in no more; a connection that it has lasts until it breaks.

        Raises
        ------
        UnknownKey
            where no key has this name.
        """
        try:
            (self._clients / f"{checked_name(name)}{_SUFFIX}").unlink()
        except FileNotFoundError:
            names = ", ".join(sorted(self.clients().values()))
            raise UnknownKey(f"there is no key named {name!r}; there are: {names or 'none'}") from None

    def clients(self) -> Mapping[str, str]:
        """Public key -> name of those that are let in.

        Raises
        ------
        AccessFileError
            naming a file that holds no key.
        """
        known = {}
        for file in sorted(self._clients.glob(f"*{_SUFFIX}")):
            text = read_text(file, "key")
            try:
                known[_key((text or "").strip())] = file.stem
            except ValueError as error:
                raise AccessFileError(f"{file}: {error}") from None
        return known


def _key(text: str) -> str:
    if not isinstance(text, str) or not _Z85.fullmatch(text):
        raise ValueError("a key is 40 characters of Z85")
    return text
