"""The model file as the service reads it: manifest, protobuf, trimming."""
