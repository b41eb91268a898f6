"""Metadata of the Open Inference Protocol v2, whichever transport asks: server and models."""

from importlib import metadata

from service.engine import Engine
from service.http.codecs.endpoint import Endpoint
from service.http.openapi.protocol import ModelMetadata, ServerMetadata

SERVER = "mmoe-serve"
EXTENSIONS = ["binary_tensor_data", "model_repository"]
PLATFORM = "onnx_onnxv1"


def describe_server(*more: str) -> ServerMetadata:
    """Name the server and the extensions it speaks.

    Args:
        more: extensions of one transport alone.
    """
    return {"name": SERVER, "version": metadata.version(SERVER), "extensions": [*EXTENSIONS, *more]}


def describe_model(engine: Engine, endpoint: Endpoint) -> ModelMetadata:
    """Describe a model's tensors; its features stand in their columns in manifest order."""
    model = endpoint.model
    versions = next((state.versions for state in engine.models() if state.name == model.name), ())
    return {
        "name": model.name,
        "versions": [str(version.version) for version in versions if version.state == "loaded"],
        "platform": PLATFORM,
        **endpoint.signature.describe(),
    }
