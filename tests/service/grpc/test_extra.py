"""The extra: nothing of it is loaded without a port, and a port without it is a sentence."""

import subprocess
import sys
from pathlib import Path

from service.grpc.extra import wants_grpc
from service.settings import Settings

ROOT = Path(__file__).parents[3]


def test_without_the_extra_there_is_a_sentence() -> None:
    hidden = "import sys; sys.modules['grpc'] = None"
    code = f"{hidden}; from service.__main__ import main; sys.exit(main(['--check-settings']))"
    environ = {"MMOE_GRPC_PORT": "9000", "PATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 2
    assert "MMOE_GRPC_PORT is '9000'; expected grpcio to be installed" in run.stderr
    assert not wants_grpc(Settings())


def test_nothing_of_grpc_is_loaded_unless_there_is_a_port() -> None:
    code = "import sys; import service.workers.worker; sys.exit('grpc' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0
