"""Errors of object stores: each is one sentence that names the address and says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, for another server AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN",
}
"""Variables of the environment that a store's client reads, by scheme."""

_MOST_SAID = 200


class StoreError(Exception):
    """Failure of a store, or of what it was asked."""


class NotStored(StoreError):
    """Bucket or file that the store does not have."""


class Changed(StoreError):
    """File that somebody else has written, made or removed meanwhile."""


@contextmanager
def explained(url: str, done: str = "read") -> Iterator[None]:
    """Raise what goes wrong in a store's client as a StoreError.

    Args:
        url: of the folder or file.
        done: participle of what is done to it, for the sentence.
    """
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        if error.errno is not None:  # of this machine
            raise
        raise _missing(url) from None
    except Exception as error:  # the client's own, and of the packages below it
        if type(error).__module__.partition(".")[0] not in ("obstore", "builtins") or isinstance(error, OSError):
            raise
        raise _meaning(url, error, done) from None


def _meaning(url: str, error: Exception, done: str) -> StoreError:
    said = " ".join(str(error).partition("\n\nDebug source")[0].split())[:_MOST_SAID]
    name = type(error).__name__
    given = f"set {CREDENTIALS[url.partition('://')[0]]} in the environment"
    if name in ("AlreadyExistsError", "PreconditionError"):
        return Changed(f"{url}: somebody else has written it meanwhile; try again")
    if name == "NotFoundError" or "404 Not Found" in said:
        return _missing(url)
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return StoreError(f"{url}: the store refuses these credentials: {given}; it said: {said}")
    told = said
    for part in filter(None, url.partition("://")[2].split("/")):  # which may be called "metadata" itself
        told = told.replace(part, "")
    if any(word in told for word in ("169.254", "metadata", "credential", "Credential")):
        return StoreError(f"{url}: there are no credentials for the store: {given}")
    return StoreError(f"{url}: the store cannot be {done}: {said}; {given}")


def _missing(url: str) -> NotStored:
    return NotStored(f"{url}: the store has no such bucket or file")
