"""Tree of the service's errors, without what tests derive from it."""

from service.errors import ServiceError


def children(kind: type[ServiceError]) -> list[type[ServiceError]]:
    """List the errors of the service derived from one, in the order of their definition."""
    return [child for child in kind.__subclasses__() if child.__module__.startswith("service.")]


def leaves(kind: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """List the errors that are raised."""
    below = children(kind)
    return [leaf for child in below for leaf in leaves(child)] if below else [kind]
