"""The deployed configuration of the balancer on ports of this machine."""

import re
from collections.abc import Sequence
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx"


def write_config(
    directory: Path, port: int, replicas: Sequence[int], grpc: tuple[int, Sequence[int]] | None = None
) -> Path:
    """Copy the balancer's deployed configuration to free ports.

    Only the addresses to listen on, the place of files and the replicas' addresses differ.

    Args:
        directory: where it goes, and what nginx writes.
        port: of HTTP.
        replicas: their ports.
        grpc: the same two for gRPC; None where nobody asks there.
    """
    upstream = (CONFIG / "upstream.conf").read_text()
    listen, theirs = (f"unix:{directory}/grpc", [1]) if grpc is None else (f"127.0.0.1:{grpc[0]}", grpc[1])
    for meant, ports in (("8000", replicas), ("9000", theirs)):
        servers = [f"server 127.0.0.1:{replica}\\1;" for replica in ports]
        upstream, found = re.subn(rf"server service:{meant} resolve(.*);", "\n".join(servers), upstream)
        assert found == 1
    # As versions of nginx before 1.25.1 write it; later ones take it too.
    upstream, found = re.subn(r"listen 9000 reuseport;\s+http2 on;", f"listen {listen} http2;", upstream)
    assert found == 1
    (directory / "upstream.conf").write_text(re.sub(r"(?m)^resolver .*$", "", upstream))
    (directory / "grpc.conf").write_text((CONFIG / "grpc.conf").read_text())
    main = (CONFIG / "nginx.conf").read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
    path = directory / "nginx.conf"
    path.write_text(main.replace("/tmp/", f"{directory}/"))
    return path
