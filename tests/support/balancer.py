"""The deployed configuration of the balancer on ports of this machine."""

import re
from collections.abc import Sequence
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx"


def write_config(directory: Path, port: int, replicas: Sequence[int]) -> Path:
    """Copy the balancer's deployed configuration to free ports.

    Only the address to listen on, the place of files and the replicas' addresses differ.
    """
    upstream = (CONFIG / "upstream.conf").read_text()
    servers = [f"server 127.0.0.1:{replica}\\1;" for replica in replicas]
    upstream, found = re.subn(r"server service:8000 resolve(.*);", "\n".join(servers), upstream)
    assert found == 1
    (directory / "upstream.conf").write_text(re.sub(r"(?m)^resolver .*$", "", upstream))
    main = (CONFIG / "nginx.conf").read_text().replace("listen 8080", f"listen 127.0.0.1:{port}")
    path = directory / "nginx.conf"
    path.write_text(main.replace("/tmp/", f"{directory}/"))
    return path
