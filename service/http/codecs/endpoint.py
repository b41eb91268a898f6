"""Endpoint of one loaded model version: reads its rows and writes its answers."""

from service.engine import Engine
from service.http.codecs.json_size import JsonLimits
from service.http.codecs.numbers import NumberParser
from service.http.codecs.render import Renderer
from service.http.codecs.rows import RowParser
from service.http.codecs.v2_tensors import Signature
from service.inference.labels import LabelReader
from service.inference.model import Model

VERSION = b"x-model-version"


class Endpoint:
    """Parsers and renderers of a model version.

    Attributes:
        version_header: names the version that answers, for the answer's head.
        codes: numbers under which its successful requests count, by route.
        labels: reads labels of its tasks.
        limits: of the JSON of its requests.
    """

    __slots__ = ("codes", "labels", "limits", "model", "parser", "renderer", "signature", "version_header")

    def __init__(self, model: Model, numbers: NumberParser) -> None:
        self.model = model
        self.version_header = VERSION, b"%d" % model.version
        self.codes: dict[str, int] = {}
        self.labels = LabelReader(model.manifest)
        outputs = len(model.manifest.outputs)
        self.limits = JsonLimits.of_rows(model.reader.max_rows, len(model.reader.names), outputs)
        self.parser = RowParser(model.reader, numbers)
        self.renderer = Renderer(model.name, model.version, model.manifest)
        self.signature = Signature(model.reader, model.manifest, numbers)


class Endpoints:
    """Endpoints by model, each of which lives as long as its model does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._numbers = NumberParser.create()

    def get(self, name: str | None = None, version: int | None = None) -> Endpoint:
        """Return the endpoint of a loaded model.

        Raises:
            ModelNotFound: it is not loaded.
            NotReady: nothing is.
        """
        model = self._engine.get(name, version)
        endpoint = model.transport
        if endpoint is None:
            endpoint = model.transport = Endpoint(model, self._numbers)
        assert isinstance(endpoint, Endpoint)
        return endpoint
