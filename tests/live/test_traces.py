from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import dots, make_plain_bundle
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from atomstream_client import Atoms, FramePublisher, ResultSubscriber
from atomstream_service.demo import free_endpoints, launched
from atomstream_service.traces import Stage, open_traces

STAGES = ["receive", "preprocess", "infer", "locate", "publish"]


class Collector:
    """An OTLP collector that keeps every span with the service that it came from."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        kept = self.spans

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    name = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
                    kept.extend((name, span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200 if self.path == "/v1/traces" else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *ignored: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Receiver)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with contextlib.closing(Collector()) as collector:
        yield collector


def _attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_collector_hears_of_each_frame_with_its_stages_and_of_each_change(collector: Collector, tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "plain")
    settings = f'otel_endpoint = "{collector.endpoint}"\nwarm_shapes = [[56, 64]]\n'
    with launched(tmp_path / "state", bundle=str(bundle.folder), config=settings) as service:
        with FramePublisher("test/traces", service.frames) as publisher, ResultSubscriber(service.results, kinds=("atoms",)) as subscriber:
            assert publisher.wait_for_reader()
            time.sleep(0.2)
            for _ in range(3):
                publisher.publish(dots((56, 64), [(20.0, 30.0)]))
                assert isinstance(subscriber.receive(30), Atoms)
        parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        httpx.patch(f"{service.url}/v1/members/m01", json={"state": "disabled"}, headers=parent).raise_for_status()
        httpx.get(f"{service.url}/v1/members").raise_for_status()

    frames = [span for name, span in collector.spans if name == "atomstream-engine" and span.name == "frame"]
    assert [_attributes(one)["atomstream.seq"] for one in frames] == [0, 1, 2]
    assert _attributes(frames[0])["atomstream.source"] == "test/traces"
    assert _attributes(frames[0])["atomstream.atoms"] == 1
    stages = [span for _, span in collector.spans if span.parent_span_id == frames[0].span_id]
    assert [one.name for one in sorted(stages, key=lambda one: int(one.start_time_unix_nano))] == STAGES
    for earlier, later in itertools.pairwise(stages):
        assert frames[0].start_time_unix_nano <= earlier.end_time_unix_nano <= later.start_time_unix_nano + 1000
    assert max(one.end_time_unix_nano for one in stages) <= frames[0].end_time_unix_nano
    (change,) = [span for name, span in collector.spans if name == "atomstream-control"]
    assert change.name == "PATCH /v1/members/{member}"
    assert (change.trace_id.hex(), change.parent_span_id.hex()) == ("ab" * 16, "cd" * 8)
    assert _attributes(change)["http.response.status_code"] == 200


def test_a_share_of_none_sends_nothing(collector: Collector) -> None:
    traces = open_traces(collector.endpoint, 0.0, "engine")
    traces.add(Stage("frame", 1.0, 2.0), [Stage("infer", 1.0, 1.5)])
    traces.close()

    assert collector.spans == []


def test_nobody_waits_for_a_collector_that_is_away() -> None:
    with free_endpoints(1) as (nobody,):
        traces = open_traces(f"http://{nobody}", 1.0, "engine")
        for _ in range(10_000):
            traces.add(Stage("frame", 1.0, 2.0))
        traces.close()


def test_where_opentelemetry_is_not_installed_the_service_refuses_to_start_and_names_the_extra(tmp_path: Path) -> None:
    settings = tmp_path / "a.toml"
    settings.write_text('otel_endpoint = "http://127.0.0.1:4318"\n')
    without = "import sys; sys.modules['opentelemetry.sdk'] = None; from atomstream_service.cli import main; sys.exit(main(sys.argv[1:]))"
    with free_endpoints(1) as (http,):
        command = ["serve", "--config", str(settings), "--state", str(tmp_path / "state"), "--http", http]
        done = subprocess.run([sys.executable, "-c", without, *command], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "atomstream[otel]" in done.stderr
