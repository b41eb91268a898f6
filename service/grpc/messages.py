"""Messages of the Open Inference Protocol's gRPC service, and of gRPC's own health service.

Names and field numbers are the protocols' facts, written here as tables, from which the classes
are made. No code is generated, so there is none that a newer protobuf could refuse.

    name=number:type     type: a scalar of protobuf, or a message of the same package
    *type                repeated
    {type}               map from string
    |type                of the one group of which a message has at most one
"""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

INFERENCE = "inference"
SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1"

_INFERENCE: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live=1:bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready=1:bool",
    "ModelReadyRequest": "name=1:string version=2:string",
    "ModelReadyResponse": "ready=1:bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name=1:string version=2:string extensions=3:*string",
    "ModelMetadataRequest": "name=1:string version=2:string",
    "ModelMetadataResponse": (
        "name=1:string versions=2:*string platform=3:string inputs=4:*ModelMetadataResponse.TensorMetadata "
        "outputs=5:*ModelMetadataResponse.TensorMetadata"
    ),
    "ModelMetadataResponse.TensorMetadata": "name=1:string datatype=2:string shape=3:*int64",
    "InferParameter": (
        "bool_param=1:|bool int64_param=2:|int64 string_param=3:|string double_param=4:|double uint64_param=5:|uint64"
    ),
    "InferTensorContents": (
        "bool_contents=1:*bool int_contents=2:*int32 int64_contents=3:*int64 uint_contents=4:*uint32 "
        "uint64_contents=5:*uint64 fp32_contents=6:*float fp64_contents=7:*double bytes_contents=8:*bytes"
    ),
    "ModelInferRequest": (
        "model_name=1:string model_version=2:string id=3:string parameters=4:{InferParameter} "
        "inputs=5:*ModelInferRequest.InferInputTensor outputs=6:*ModelInferRequest.InferRequestedOutputTensor "
        "raw_input_contents=7:*bytes"
    ),
    "ModelInferRequest.InferInputTensor": (
        "name=1:string datatype=2:string shape=3:*int64 parameters=4:{InferParameter} contents=5:InferTensorContents"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "name=1:string parameters=2:{InferParameter}",
    "ModelInferResponse": (
        "model_name=1:string model_version=2:string id=3:string parameters=4:{InferParameter} "
        "outputs=5:*ModelInferResponse.InferOutputTensor raw_output_contents=6:*bytes"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "name=1:string datatype=2:string shape=3:*int64 parameters=4:{InferParameter} contents=5:InferTensorContents"
    ),
    # KServe has the model's name in field 1, Triton in field 2, behind the name of a repository.
    "ModelRepositoryParameter": "bool_param=1:|bool int64_param=2:|int64 string_param=3:|string bytes_param=4:|bytes",
    "RepositoryModelLoadRequest": "model_name=1:string triton_name=2:string parameters=3:{ModelRepositoryParameter}",
    "RepositoryModelLoadResponse": "model_name=1:string isLoaded=2:bool",
    "RepositoryModelUnloadRequest": "model_name=1:string triton_name=2:string parameters=3:{ModelRepositoryParameter}",
    "RepositoryModelUnloadResponse": "model_name=1:string isUnloaded=2:bool",
    "RepositoryIndexRequest": "repository_name=1:string ready=2:bool",
    "RepositoryIndexResponse": "models=1:*RepositoryIndexResponse.ModelIndex",
    "RepositoryIndexResponse.ModelIndex": "name=1:string version=2:string state=3:string reason=4:string",
}
_HEALTH: Mapping[str, str] = {
    "HealthCheckRequest": "service=1:string",
    "HealthCheckResponse": "status=1:int32",  # on the wire as the enumeration that it is
}
NOT_SERVING, SERVING, SERVICE_UNKNOWN = 2, 1, 3
"""Values of a HealthCheckResponse's status."""

_Field = descriptor_pb2.FieldDescriptorProto


def _file(package: str, table: Mapping[str, str]) -> descriptor_pb2.FileDescriptorProto:
    made = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    places: dict[str, Any] = {}
    for name, fields in table.items():
        outer, _, own = name.rpartition(".")
        message = places[name] = (places[outer].nested_type if outer else made.message_type).add(name=own)
        for field in fields.split():
            _add_field(package, name, message, field)
    return made


def _add_field(package: str, message_name: str, message: Any, text: str) -> None:
    name, _, rest = text.partition("=")
    number, _, kind = rest.partition(":")
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind[0] in "*{":
        field.label = _Field.LABEL_REPEATED
    if kind[0] == "|":
        if not message.oneof_decl:
            message.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if kind[0] == "{":
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
        _add_field(package, "", entry, f"value=2:{kind[1:-1]}")
        kind = f"{message_name}.{entry.name}"
    kind = kind.lstrip("*|")
    if kind[0].islower():
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{package}.{kind}"


def _classes() -> Iterator[tuple[str, Any]]:
    pool = descriptor_pool.DescriptorPool()  # of its own: another library of the process may know the same names
    for package, table in ((INFERENCE, _INFERENCE), (HEALTH, _HEALTH)):
        pool.Add(_file(package, table))
        for name in table:
            found = pool.FindMessageTypeByName(f"{package}.{name}")
            yield name, message_factory.GetMessageClass(found)


MESSAGES: Mapping[str, Any] = dict(_classes())
"""Classes of the messages by name, such as ModelInferRequest."""
