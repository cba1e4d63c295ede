import contextlib
import http.client
import json
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Union

from ._errors import BadKeys, RequestFailed, ServiceUnreachable

Query = Mapping[str, Union[str, int, float, bool, None]]
"""Parameters of a request; those that are None are left out."""

Body = Union[bytes, IO[bytes]]


class Http:
    """Requests to a control plane, and its refusals as exceptions. Safe to use from several threads.

    lease : id of the control lease, sent with every request while it is held
    """

    def __init__(self, url: str, actor: Optional[str], timeout_s: float, token: Optional[str], ca_file: Optional[str]) -> None:
        self.lease: Optional[str] = None
        self._url = url.rstrip("/")
        self._actor = actor
        self._timeout_s = timeout_s
        self._token = token
        # A proxy of the environment is for the outside world, never for an instrument's network.
        handlers: List[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({}), _StayHere()]
        if self._url.startswith("https:"):
            try:
                handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca_file)))
            except OSError as error:
                raise BadKeys("{} holds no certificate: {}".format(ca_file, error)) from error
        self._opener = urllib.request.build_opener(*handlers)

    def json(
        self,
        method: str,
        path: str,
        body: Optional[Mapping[str, Any]] = None,
        *,
        query: Optional[Query] = None,
        if_generation: Optional[int] = None,
        timeout_s: Optional[float] = None,
    ) -> Dict[str, Any]:
        """The answer to a request whose body, if it has one, is JSON."""
        headers = {"Content-Type": "application/json", **based_on(if_generation)}
        data = None if body is None else json.dumps(body).encode()
        return self.parsed(self.bytes(method, path, data, headers, query=query, timeout_s=timeout_s))

    def parsed(self, data: bytes) -> Dict[str, Any]:
        """An answer's JSON; ServiceUnreachable where it is none, since then something else answers here."""
        try:
            answer: Dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise ServiceUnreachable("{} is not an Atomstream service: {}".format(self._url, error)) from error
        return answer

    def bytes(
        self,
        method: str,
        path: str,
        body: Optional[Body] = None,
        headers: Optional[Mapping[str, str]] = None,
        *,
        query: Optional[Query] = None,
        timeout_s: Optional[float] = None,
    ) -> bytes:
        """The answer to a request, as it is."""
        with self.open(method, path, body, headers, query=query, timeout_s=timeout_s) as response:
            data: bytes = response.read()
            return data

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        body: Optional[Body] = None,
        headers: Optional[Mapping[str, str]] = None,
        *,
        query: Optional[Query] = None,
        timeout_s: Optional[float] = None,
    ) -> Iterator[Any]:
        """A response that is read within the context."""
        given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in (query or {}).items() if value is not None}
        where = self._url + path + ("?" + urllib.parse.urlencode(given) if given else "")
        request = urllib.request.Request(where, data=body, headers=dict(headers or {}), method=method)
        if self._actor is not None:
            request.add_header("X-Atomstream-Actor", urllib.parse.quote(self._actor, safe=" @"))
        if self._token is not None:
            request.add_header("Authorization", "Bearer " + self._token)
        if self.lease is not None:
            request.add_header("X-Atomstream-Lease", self.lease)
        try:
            response = self._opener.open(request, timeout=self._timeout_s if timeout_s is None else timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise _failure(error.code, _rest(error)) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            raise ServiceUnreachable("{} does not answer: {}".format(self._url, error)) from error
        with response:
            try:
                yield response
            except (http.client.HTTPException, ConnectionError, socket.timeout, ssl.SSLError) as error:
                raise ServiceUnreachable("{} broke off its answer: {}".format(self._url, error)) from error


def based_on(generation: Optional[int]) -> Dict[str, str]:
    """The header of a change that is to be refused where the state has moved on from a generation; none for None."""
    return {} if generation is None else {"If-Match": '"{}"'.format(generation)}


def quoted(name: str) -> str:
    """A name as part of a path."""
    return urllib.parse.quote(name, safe="")


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirection, which would carry the token to another place."""

    def redirect_request(self, *about: Any) -> None:
        return None


def _rest(error: urllib.error.HTTPError) -> bytes:
    """What the service says about a refusal; nothing where the connection breaks meanwhile."""
    try:
        return error.read()
    except (http.client.HTTPException, OSError):
        return b""


def _failure(status: int, body: bytes) -> RequestFailed:
    try:
        problem = json.loads(body)
        return RequestFailed(status, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        return RequestFailed(status, "unexplained", body[:200].decode("utf-8", "replace"))
