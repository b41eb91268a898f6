"""gRPC: the Open Inference Protocol's service on the same engine; needs the extra `grpc`."""
