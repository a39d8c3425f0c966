from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest

from sonic.errors import Unsupported
from sonic.protocol.modelconfig import parse
from sonic.server.backends.python import pb_utils as pb
from sonic.server.execution.instances import Call

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def request(**more: Any) -> pb.InferenceRequest:
    return pb.InferenceRequest.of_call(Call({"x": X}, ("y",), **more), "m", "3")


def test_a_tensor() -> None:
    tensor = pb.Tensor("x", X)
    assert (tensor.name(), tensor.shape(), tensor.is_cpu(), tensor.triton_dtype()) == ("x", [2, 3], True, 11)
    assert tensor.as_numpy() is X


def test_an_input_may_be_written_to() -> None:
    wire = np.frombuffer(X.tobytes(), np.float32)
    tensor = pb.Tensor.of_request("x", wire)
    array = tensor.as_numpy()
    array += 1
    assert tensor.as_numpy() is array
    assert wire[0] == 0


def test_dlpack() -> None:
    for tensor in (pb.Tensor("x", X), pb.Tensor.of_request("x", np.frombuffer(X.tobytes(), np.float32).reshape(2, 3))):
        np.testing.assert_array_equal(np.from_dlpack(tensor), X)
        assert pb.Tensor.from_dlpack("z", tensor).name() == "z"


def test_dlpack_with_torch() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_dlpack(pb.Tensor("x", X.copy()).to_dlpack())
    assert tensor.tolist() == X.tolist()
    for double in (2 * tensor, (2 * tensor).to(torch.bfloat16)):  # numpy has no bfloat16
        for given in (double, torch.utils.dlpack.to_dlpack(double)):
            array = pb.Tensor.from_dlpack("y", given).as_numpy()
            assert (array.dtype, array.tolist()) == (np.float32, (2 * X).tolist())


def test_a_capsule_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    capsule = pb.Tensor("x", X.copy()).to_dlpack()
    assert pb.Tensor.from_dlpack("y", capsule).as_numpy().tolist() == X.tolist()


def test_a_tensor_of_something_else() -> None:
    with pytest.raises(TypeError, match="tensor 'x': expected a numpy array, given list"):
        pb.Tensor("x", [1, 2])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tensor 'x': expected what speaks DLPack, given NoneType"):
        pb.Tensor.from_dlpack("x", None)
    for name in (None, ""):
        with pytest.raises(TypeError, match="expected the name of a tensor"):
            pb.Tensor(name, X)  # type: ignore[arg-type]


def test_a_request() -> None:
    given = request(id="7", parameters={"k": 1}, timeout_s=0.5)
    assert [tensor.name() for tensor in given.inputs()] == ["x"]
    assert (given.request_id(), json.loads(given.parameters()), given.timeout()) == ("7", {"k": 1}, 500_000)
    assert (given.requested_output_names(), given.model_name(), given.model_version()) == (["y"], "m", 3)
    assert (given.correlation_id(), given.flags(), given.is_cancelled(), request().timeout()) == (0, 0, False, 0)
    np.testing.assert_array_equal(pb.get_input_tensor_by_name(given, "x").as_numpy(), X)
    assert pb.get_input_tensor_by_name(given, "z") is None
    assert request(timeout_s=1e-7).timeout() == 1  # 0 would be no limit
    assert request(given_up=lambda: True).is_cancelled()
    given.set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_ALL)
    sent = {"priority": 1, "sequence_id": 5, "sequence_start": True, "sequence_end": True, "k": 2}
    given = request(parameters=sent)
    assert (given.parameters(), given.correlation_id(), given.flags()) == ('{"k": 2}', 5, 3)
    given.set_flags(pb.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END)
    assert given.flags() == 2


def test_a_response() -> None:
    response = pb.InferenceResponse([pb.Tensor("y", X)])
    assert not response.has_error()
    assert pb.get_output_tensor_by_name(response, "y").as_numpy() is X
    assert pb.get_output_tensor_by_name(response, "z") is None
    failed = pb.InferenceResponse(error=pb.TritonError("no", pb.TritonError.INVALID_ARG))
    assert (failed.has_error(), failed.error().message(), failed.error().code()) == (True, "no", 3)
    assert pb.InferenceResponse(error="text").error().code() == pb.TritonError.INTERNAL


def test_a_response_of_something_else() -> None:
    with pytest.raises(pb.TritonModelException, match="list of"):
        pb.InferenceResponse([X])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        pb.InferenceResponse(None)  # type: ignore[arg-type]
    with pytest.raises(pb.TritonModelException, match="unknown code 99"):
        pb.TritonError("x", 99)


