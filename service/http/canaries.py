"""Choice of the version that answers a prediction which names none, where there is a canary."""

from collections.abc import Mapping

from service.http.body import REQUEST_ID
from service.http.correlation import RequestIdSource, request_id
from service.http.types import Headers
from service.versions.canary import Split

CANARY_KEY = b"x-canary-key"


class Canaries:
    """Canaries of the loaded models, as requests meet them.

    Args:
        splits: by the model's name, kept up to date; None stands for the default model.

    Attributes:
        splits: the same; empty most of the time.
    """

    def __init__(self, splits: Mapping[str | None, Split]) -> None:
        self.splits = splits
        self._ids = RequestIdSource()

    def choose(self, name: str | None, headers: Headers) -> tuple[str | None, int | None, Headers]:
        """Return model, version and headers for a call that names no version.

        The version is None where the served one answers. A call without a key goes by its request
        id; one that has none gets it here, so that the answer tells by which it went.
        """
        split = self.splits.get(name)
        if split is None:
            return name, None, headers
        key = headers.get(CANARY_KEY) or request_id(headers)
        if key is None:
            key = self._ids.next()
            headers = {**headers, REQUEST_ID: key}
        return split.model, split.version if split.takes(key) else None, headers
