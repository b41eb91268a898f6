"""The extra that gRPC needs; the service installs and runs without it."""

import importlib.util

from service.errors import SettingsError
from service.settings import Settings

INSTALL = "pip install -c constraints.txt -e '.[grpc]'"


def wants_grpc(settings: Settings) -> bool:
    """Tell whether there is a port for gRPC.

    Raises:
        SettingsError: there is, and grpcio is not installed.
    """
    if settings.grpc_port is None:
        return False
    if importlib.util.find_spec("grpc") is None:
        expected = f"grpcio to be installed for it: {INSTALL}, or no such port"
        raise SettingsError("MMOE_GRPC_PORT", str(settings.grpc_port), expected)
    return True