def test_parameters_of_a_response() -> None:
    given = {"a": 1, "b": "two", "c": 0.5, "d": True}
    response = pb.InferenceResponse([], parameters=given)
    assert json.loads(response.parameters()) == response.given_parameters() == given
    assert pb.InferenceResponse([]).parameters() == "{}"
    for wrong, found in (({1: "a"}, "int"), ({"a": [1]}, "list"), ({"a": None}, "NoneType"), ({"a": X[0, 0]}, "numpy")):
        with pytest.raises(pb.TritonModelException, match=f"Expect parameters .* found type <class '{found}"):
            pb.InferenceResponse([], parameters=wrong)
    with pytest.raises(pb.TritonModelException, match="expected a dict, got <class 'list'>"):
        pb.InferenceResponse([], parameters=[])  # type: ignore[arg-type]
    with pytest.raises(pb.TritonModelException, match="more than 64 bits"):
        pb.InferenceResponse([], parameters={"a": 2**63})


@pytest.mark.parametrize(
    "use",
    [
        lambda: pb.InferenceRequest(model_name="other"),
        lambda: request().exec(),
        lambda: request().async_exec(),
        lambda: request().trace(),
        lambda: pb.is_model_ready("other"),
        lambda: pb.load_model("other", files={}, config="{}"),
        lambda: pb.unload_model("other", unload_dependents=True),
        lambda: pb.InferenceRequest(preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_CPU, 0)),
        lambda: pb.InferenceRequest(preferred_memory=pb.PreferredMemory(pb.TRITONSERVER_MEMORY_GPU)),
        lambda: request().set_release_flags(pb.TRITONSERVER_REQUEST_RELEASE_RESCHEDULE),
        lambda: pb.MetricFamily(name="m", description="d", kind=pb.MetricFamily.COUNTER),
    ],
)
def test_what_is_not_offered_is_said(use: Any) -> None:
    with pytest.raises(Unsupported):
        use()


def test_a_configuration_is_looked_into() -> None:
    config = {"input": [{"name": "x", "data_type": "TYPE_FP32"}], "output": [{"name": "y"}]}
    assert pb.get_input_config_by_name(config, "x")["data_type"] == "TYPE_FP32"
    assert pb.get_output_config_by_name(config, "y") == {"name": "y"}
    assert pb.get_output_config_by_name(config, "x") is None
    assert not pb.using_decoupled_model_transaction_policy(config)
    names = {"FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "STRING": np.object_, "FP16": np.float16}
    for name, kind in names.items():
        assert pb.triton_string_to_numpy(f"TYPE_{name}") is kind


def test_a_configuration_is_completed() -> None:
    config = parse('input { name: "a" data_type: TYPE_FP32 dims: 4 } max_batch_size: 2')
    auto = pb.ModelConfig(config)
    auto.set_max_batch_size(8)
    auto.set_dynamic_batching()
    auto.add_input({"name": "a", "data_type": "TYPE_FP32", "dims": [4]})
    auto.add_input({"name": "b", "data_type": "TYPE_STRING", "dims": [-1], "optional": True})
    auto.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [4]})
    assert (config.max_batch_size, config.HasField("dynamic_batching")) == (8, True)
    assert [(t.name, list(t.dims), t.optional) for t in config.input] == [("a", [4], False), ("b", [-1], True)]
    assert auto.as_dict()["output"][0]["name"] == "y"
    part = parse('input { name: "a" } output { name: "y" data_type: TYPE_FP32 label_filename: "labels" }')
    auto_part = pb.ModelConfig(part)
    auto_part.add_input({"name": "a", "data_type": "TYPE_FP32", "dims": [4]})
    auto_part.add_output({"name": "y", "data_type": "TYPE_FP32", "dims": [2]})
    assert [(t.data_type, list(t.dims)) for t in (*part.input, *part.output)] == [(11, [4]), (11, [2])]
    assert part.output[0].label_filename == "labels"
    for wrong, complaint in (
        (lambda: auto.add_input({"name": "a", "data_type": "TYPE_FP32", "dims": [5]}), "'a' is in config.pbtxt"),
        (lambda: auto.add_output({"name": "z", "dims": [5]}), "an output has no data_type"),
        (lambda: auto.set_max_batch_size(4), "says max_batch_size 8, given 4"),
    ):
        with pytest.raises(ValueError, match=complaint):
            wrong()


def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "sonic.server.models.model")
    pb.Logger.log_info("a")
    pb.Logger.log_warn("b")
    pb.Logger.log_error("c")
    pb.Logger.log_verbose("d")
    pb.Logger.log("e", pb.Logger.LogLevel.ERROR)
    assert pb.Logger.ERROR is pb.Logger.LogLevel.ERROR
    assert [(r.message, r.levelname) for r in caplog.records] == [
        ("a", "INFO"),
        ("b", "WARNING"),
        ("c", "ERROR"),
        ("d", "DEBUG"),
        ("e", "ERROR"),
    ]
