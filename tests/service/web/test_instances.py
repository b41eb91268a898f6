"""The dashboard behind a balancer: figures of one instance at a time, and the sum of all."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path

import httpx
import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from playwright.sync_api import Page, Route, expect

from tests.support.server import running

pytestmark = pytest.mark.browser


class _Prometheus(BaseHTTPRequestHandler):
    """Prometheus that has scraped two instances."""

    def do_GET(self) -> None:
        found = [({"figure": "rows", "instance": f"web-{i}:8000"}, 6000 * i) for i in (1, 2)]
        found += [({"figure": "weight", "task": "price", "expert": str(e)}, 4500) for e in range(4)]
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in found]
        content = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory, hand_model: Callable[..., Path]) -> Iterator[list[str]]:
    """Run two services on the same models, with a Prometheus to ask."""
    models = tmp_path_factory.mktemp("models")
    hand_model(models, "hand", 1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Prometheus)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with ExitStack() as stack:
        stack.callback(serving.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"
        yield [stack.enter_context(running(models, prometheus_url=url)).url for _ in range(2)]


@pytest.fixture(scope="module")
def address(addresses: list[str]) -> str:
    return addresses[0]


def test_one_of_several_instances_is_shown_and_named_beside_their_sum(page: Page, addresses: list[str]) -> None:
    for rows, service in zip((70, 90), addresses, strict=True):
        httpx.post(f"{service}/v1/predict", json={"instances": [{"age": 30}] * rows})
    reports = [httpx.get(f"{service}/v1/gates?window=1h").json() for service in addresses]
    turn = cycle(addresses)

    def balance(route: Route) -> None:
        route.fulfill(response=route.fetch(url=next(turn) + route.request.url.removeprefix(addresses[0])))

    page.route("**/v1/models/hand/gates?*", balance)
    page.goto(f"{addresses[0]}/#/hand/traffic?window=1h")
    view = page.locator("#view-traffic")
    expect(view).to_contain_text("2 instances answer at this address")
    for report in (reports[1], reports[0]):
        page.get_by_role("combobox", name="Instance").select_option(report["instance"])
        expect(view).to_contain_text(f"{report['rows']} rows in the last hour")
        for _ in range(3):  # polls of both come, and figures of one are shown
            with page.expect_response("**/v1/models/hand/gates?*"):
                pass
            expect(view).to_contain_text(f"{report['rows']} rows in the last hour")
    expect(view).to_contain_text("18,000 rows of 2 instances: web-1:8000 6,000, web-2:8000 12,000")
    table = page.get_by_role("table", name="Utilisation over all instances")
    assert table.locator("tbody tr").first.locator("td").all_inner_texts() == ["0.250"] * 4
