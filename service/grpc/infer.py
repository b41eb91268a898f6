"""ModelInfer: message -> batch -> the run that it shares with HTTP's requests -> message."""

from typing import Any

from service.engine import Engine
from service.errors import MalformedRequest
from service.grpc.calls import GrpcCall, parsed
from service.grpc.messages import MESSAGES
from service.grpc.tensors import parse, render
from service.grpc.wire import check_parts
from service.http.admission import Admission
from service.http.body import whole_number
from service.http.canaries import Canaries
from service.http.codecs import v2_infer
from service.http.codecs.endpoint import Endpoints
from service.http.codecs.keys import ROW_KEY, keyed_by_header
from service.system.quoting import quote


class ModelInfer:
    """Method that answers rows.

    Args:
        engine: of the process.
        endpoints: of its models.
        admission: gives large messages their turn.
    """

    def __init__(self, engine: Engine, endpoints: Endpoints, admission: Admission) -> None:
        self._clock, self._endpoints, self._admission = engine.clock, endpoints, admission
        self._canaries = Canaries(engine.catalogue.splits)

    async def __call__(self, call: GrpcCall, body: bytes) -> Any:
        """Answer a ModelInferRequest; errors as over HTTP."""
        await self._admission.turn(len(body))
        came = self._clock()
        check_parts(body)
        message = parsed(MESSAGES["ModelInferRequest"], body)
        name, version = asked(message.model_name, message.model_version)
        if version is None and self._canaries.splits:
            name, version, call.headers = self._canaries.choose(name, call.headers)
        call.asked = name, version
        endpoint = self._endpoints.get(*call.asked)
        rows = parse(endpoint.signature, endpoint.model, message)
        if ROW_KEY in call.headers:
            rows = rows._replace(batch=keyed_by_header(rows.batch, call.headers[ROW_KEY]))
        parse_s = (parsed_at := self._clock()) - came
        del message
        part = await v2_infer.infer(endpoint.model, rows.batch, rows.wanted, call.arrived, call.allowed_s)
        ran = self._clock()
        answer = render(endpoint.signature, endpoint.model, rows, part)
        call.served = endpoint, rows.batch, part, parse_s, self._clock() - ran, parsed_at
        return answer


def asked(name: str, version: str) -> tuple[str | None, int | None]:
    """Return the name and version of a model that a message names.

    The empty string stands for the default model, and for the version that is served.

    Raises:
        MalformedRequest: the version is not a number.
    """
    number = whole_number(version.encode()) if version else None
    if version and not number:
        raise MalformedRequest(f"the model's version is {quote(version)}", "a whole number from 1, or none")
    return name or None, number
