"""What may listen where, decided before anything does."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from ..config import Config, is_loopback
from ..errors import AtomstreamError
from ._curve_folder import CurveFolder
from ._files import AccessFileError
from ._token_file import TokenFile


class AccessRefused(AtomstreamError):
    """The service would be open to others without any control of access."""


def check_listening(config: Config) -> list[str]:
    """Refuse to be open beyond this machine to anybody at all; returns what should be said in the log.

    Raises
    ------
    AccessRefused
        naming the address and the command that helps.
    AccessFileError
        where the tokens, the keys or the certificate can't be read.
    """
    _check_certificate(config)
    tokens = [*TokenFile(config.state).valid()]
    add_token = f"atomstream keys token add NAME --role operator --state {config.state}"
    warnings = []
    if not is_loopback(config.http_host):
        if not tokens:
            raise AccessRefused(f"http would listen on {config.http}, which is not loopback, and there is no valid token; make one first: {add_token}")
        if config.tls_cert is None:
            warnings.append(f"http://{config.http} is not encrypted: tokens and frames can be read on the way; set tls_cert and tls_key, or use a tunnel")
    elif config.access == "token" and not tokens:
        warnings.append(f"every request needs a token, and there is none yet; make one: {add_token}")
    for what, endpoint, bound, curve in _sockets(config):
        host = urlsplit(endpoint).hostname or ""
        if bound and not curve and not is_loopback(host):
            raise AccessRefused(
                f"{what} would listen on {endpoint}, which is not loopback, without keys; set curve = true, then: atomstream keys curve init "
                f"--state {config.state}"
            )
    if config.needs_curve:
        folder = CurveFolder(config.state)
        folder.service_pair()
        if not folder.clients():
            warnings.append(f"frames and results need keys, and nobody has one yet; make one: atomstream keys curve add NAME --state {config.state}")
    return warnings


def _check_certificate(config: Config) -> None:
    if config.tls_cert is not None:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(config.tls_cert, config.tls_key)
        except OSError as error:
            raise AccessFileError(f"tls_cert {config.tls_cert} and tls_key {config.tls_key} can't be used: {error}") from error


def _sockets(config: Config) -> list[tuple[str, str, bool, bool]]:
    """(what, endpoint, whether it is bound, whether it needs keys) of each ZeroMQ socket."""
    frames = [("frames", one.endpoint, one.attach == "bind", config.curve_for(one)) for one in config.frames]
    return [*frames, ("results", config.results, True, config.curve)]
