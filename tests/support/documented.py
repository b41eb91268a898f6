"""Models of docs/api.md and docs/traffic.md: python -m tests.support.documented DIRECTORY."""

import sys
from pathlib import Path

from tests.support.hand_model import write_model

DEFAULT_MODEL = "demo"


def write_documented(directory: Path) -> None:
    """Write `demo`, versions 1 and 2, `grades` without gates, `shop` of every kind of feature."""
    write_model(directory, "demo", 1, tasks=("price", "sold"), experts=3)
    write_model(directory, "demo", 2, tasks=("price", "sold"), experts=3, seed=5)
    write_model(directory, "grades", 1, kind="plain", tasks=("grade",))
    write_model(directory, "shop", 1, kind="kinds", tasks=("sold",), experts=2)


if __name__ == "__main__":
    write_documented(Path(sys.argv[1]))
