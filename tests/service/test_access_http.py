"""The control plane's door, on real services. A second loopback address with `access = "token"` stands for another machine's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from conftest import make_plain_bundle
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from atomstream_client import BadKeys, ControlClient, RequestFailed, ServiceUnreachable
from atomstream_models.bundle import Bundle
from atomstream_service.access import RULES, VIEWER, AccessFileError, Body, Caller, Gatekeeper, Role, Rule, Rules, Throttle, TokenFile, check_listening
from atomstream_service.config import Config
from atomstream_service.control import create_app
from atomstream_service.control._bodies import BoundedBodies
from atomstream_service.control._gate import Gate
from atomstream_service.control._serve import server_settings
from atomstream_service.control._service import Service
from atomstream_service.demo import Launched, launched

ELSEWHERE = "127.0.0.2"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access") / "state"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def guarded(state: Path, bundle: Bundle) -> Iterator[Launched]:
    """A service that asks everybody for a token."""
    settings = 'access = "token"\nhttp_names = ["scope.example"]\nmax_pixels = 4096\nmax_upload_bytes = 2048\n'
    with launched(state, bundle=str(bundle.folder), config=settings, host=ELSEWHERE) as running:
        yield running


@pytest.fixture(scope="module")
def local(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """A service as it is by default."""
    with launched(tmp_path_factory.mktemp("local"), bundle=str(bundle.folder)) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(guarded: Launched, state: Path) -> dict[str, str]:
    """A token of each role, made while the service runs."""
    file = TokenFile(state)
    return {role: file.add(f"a-{role}", role) for role in Role}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _from(address: str, service: Launched) -> httpx.Client:
    """Requests from a loopback address of their own, so that what was refused to one does not slow down the others."""
    return httpx.Client(base_url=service.url, timeout=30, transport=httpx.HTTPTransport(local_address=address))


@contextlib.contextmanager
def _app(state: Path, bundle: Bundle) -> Iterator[FastAPI]:
    service = Service(Config(state=state, bundle=str(bundle.folder)), bundle, lambda: None)
    service.start()
    try:
        yield create_app(service)
    finally:
        service.stop()


def test_every_route_states_its_role_and_every_line_is_about_a_route(tmp_path: Path, bundle: Bundle) -> None:
    with _app(tmp_path, bundle) as app:
        mounted = {route.path for route in app.routes if isinstance(route, Mount)}
        declared = [route for route in iter_route_contexts(app.routes) if route.path not in mounted]
        routes = {f"{method} {route.path}" for route in declared for method in route.methods or {"WS"}} | {f"GET {path}/{{name:path}}" for path in mounted}
        described = app.openapi()

    assert {one for one in routes if not one.startswith("HEAD ")} == set(RULES)
    told = {f"{method.upper()} {path}": operation["x-role"] for path, operations in described["paths"].items() for method, operation in operations.items()}
    assert told == {line: RULES[line].role for line in told}
    assert "Needs the role **operator**." in described["paths"]["/v1/members"]["put"]["description"]
    assert described["paths"]["/v1/members"]["put"]["security"] == [{"token": []}, {}]
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


REQUESTS: tuple[tuple[str, str, Role | None], ...] = (
    ("GET", "/healthz", None),
    ("GET", "/readyz", None),
    ("GET", "/", None),
    ("GET", "/page/main.js", None),
    ("GET", "/docs", Role.VIEWER),
    ("GET", "/openapi.json", Role.VIEWER),
    ("HEAD", "/openapi.json", Role.VIEWER),
    ("GET", "/metrics", Role.VIEWER),
    ("GET", "/v1/status", Role.VIEWER),
    ("GET", "/v1/journal", Role.VIEWER),
    ("GET", "/v1/members", Role.VIEWER),
    ("GET", "/v1/frames/latest", Role.VIEWER),
    ("GET", "/v1/frames/latest.png?layer=mean", Role.VIEWER),
    ("PATCH", "/v1/members/m00", Role.OPERATOR),
    ("PUT", "/v1/members", Role.OPERATOR),
    ("POST", "/v1/infer", Role.OPERATOR),
    ("GET", "/v1/ensembles", Role.VIEWER),
    ("POST", "/v1/ensembles/rollback", Role.OPERATOR),
    ("POST", "/v1/ensembles/none/1/activate", Role.OPERATOR),
    ("DELETE", "/v1/ensembles/candidate", Role.OPERATOR),
    ("POST", "/v1/ensembles", Role.ADMIN),
    ("DELETE", "/v1/ensembles/none/1", Role.ADMIN),
    ("GET", "/v1/drift", Role.VIEWER),
    ("PUT", "/v1/drift/policy", Role.ADMIN),
    ("POST", "/v1/drift/scene/acknowledge", Role.OPERATOR),
    ("GET", "/v1/recordings", Role.VIEWER),
    ("DELETE", "/v1/recordings/none", Role.OPERATOR),
    ("GET", "/v1/refinements/none/events", Role.VIEWER),
    ("DELETE", "/v1/refinements/none", Role.OPERATOR),
    ("GET", "/v2/health/live", None),
    ("GET", "/v2/models/plain", Role.VIEWER),
    ("POST", "/v2/models/plain/infer", Role.OPERATOR),
    ("POST", "/v2/repository/models/none/load", Role.OPERATOR),
    ("GET", "/v1/lease", Role.VIEWER),
    ("DELETE", "/v1/lease", Role.OPERATOR),
    ("GET", "/v1/nowhere", Role.ADMIN),
    ("POST", "/v1/status", Role.ADMIN),
    ("GET", "/v1/status/", Role.ADMIN),
)


def test_each_role_reaches_what_it_may_and_nothing_else(guarded: Launched, tokens: dict[str, str]) -> None:
    wrong: list[tuple[str, str, Role, object]] = []
    with httpx.Client(base_url=guarded.url, timeout=30) as http:
        for method, path, needed in REQUESTS:
            for role in Role:
                answer = http.request(method, path, headers=_bearer(tokens[role]))
                expected = needed is None or role.allows(needed)
                if (answer.status_code not in (401, 403)) is not expected:
                    wrong.append((method, path, role, answer.status_code))
                if not expected and method != "HEAD" and "this needs the role" not in answer.text:
                    wrong.append((method, path, role, answer.text))

    assert wrong == []


def test_without_a_token_nothing_answers_but_that_it_is_alive(guarded: Launched) -> None:
    answers = {}
    for k, (method, path, _) in enumerate(one for one in REQUESTS if one[2] is not None):
        with _from(f"127.0.1.{k}", guarded) as http:
            answers[f"{method} {path}"] = http.request(method, path)
    with _from("127.0.0.13", guarded) as http:
        alive, ready = http.get("/healthz"), http.get("/readyz")

    assert {one.status_code for one in answers.values()} == {401}
    assert {one.headers.get("www-authenticate") for one in answers.values()} == {'Bearer realm="atomstream"'}
    assert answers["GET /v1/status"].json()["code"] == "token_missing"
    assert (alive.json(), ready.json()) == ({"status": "alive"}, {"ready": True})


def test_a_viewer_is_told_why_a_service_is_not_ready_where_a_stranger_is_not(guarded: Launched, tokens: dict[str, str]) -> None:
    assert httpx.get(f"{guarded.url}/readyz", headers=_bearer(tokens["viewer"])).json() == {"ready": True, "reasons": []}
    assert httpx.get(f"{guarded.url}/readyz", headers=_bearer("ast_0_0")).json() == {"ready": True}


def test_a_change_is_journalled_under_its_token_s_name(guarded: Launched, tokens: dict[str, str]) -> None:
    guarded.control("lee", tokens["operator"]).set_member("m01", "disabled", reason="foggy")
    guarded.control(None, tokens["admin"]).set_member("m01", "enabled")

    actors = [entry["actor"] for entry in guarded.control(token=tokens["viewer"]).journal()]
    assert actors[-2:] == ["a-operator (operator) for lee", "a-admin (admin)"]


def test_a_revoked_and_an_expired_token_are_refused_by_the_running_service(guarded: Launched, state: Path) -> None:
    file, long_ago = TokenFile(state), TokenFile(state, lambda: datetime(2020, 1, 1, tzinfo=UTC))
    token, old = file.add("guest", Role.VIEWER), long_ago.add("old", Role.ADMIN, timedelta(days=1))
    with _from("127.0.0.10", guarded) as http:
        before = http.get("/v1/status", headers=_bearer(token))
        file.revoke("guest")
        revoked, expired = (http.get("/v1/status", headers=_bearer(one)) for one in (token, old))

    assert before.status_code == 200
    assert (revoked.status_code, revoked.json()["code"]) == (401, "token_unknown")
    assert (expired.status_code, expired.json()["code"]) == (401, "token_expired")


def test_who_keeps_trying_tokens_is_slowed_down_and_others_are_not(guarded: Launched, tokens: dict[str, str]) -> None:
    with _from("127.0.0.11", guarded) as trying, _from("127.0.0.12", guarded) as other:
        answers = [trying.get("/v1/status", headers=_bearer("ast_0_0"))]
        while answers[-1].status_code == 401 and len(answers) < 1000:
            answers.append(trying.get("/v1/status", headers=_bearer(f"ast_0_{len(answers)}")))
        good = trying.get("/v1/status", headers=_bearer(tokens["viewer"]))
        elsewhere = other.get("/v1/status", headers=_bearer("ast_0_0"))

    # One more is allowed every second, so it takes more of them where they are slow; which of them is the last to be let through is chance.
    assert len(answers) > 20
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) > 0
    assert (good.status_code, elsewhere.status_code) == (200, 401)


def test_what_is_not_let_in_is_counted(guarded: Launched, tokens: dict[str, str]) -> None:
    def count() -> int:
        refused: dict[str, int] = guarded.control(token=tokens["viewer"]).status()["access"]["http"]
        return sum(refused.values())

    before = count()
    httpx.get(f"{guarded.url}/v1/status", headers=_bearer("ast_0_0"))
    metrics = httpx.get(f"{guarded.url}/metrics", headers=_bearer(tokens["viewer"])).text

    assert count() == before + 1
    assert 'elit_access_refused_total{reason="forbidden",way="http"}' in metrics


@pytest.mark.parametrize(("host", "known"), [("scope.example", True), ("scope.example:8000", True), ("evil.example", False), ("127.0.0.3", False), ("", False)])
def test_only_known_host_names_are_answered(guarded: Launched, tokens: dict[str, str], host: str, known: bool) -> None:
    answer = httpx.get(f"{guarded.url}/v1/status", headers={"Host": host, **_bearer(tokens["viewer"])})

    assert answer.status_code == (200 if known else 400)
    assert known or answer.json()["code"] == "bad_host"


def test_a_page_of_others_can_change_nothing_even_on_this_machine(local: Launched) -> None:
    body = {"enabled": ["m00"]}
    foreign = httpx.put(f"{local.url}/v1/members", json=body, headers={"Origin": "http://evil.example"})
    own = httpx.get(f"{local.url}/v1/status", headers={"Origin": local.url})

    assert (foreign.status_code, foreign.json()["code"]) == (403, "cross_origin")
    assert own.status_code == 200
    assert "access-control-allow-origin" not in own.headers


def test_this_machine_needs_no_token_by_default_but_what_a_proxy_brings_does(local: Launched) -> None:
    direct = httpx.get(f"{local.url}/v1/status")
    forwarded = [httpx.get(f"{local.url}/v1/status", headers=one) for one in ({"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"})]

    assert direct.status_code == 200
    assert [one.status_code for one in forwarded] == [401, 401]


def test_a_body_larger_than_its_route_allows_is_refused_without_being_read(guarded: Launched, tokens: dict[str, str]) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 16)

    headers = {**_bearer(tokens["admin"]), "Content-Type": "application/json"}
    announced = httpx.put(f"{guarded.url}/v1/members", content=bytes(2 << 20), headers=headers)
    with httpx.Client() as http:
        unannounced = http.put(f"{guarded.url}/v1/members", content=pieces(), headers=headers)
        frame, bundle = (http.post(f"{guarded.url}/v1/{what}", content=pieces(), headers=headers) for what in ("infer", "ensembles"))
    unknown = httpx.put(f"{guarded.url}/v1/members", content=bytes(2 << 20))

    assert [(one.status_code, one.json()["code"]) for one in (announced, unannounced, frame, bundle)] == [(413, "too_large")] * 4
    assert unknown.status_code in (401, 429)


def test_a_head_that_is_too_large_is_refused(guarded: Launched) -> None:
    sizes = (31 << 10, 64 << 10)

    assert [httpx.get(f"{guarded.url}/healthz", headers={"X-Long": "x" * size}).status_code for size in sizes] == [200, 431]


@contextlib.contextmanager
def _served(settings: uvicorn.Config) -> Iterator[str]:
    server = uvicorn.Server(settings)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _settings(app: FastAPI) -> uvicorn.Config:
    return server_settings(app, Config())


def test_a_body_that_does_not_come_ends_the_request() -> None:
    app = FastAPI()

    @app.post("/")
    async def take(request: Request) -> int:
        return len(await request.body())

    app.add_middleware(BoundedBodies, rules=Rules({"POST /": Rule(None)}), limits=dict.fromkeys(Body, 100), patience_s=0.3)
    with _served(_settings(app)) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), 10) as slow:
            slow.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
            answer = b"".join(iter(lambda: slow.recv(4096), b""))
        whole = httpx.post(f"http://{address}/", content=bytes(10))

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"too_slow" in answer
    assert whole.json() == 10


def test_a_head_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomstream_service.control._protocol.HEADERS_S", 0.3)
    app = FastAPI()
    app.get("/")(lambda: 1)
    with _served(_settings(app)) as address:
        host, _, port = address.partition(":")
        ended = []
        for first in (b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            with socket.create_connection((host, int(port)), 10) as slow:
                slow.sendall(first)
                while first and not slow.recv(4096).endswith(b"1"):
                    pass
                slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
                ended.append(b"".join(iter(lambda: slow.recv(4096), b"")))

    assert ended == [b"", b""]


def _knock(gate: Gate, headers: dict[str, str], client: str) -> list[dict[str, Any]]:
    """What a WebSocket's knocking is answered with."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "websocket",
        "path": "/v1/live",
        "query_string": b"",
        "client": (client, 1),
        "headers": [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1", **headers}.items()],
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    return sent


def test_a_websocket_brings_its_token_as_a_protocol(tmp_path: Path) -> None:
    callers: list[Caller] = []

    async def live(scope: Any, receive: Any, send: Any) -> None:
        callers.append(scope["state"]["caller"])
        await send({"type": "websocket.accept"})

    file = TokenFile(tmp_path)
    token = file.add("kim", Role.VIEWER)
    gate = Gate(live, Config(state=tmp_path), Gatekeeper(file, "loopback-open", Throttle()), Rules({"WS /v1/live": VIEWER}))
    let_in = _knock(gate, {"sec-websocket-protocol": f"atomstream.v1, bearer.{token}"}, "10.0.0.1")
    local = _knock(gate, {}, "127.0.0.1")
    refused = [
        _knock(gate, {}, "10.0.0.1"),
        _knock(gate, {"sec-websocket-protocol": "atomstream.v1, bearer.ast_0_0"}, "10.0.0.1"),
        _knock(gate, {"origin": "http://evil.example"}, "127.0.0.1"),
        _knock(gate, {"host": "evil.example"}, "127.0.0.1"),
    ]

    assert let_in == [{"type": "websocket.accept", "subprotocol": "atomstream.v1"}]
    assert local == [{"type": "websocket.accept"}]
    assert callers == [Caller("kim", Role.VIEWER, "10.0.0.1"), Caller(None, Role.ADMIN, "127.0.0.1")]
    assert [one[0]["type"] for one in refused] == ["websocket.close"] * 4


def test_a_client_s_token_is_carried_to_no_other_place() -> None:
    app = FastAPI()
    seen: list[str | None] = []

    @app.get("/v1/status")
    def away(request: Request) -> Any:
        return RedirectResponse("/elsewhere")

    @app.get("/elsewhere")
    def elsewhere(request: Request) -> dict[str, str]:
        seen.append(request.headers.get("authorization"))
        return {}

    with _served(_settings(app)) as address, pytest.raises(RequestFailed) as refusal:
        ControlClient(f"http://{address}", token="secret").status()

    assert refusal.value.status == 307
    assert seen == []


def test_a_certificate_makes_it_https(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    try:
        subprocess.run(
            [*made, "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True, timeout=60
        )
    except FileNotFoundError:
        pytest.skip("no openssl on this machine to make a certificate with")
    config = Config(state=tmp_path, http="localhost:0", tls_cert=certificate, tls_key=key)
    warned = check_listening(config)
    app = FastAPI()
    app.get("/readyz")(lambda: {"ready": True})
    with _served(server_settings(app, config)) as address:
        url = f"https://localhost:{address.rpartition(':')[2]}"
        trusted, strange = ControlClient(url, ca_file=str(certificate)).ready(), ControlClient(url)
        with pytest.raises(ServiceUnreachable, match="certificate"):
            strange.status()

    assert warned == []
    assert config.scheme == "https"
    assert trusted
    key.write_text("no key")
    with pytest.raises(AccessFileError, match=r"key\.pem"):
        check_listening(config)


def test_a_certificate_that_is_none_is_named() -> None:
    with pytest.raises(BadKeys, match=r"none\.pem"):
        ControlClient("https://localhost", ca_file="none.pem")
