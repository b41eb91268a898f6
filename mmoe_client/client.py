"""Clients of the service: the same calls, synchronous and asynchronous."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from mmoe_client import calls
from mmoe_client.answers import Prediction, frame_like
from mmoe_client.calls import Call, Known, Reply, Steps
from mmoe_client.errors import ClientError, MalformedRequest
from mmoe_client.metadata import Metadata
from mmoe_client.rows import Extra, Rows, is_frame
from mmoe_client.transport import Attempts, Policy, reply_of

Result = TypeVar("Result")

Keys = Iterable[str | int]
"""The caller's own name of each row."""


class _Steps:
    """Steps of each call, as both clients run them."""

    def __init__(self, model: str | None, extra: Extra, lenient: bool, policy: Policy) -> None:
        self._model, self._extra, self._policy = model, extra, policy
        self._known = Known(options={"lenient": True} if lenient else {})

    def _named(self, model: str | None) -> Steps[str]:
        """Return the model asked for, the client's, or the service's default."""
        if (named := model or self._model) is None:
            found = yield from calls.fetch("/v1/models")
            named = next((entry["name"] for entry in found["models"] if entry.get("default")), None)
        if named is None:
            raise MalformedRequest("the service has no default model; name one: Client(url, model='census_income')")
        self._model = self._model or named
        return named

    def _metadata(self, model: str | None, version: int | None) -> Steps[Metadata]:
        named = yield from self._named(model)
        return (yield from calls.metadata(self._known, named, version, fresh=True))

    def _predict(
        self, rows: Rows, model: str | None, version: int | None, request_id: str, keys: Keys | None, canary_key: str
    ) -> Steps[Prediction]:
        named = yield from self._named(model)
        known = self._known
        return (yield from calls.predict(known, rows, named, version, self._extra, request_id, keys, canary_key))

    def _predict_frame(self, frame: Any, model: str | None, version: int | None, gates: bool) -> Steps[Any]:
        if not is_frame(frame):
            raise MalformedRequest(f"a {type(frame).__name__} came; expected a DataFrame of pandas or polars")
        named = yield from self._named(model)
        described = yield from calls.metadata(self._known, named, version)
        answer = yield from calls.predict(self._known, frame, named, version, self._extra, "")
        return frame_like(frame, answer.columns(described, gates))

    def _gates(
        self, rows: Rows, model: str | None, version: int | None, request_id: str, options: dict[str, Any]
    ) -> Steps[dict[str, Any]]:
        named = yield from self._named(model)
        return (yield from calls.gates(self._known, rows, named, version, self._extra, request_id, options))

    def _traffic(self, window: str, model: str | None, version: int | None) -> Steps[dict[str, Any]]:
        named = yield from self._named(model)
        found: dict[str, Any] = yield from calls.fetch(f"{calls.path_of(named, version)}/gates?window={window}")
        return found

    def _labels(
        self, tasks: Mapping[str, Iterable[Any]], named: Mapping[str, Iterable[Any] | None], model: str | None
    ) -> Steps[int]:
        columns = {name: values for name, values in named.items() if values is not None}
        return (yield from calls.labels(self._known, columns, tasks, (yield from self._named(model))))

    def _models(self) -> Steps[list[dict[str, Any]]]:
        found = yield from calls.fetch("/v1/models")
        entries: list[dict[str, Any]] = found["models"]
        return entries


class Client(_Steps):
    """Client of one service, for threads; `with Client(url) as client` closes its connections.

    Args:
        url: of the service, for example "http://127.0.0.1:8000".
        model: to ask; by default the service's default model.
        api_key: where the service has keys.
        timeout_s: of a call, with its tries; sent along as the request's deadline.
        tries: how often a request is sent at most, where the service is overloaded or not ready,
            or the connection breaks.
        connections: that are kept at most.
        extra: "ignore" leaves out columns that are not features; by default the service refuses
            them.
        lenient: whether the service is to take rows as they stand in the table: numbers for
            categories that equal them, its markers of missing values, and columns of labels, which
            it ignores; `notes` of the answer tell.
        transport: of httpx, in place of the network.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str = "",
        timeout_s: float = 30.0,
        tries: int = 4,
        connections: int = 10,
        extra: Extra = "refuse",
        lenient: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(model, extra, lenient, Policy(timeout_s, tries, api_key))
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.Client(base_url=url, limits=limits, transport=transport, trust_env=False)

    def predict(
        self,
        rows: Rows,
        *,
        model: str | None = None,
        version: int | None = None,
        request_id: str = "",
        keys: Keys | None = None,
        canary_key: str = "",
        timeout_s: float | None = None,
    ) -> Prediction:
        """Predict every task for rows, with the gate weights.

        Long requests are cut to what the service takes and put together again.

        Args:
            rows: dicts, lists, columns, a numpy array or a DataFrame.
            model: in place of the client's.
            version: in place of the served one; it must be loaded.
            request_id: names the request in the service's log; parts get "-0", "-1" and so on.
            keys: name the rows in the prediction log, for labels that come later.
            canary_key: such as a user's; requests of one key meet one version, also while a canary
                answers a share of the requests.
            timeout_s: in place of the client's.

        Raises:
            ClientError: one of its leaves.
        """
        return self._run(self._predict(rows, model, version, request_id, keys, canary_key), timeout_s)

    def predict_frame(
        self,
        frame: Any,
        *,
        model: str | None = None,
        version: int | None = None,
        gates: bool = True,
        timeout_s: float | None = None,
    ) -> Any:
        """Predict the rows of a DataFrame; returns one of the same library and index.

        Its columns are the tasks (`price`; `grade.low` and so on for classes) and, unless `gates`
        is false, the experts' weights (`price.expert_0` and so on).
        """
        return self._run(self._predict_frame(frame, model, version, gates), timeout_s)

    def gates(
        self,
        rows: Rows,
        *,
        contributions: bool = False,
        top_k: int | None = None,
        ablation: bool = False,
        model: str | None = None,
        version: int | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Inspect what the gates do with rows, and why; docs/api.md has the answer."""
        options = {"contributions": contributions, "top_k": top_k, "ablation": ablation}
        return self._run(self._gates(rows, model, version, request_id, options), timeout_s)

    def traffic(self, window: str = "5m", *, model: str | None = None, version: int | None = None) -> dict[str, Any]:
        """Describe the gates over live traffic; docs/traffic.md has the answer."""
        return self._run(self._traffic(window, model, version))

    def labels(
        self,
        tasks: Mapping[str, Iterable[Any]],
        *,
        key: Keys | None = None,
        request_id: Iterable[str] | None = None,
        row: Iterable[int] | None = None,
        model: str | None = None,
    ) -> int:
        """Report labels of rows that were answered earlier (docs/quality.md).

        Args:
            tasks: labels by task, as the training table writes them; None is none.
            key: names each row, where it was sent with one.
            request_id: of each row's answer, in place of `key`; `row` is its place there.
            row: 0 for all by default.
            model: in place of the client's.

        Returns:
            How many rows were taken.
        """
        named = {"key": key, "request_id": request_id, "row": row}
        return self._run(self._labels(tasks, named, model))

    def models(self) -> list[dict[str, Any]]:
        """List the models and their versions."""
        return self._run(self._models())

    def metadata(self, model: str | None = None, version: int | None = None) -> Metadata:
        """Fetch a model's features, tasks and manifest."""
        return self._run(self._metadata(model, version))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[Result], timeout_s: float | None = None) -> Result:
        deadline = time.monotonic() + (timeout_s or self._policy.timeout_s)
        try:
            call = next(steps)
            while True:
                try:
                    reply = self._send(call, deadline)
                except ClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as end:
            answer: Result = end.value
            return answer

    def _send(self, call: Call, deadline: float) -> Reply:
        attempts = Attempts(call, self._policy, deadline)
        while True:
            request = attempts.request(self._http)
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                pause = attempts.pause_after(error)
            else:
                if response.is_success:
                    return reply_of(response)
                pause = attempts.pause_after(response)
            time.sleep(pause)


