"""Small collector of spans that speaks OTLP over HTTP, for the real exporter to send to."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Collector:
    """Collector that takes what is sent, and answers with a status."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.status = 200
        self.heard = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(outer.status)
                self.send_header("content-length", "0")
                self.end_headers()
                if outer.status == 200 and self.path == "/v1/traces":
                    outer.take(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        with self.heard:
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append({a.key: a.value.string_value for a in of_resource.resource.attributes})
                for of_scope in of_resource.scope_spans:
                    self.spans.extend(of_scope.spans)
            self.heard.notify_all()

    def wait_for(self, spans: int) -> list[Any]:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.spans) >= spans, 30), len(self.spans)
            return list(self.spans)

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def attributes(span: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
