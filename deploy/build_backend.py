"""Build backend.

Setuptools for installs in place, and a refusal of everything that would be handed on.

This is an application whose packages are named model, service and scripts, names that would
collide in anybody's environment; it runs from its checkout and from its images.
"""

from setuptools.build_meta import *  # noqa: F403

REFUSAL = (
    "mmoe-serve is an application and is not built as a package: run it from its checkout (make serve; "
    "into an environment of your own: pip install -c constraints.txt -e .) or from its images (docker compose up)."
)


def build_wheel(*arguments: object, **options: object) -> str:
    """Refuse to build a wheel.

    It would have top-level packages with names that are everybody's.
    """
    raise SystemExit(REFUSAL)


def build_sdist(*arguments: object, **options: object) -> str:
    """Refuse to build a source distribution: whoever wants the source takes the checkout."""
    raise SystemExit(REFUSAL)
