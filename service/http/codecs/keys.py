"""The caller's own names of rows: `keys` of a body, or a header for a single row."""

from service.errors import InvalidFeatures, MalformedRequest, ValueProblem
from service.inference.features import Batch
from service.system.quoting import quote

ROW_KEY = b"x-row-key"
MOST_KEY = 256
"""Characters of a key."""
EXPECTED = 'keys such as [17, "order-7"], one a row: text of 1 to 256 characters, or a whole number'


def keyed(batch: Batch, keys: object) -> Batch:
    """Name the rows of a batch.

    Args:
        batch: of B rows.
        keys: as they came, one a row.

    Raises:
        MalformedRequest: not an array of B.
        InvalidFeatures: one of them is not a key, with its row.
    """
    if type(keys) is not list or len(keys) != batch.rows:
        came = f"{len(keys)} keys and {batch.rows} rows" if type(keys) is list else f'"keys" as {quote(keys)}'
        raise MalformedRequest(f"the body has {came}", EXPECTED)
    return batch._replace(keys=tuple(read_key(key, row) for row, key in enumerate(keys)))


def keyed_by_header(batch: Batch, value: bytes) -> Batch:
    """Name the only row of a batch by the header X-Row-Key.

    Raises:
        MalformedRequest: there are several rows, or the body names them already.
        InvalidFeatures: it is not a key.
    """
    if batch.rows != 1 or batch.keys is not None:
        there = "keys in its body" if batch.keys is not None else f"{batch.rows} rows"
        raise MalformedRequest(f"the request has the header X-Row-Key and {there}", f"it with one row, or {EXPECTED}")
    return batch._replace(keys=(read_key(_text(value), 0),))


def _text(header: bytes) -> str:
    """Decode a header's value: UTF-8 as callers write it, or Latin-1, that of HTTP."""
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def read_key(raw: object, row: int) -> str:
    """Read the name of a row.

    Raises:
        InvalidFeatures: it is not one.
    """
    if type(raw) is int:
        return str(raw)
    if type(raw) is str and 0 < len(raw) <= MOST_KEY and raw.isprintable():
        return raw
    message = f"its key is {quote(raw)}; expected text of 1 to {MOST_KEY} characters, or a whole number"
    raise InvalidFeatures([ValueProblem(row, None, message)])