class AsyncClient(_Steps):
    """Client of one service, for asyncio; the same words and arguments as `Client`."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str = "",
        timeout_s: float = 30.0,
        tries: int = 4,
        connections: int = 10,
        extra: Extra = "refuse",
        lenient: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(model, extra, lenient, Policy(timeout_s, tries, api_key))
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._http = httpx.AsyncClient(base_url=url, limits=limits, transport=transport, trust_env=False)

    async def predict(
        self,
        rows: Rows,
        *,
        model: str | None = None,
        version: int | None = None,
        request_id: str = "",
        keys: Keys | None = None,
        canary_key: str = "",
        timeout_s: float | None = None,
    ) -> Prediction:
        """Predict every task for rows, as `Client.predict` does."""
        return await self._run(self._predict(rows, model, version, request_id, keys, canary_key), timeout_s)

    async def predict_frame(
        self,
        frame: Any,
        *,
        model: str | None = None,
        version: int | None = None,
        gates: bool = True,
        timeout_s: float | None = None,
    ) -> Any:
        """Predict the rows of a DataFrame, as `Client.predict_frame` does."""
        return await self._run(self._predict_frame(frame, model, version, gates), timeout_s)

    async def gates(
        self,
        rows: Rows,
        *,
        contributions: bool = False,
        top_k: int | None = None,
        ablation: bool = False,
        model: str | None = None,
        version: int | None = None,
        request_id: str = "",
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Inspect what the gates do with rows, as `Client.gates` does."""
        options = {"contributions": contributions, "top_k": top_k, "ablation": ablation}
        return await self._run(self._gates(rows, model, version, request_id, options), timeout_s)

    async def traffic(
        self, window: str = "5m", *, model: str | None = None, version: int | None = None
    ) -> dict[str, Any]:
        """Describe the gates over live traffic; docs/traffic.md has the answer."""
        return await self._run(self._traffic(window, model, version))

    async def labels(
        self,
        tasks: Mapping[str, Iterable[Any]],
        *,
        key: Keys | None = None,
        request_id: Iterable[str] | None = None,
        row: Iterable[int] | None = None,
        model: str | None = None,
    ) -> int:
        """Report labels of rows that were answered earlier, as `Client.labels` does."""
        named = {"key": key, "request_id": request_id, "row": row}
        return await self._run(self._labels(tasks, named, model))

    async def models(self) -> list[dict[str, Any]]:
        """List the models and their versions."""
        return await self._run(self._models())

    async def metadata(self, model: str | None = None, version: int | None = None) -> Metadata:
        """Fetch a model's features, tasks and manifest."""
        return await self._run(self._metadata(model, version))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result], timeout_s: float | None = None) -> Result:
        deadline = time.monotonic() + (timeout_s or self._policy.timeout_s)
        try:
            call = next(steps)
            while True:
                try:
                    reply = await self._send(call, deadline)
                except ClientError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(reply)
        except StopIteration as end:
            answer: Result = end.value
            return answer

    async def _send(self, call: Call, deadline: float) -> Reply:
        attempts = Attempts(call, self._policy, deadline)
        while True:
            request = attempts.request(self._http)
            try:
                response = await self._http.send(request)
            except httpx.TransportError as error:
                pause = attempts.pause_after(error)
            else:
                if response.is_success:
                    return reply_of(response)
                pause = attempts.pause_after(response)
            await asyncio.sleep(pause)
