"""What clients, servers and tools agree on: the model card, sample addresses, images, bundles and errors.

Imports neither torch nor onnx nor onnxruntime.
"""
