"""TLS of the gRPC port, by files that are looked at again at every handshake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from service.errors import SettingsError
from service.settings import Settings, variable

_State = list[tuple[int, int, int]]


def credentials_of(settings: Settings) -> Any:
    """Return the TLS credentials; None where no certificate is named.

    Raises:
        SettingsError: a file cannot be read, or is not PEM.
    """
    fields = ("grpc_tls_cert", "grpc_tls_key", "grpc_tls_client_ca")
    files = {field: path for field in fields if (path := getattr(settings, field)) is not None}
    if not files:
        return None
    found = CertificateFiles(files)
    return grpc.dynamic_ssl_server_credentials(found.read(), found.renewed, "grpc_tls_client_ca" in files)


class CertificateFiles:
    """Certificate, key and, by choice, the authority of clients' certificates.

    Args:
        files: by the field of the settings that names them.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._seen: _State = []

    def read(self) -> Any:
        """Read the files as they are now.

        Raises:
            SettingsError: one cannot be read, or is not PEM.
        """
        seen, found = self._state(), {}
        for field, path in self._files.items():
            try:
                found[field] = path.read_bytes()
            except OSError as error:
                raise SettingsError(variable(field), str(path), f"a file of PEM ({error.strerror})") from None
            if b"-----BEGIN " not in found[field]:
                raise SettingsError(variable(field), str(path), "a file of PEM, which has a line -----BEGIN ...")
        self._seen = seen
        pair = found["grpc_tls_key"], found["grpc_tls_cert"]
        return grpc.ssl_server_certificate_configuration([pair], found.get("grpc_tls_client_ca"))

    def renewed(self) -> Any:
        """Return what the files hold if they have changed, else None; called by gRPC's threads."""
        try:
            return None if self._state() == self._seen else self.read()
        except SettingsError:
            return None  # half written: the next handshake looks again

    def _state(self) -> _State:
        found = []
        for field, path in self._files.items():
            try:
                state = path.stat()
            except OSError as error:
                raise SettingsError(variable(field), str(path), f"a file of PEM ({error.strerror})") from None
            found.append((state.st_mtime_ns, state.st_ino, state.st_size))
        return found
