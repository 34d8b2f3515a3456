"""A bundle in this process: `loader → engine → runners`, and what an ONNX file must be. Never imports torch."""
