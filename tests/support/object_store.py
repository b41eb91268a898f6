"""Object store on loopback, and a proxy in front of it whose answers can be spoilt."""

import http.client
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")


@dataclass
class Answer:
    """Answer of the store on its way to a client.

    Attributes:
        announced: bytes that its head promises; None for as many as there are.
        dropped: whether the connection ends without a word.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    announced: int | None = None
    dropped: bool = False


Fault = Callable[[str, str, Answer], Answer]
"""Given the method and the path of a request, and its answer; returns what the client gets."""


class Proxy:
    """Proxy in front of a store, one thread a connection.

    Attributes:
        fault: what becomes of answers; None leaves them as they are.
        lists: the latest honest answer to each request for a list, by path.
    """

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.fault: Fault | None = None
        self.lists: dict[str, Answer] = {}
        self._writing = threading.Lock()  # moto looks at a write's condition and writes in two steps
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.pass_on(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

            def log_message(self, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def pass_on(self, request: BaseHTTPRequestHandler) -> None:
        """Ask the store, spoil its answer, give it to the client."""
        sent = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self._writing if request.command == "PUT" else nullcontext():
            answer = self._ask(request, sent)
        if self.fault is not None:
            answer = self.fault(request.command, request.path, answer)
        elif "list-type" in request.path:
            self.lists[request.path] = answer
        if answer.dropped:
            request.close_connection = True
            return
        request.send_response_only(answer.status)
        for name, value in answer.headers:
            request.send_header(name, value)
        if request.command != "HEAD" and answer.status != 204:
            announced = len(answer.body) if answer.announced is None else answer.announced
            request.send_header("Content-Length", str(announced))
            request.close_connection = announced != len(answer.body)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer.body)

    def _ask(self, request: BaseHTTPRequestHandler, sent: bytes) -> Answer:
        connection = http.client.HTTPConnection(str(self.target.hostname), self.target.port, timeout=30)
        connection.request(request.command, request.path, sent, dict(request.headers.items()))
        came = connection.getresponse()
        body = came.read()
        connection.close()
        hidden = {"connection", "transfer-encoding", "server", "date"}
        hidden |= set() if request.command == "HEAD" else {"content-length"}
        return Answer(came.status, [(n, v) for n, v in came.getheaders() if n.lower() not in hidden], body)

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class ObjectStore:
    """Store with an empty bucket, and the way to it that the environment names.

    Attributes:
        client: of boto3, which goes to the store itself.
        direct: address of the store itself.
        proxy: in front of it.
        bucket: of a name that no other store has: those of a process share what they hold.
    """

    client: Any
    direct: str
    proxy: Proxy
    bucket: str

    @property
    def url(self) -> str:
        """Return the address of the folder for models."""
        return f"s3://{self.bucket}/models"

    def put(self, path: str, content: bytes, **metadata: str) -> None:
        """Write a file of the folder, past the proxy."""
        self.client.put_object(Bucket=self.bucket, Key=f"models/{path}", Body=content, Metadata=metadata)

    def delete(self, path: str) -> None:
        """Remove a file of the folder, past the proxy."""
        self.client.delete_object(Bucket=self.bucket, Key=f"models/{path}")

    def paths(self) -> list[str]:
        """List the files of the folder, past the proxy."""
        found = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return [entry["Key"].removeprefix("models/") for entry in found]


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Run a store whose clients go through the proxy; the environment is set meanwhile."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    pytest.importorskip("obstore")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    proxy = Proxy(f"http://{host}:{port}")
    with pytest.MonkeyPatch.context() as patch:
        for name in OTHERS:
            patch.delenv(name, raising=False)
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": proxy.url}.items():
            patch.setenv(name, value)
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}")
        bucket = f"shelf-{secrets.token_hex(4)}"
        client.create_bucket(Bucket=bucket)
        try:
            yield ObjectStore(client, f"http://{host}:{port}", proxy, bucket)
        finally:
            proxy.close()
            server.stop()
