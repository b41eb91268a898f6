"""A process that is fitted out for serving has all the descriptors it may have."""

import subprocess
import sys

PROGRAM = """
import gc, resource
from service.workers.tuning import allow_connections, settle_memory
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, most), most))
allow_connections()
settle_memory()
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == most
assert gc.get_freeze_count() > 0
"""


def test_descriptors_are_allowed_and_what_lives_long_is_spared() -> None:
    assert subprocess.run([sys.executable, "-c", PROGRAM], timeout=60, check=False).returncode == 0
