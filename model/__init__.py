"""Offline half: train a multi-task model and export it to one ONNX file."""
