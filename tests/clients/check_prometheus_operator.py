"""Check objects of Prometheus' operator against classes that are made from its definitions.

Run by the Python of .venv-clients: YAML documents on standard input -> for each, what is wrong.
"""

import json
import sys
from typing import Any

import cloudcoil.pydantic  # type: ignore[import-not-found,unused-ignore]
import yaml
from pydantic import ValidationError

cloudcoil.pydantic.BaseModel.model_config["extra"] = "forbid"  # before the classes that inherit it are made

from cloudcoil.models.prometheus_operator import v1  # type: ignore[import-not-found,unused-ignore]  # noqa: E402


def check(document: dict[str, Any]) -> str:
    """Say what is wrong with an object; nothing if it is sound."""
    made = getattr(v1, document["kind"], None)
    if made is None or document["apiVersion"] != "monitoring.coreos.com/v1":
        return f"there is no {document['kind']} in {document['apiVersion']}"
    try:
        made.model_validate(document)
    except ValidationError as error:
        return str(error)
    return ""


json.dump([check(document) for document in yaml.safe_load_all(sys.stdin)], sys.stdout)
