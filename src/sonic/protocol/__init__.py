"""The Open Inference Protocol v2 with Triton's extensions: messages, and how they look on the wire."""
