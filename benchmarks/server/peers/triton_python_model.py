"""A model of Triton's Python backend that runs an ONNX file. Triton's own interpreter imports it."""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as triton
from served import Served


class TritonPythonModel:
    """What Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the model that the configuration names."""
        told = json.loads(args["model_config"])["parameters"]["served"]["string_value"]
        self._served = Served(**json.loads(told))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run every request by itself."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        inputs = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        outputs = self._served.run(inputs)
        return triton.InferenceResponse([triton.Tensor(name, array) for name, array in outputs.items()])
