"""Check objects of KServe against the classes of its own client, which are made from the API's
definition.

Run by the Python of .venv-clients: YAML documents on standard input -> for each, a list of what is
wrong.
"""

import json
import re
import sys
from typing import Any

import yaml
from kserve import models as of_kserve  # type: ignore[import-not-found,unused-ignore]
from kubernetes.client import models as of_kubernetes  # type: ignore[import-not-found,unused-ignore]

SCALARS: dict[str, tuple[type, ...]] = {"str": (str,), "bool": (bool,), "int": (int,), "float": (int, float)}
WHOLE = ("serving.kserve.io/v1beta1", "serving.kserve.io/v1alpha1")


def class_of(name: str) -> Any:
    return getattr(of_kserve, name, None) or getattr(of_kubernetes, name, None)


def check(value: Any, kind: str, where: str) -> list[str]:
    """Say what in a value is not of a kind such as "list[V1EnvVar]", "dict(str, str)" or a
    class of the client.
    """
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{where} is {type(value).__name__}, not a list"]
        return [wrong for at, item in enumerate(value) for wrong in check(item, inner[1], f"{where}[{at}]")]
    if inner := re.fullmatch(r"dict[\(\[]str, ?(.+)[\)\]]", kind):
        if not isinstance(value, dict):
            return [f"{where} is {type(value).__name__}, not a map"]
        return [wrong for key, item in value.items() for wrong in check(item, inner[1], f"{where}.{key}")]
    if kind in SCALARS:
        fits = isinstance(value, SCALARS[kind]) and (kind == "bool" or not isinstance(value, bool))
        return [] if fits else [f"{where} is {type(value).__name__}, not {kind}"]
    if kind == "object" or class_of(kind) is None:
        return []
    return check_object(value, class_of(kind), where)


def check_object(value: Any, made: Any, where: str) -> list[str]:
    """Say which fields of an object its class does not know or misses, and what is wrong with
    the others.
    """
    if not made.openapi_types:  # such as a quantity or a port, which is a number or a text
        return []
    if not isinstance(value, dict):
        return [f"{where} is {type(value).__name__}, not a map"]
    fields = {theirs: made.openapi_types[ours] for ours, theirs in made.attribute_map.items()}
    wrong = [f"{where}.{name} is unknown to {made.__name__}" for name in value if name not in fields]
    for name, item in value.items():
        wrong += check(item, fields[name], f"{where}.{name}") if name in fields else []
    known = {ours: value.get(theirs) for ours, theirs in made.attribute_map.items()}
    try:
        made(**known)  # misses what it must have
    except ValueError as error:
        wrong.append(f"{where}: {error}")
    return wrong


def check_document(document: dict[str, Any]) -> list[str]:
    group, _, version = document["apiVersion"].partition("/")
    made = class_of(version.capitalize() + document["kind"])
    if document["apiVersion"] not in WHOLE or made is None:
        return [f"{group} has no {document['kind']} of version {version}"]
    return check_object(document, made, document["kind"])


json.dump([check_document(document) for document in yaml.safe_load_all(sys.stdin)], sys.stdout)
