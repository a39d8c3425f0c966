"""What Triton's published examples do with its blocking clients, over every way to a server."""

from __future__ import annotations

import queue
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

FIRST = np.arange(16, dtype=np.int32).reshape(1, 16)
SECOND = np.full((1, 16), -1, np.int32)


def pair(way: Any, first: np.ndarray = FIRST, second: np.ndarray = SECOND, kind: str = "INT32") -> list[Any]:
    inputs = [way.triton.InferInput(f"INPUT{i}", list(first.shape), kind) for i in (0, 1)]
    for tensor, values in zip(inputs, (first, second), strict=True):
        tensor.set_data_from_numpy(values)
    return inputs


def wanted(way: Any, *names: str, **options: Any) -> list[Any]:
    return [way.triton.InferRequestedOutput(name, **options) for name in names or ("OUTPUT0", "OUTPUT1")]


def check(result: Any, first: np.ndarray = FIRST, second: np.ndarray = SECOND) -> None:
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), first + second)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), first - second)


def plain(way: Any, answer: Any) -> Any:
    """An answer of either client as a mapping."""
    if way.kind == "http":
        return answer
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(answer, preserving_proto_field_name=True)


# ---- what a server says ---------------------------------------------------------------------------------------------


def test_health_metadata_and_configuration(way: Any, client: Any) -> None:
    more: dict[str, Any] = {"headers": {"test": "1", "dummy": "2"}}
    if way.kind == "http":
        more["query_params"] = {"test_1": 1, "test_2": 2}
    assert client.is_server_live(**more)
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.is_model_ready("simple", "1")
    assert not client.is_model_ready("simple", "2")
    assert {"system_shared_memory", "model_repository", "statistics"} <= set(
        plain(way, client.get_server_metadata())["extensions"]
    )
    metadata = plain(way, client.get_model_metadata("simple", **more))
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("simple", ["1"], "onnxruntime_onnx")
    shapes = [(row["name"], row["datatype"], [int(size) for size in row["shape"]]) for row in metadata["inputs"]]
    assert shapes == [("INPUT0", "INT32", [-1, 16]), ("INPUT1", "INT32", [-1, 16])]
    config = plain(way, client.get_model_config("simple"))
    config = config["config"] if way.kind == "grpc" else config
    assert (config["name"], config["max_batch_size"], config["backend"]) == ("simple", 8, "onnxruntime")
    for call, text in (
        (client.get_model_metadata, "Request for unknown model: 'wrong_model_name' is not found"),
        (client.get_model_config, "Request for unknown model: 'wrong_model_name' is not found"),
        (client.get_inference_statistics, "requested model 'wrong_model_name' is not available"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            call("wrong_model_name")
        assert caught.value.message().startswith(text)


def test_settings_of_logs_and_traces(client: Any) -> None:
    assert client.get_log_settings()
    assert client.get_trace_settings()
    with pytest.raises(InferenceServerException, match="trace setting 'colour'"):
        client.update_trace_settings(settings={"colour": "red"})


# ---- inference ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_infer(algorithm: str | None, way: Any, client: Any) -> None:
    options = (
        {"compression_algorithm": algorithm, "client_timeout": 30.0}
        if way.kind == "grpc"
        else {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    )
    before = plain(way, client.get_inference_statistics("simple"))["model_stats"][0]
    result = client.infer("simple", pair(way), outputs=wanted(way), request_id="7", headers={"test": "1"}, **options)
    check(result)
    response = plain(way, result.get_response())
    assert (response["id"], response["model_name"], response["model_version"]) == ("7", "simple", "1")
    (after,) = plain(way, client.get_inference_statistics("simple"))["model_stats"]
    assert int(after["inference_count"]) - int(before.get("inference_count", 0)) == 1
    check(client.infer("simple", pair(way), outputs=None, **options))
    only = client.infer("simple", pair(way), outputs=wanted(way, "OUTPUT1"), **options)
    assert only.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(only.as_numpy("OUTPUT1"), FIRST - SECOND)


def test_many_at_once(way: Any, client: Any) -> None:
    first = [np.full((1, 16), number, np.int32) for number in range(20)]
    if way.kind == "grpc":
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for number, one in enumerate(first):
            client.async_infer(
                "simple",
                pair(way, one),
                lambda result, error: ended.put((result, error)),
                request_id=str(number),
            )
        for _ in first:
            result, error = ended.get(timeout=20)
            assert error is None
            check(result, first[int(result.get_response().id)])
    else:
        calls = [client.async_infer("simple", pair(way, one)) for one in first]
        for call, one in zip(calls, first, strict=True):
            check(call.get_result(timeout=20), one)


def test_texts(way: Any, client: Any) -> None:
    first, second = ([[str(n).encode() for n in row] for row in values.tolist()] for values in (FIRST, SECOND))
    inputs = pair(way, np.array(first, np.object_), np.array(second, np.object_), "BYTES")
    result = client.infer("simple_string", inputs, outputs=wanted(way))
    for name, numbers in (("OUTPUT0", FIRST + SECOND), ("OUTPUT1", FIRST - SECOND)):
        assert [int(word) for word in result.as_numpy(name)[0]] == numbers[0].tolist()
    words = np.array([[b"", b"\x00\xff", "\u00fc".encode()]], np.object_)
    tensor = way.triton.InferInput("INPUT0", list(words.shape), "BYTES")
    tensor.set_data_from_numpy(words)
    assert client.infer("simple_identity", [tensor]).as_numpy("OUTPUT0").tolist() == words.tolist()


@pytest.mark.parametrize("kind", ["FP16", "BF16"])
def test_halves(kind: str, way: Any, client: Any) -> None:
    dtype = np.dtype(np.float16 if kind == "FP16" else pytest.importorskip("ml_dtypes").bfloat16)
    values = np.array([[0.5, -2, 3]], dtype)
    tensor = way.triton.InferInput("INPUT0", [1, 3], kind)
    tensor.set_data_from_numpy(values)
    result = client.infer(f"identity_{kind.lower()}", [tensor]).as_numpy("OUTPUT0")
    assert result.dtype == dtype
    assert result.tobytes() == values.tobytes()


def test_classes(way: Any, client: Any) -> None:
    scores = np.array([[0.25, 0.5, 2], [3, 0, -1]], np.float32)
    tensor = way.triton.InferInput("INPUT0", [2, 3], "FP32")
    tensor.set_data_from_numpy(scores)
    rows = client.infer("classes", [tensor], outputs=wanted(way, "OUTPUT0", class_count=2)).as_numpy("OUTPUT0")
    assert [[bytes(word).decode().split(":") for word in row] for row in rows] == [
        [["2.000000", "2", "bottom"], ["0.500000", "1", "gluon"]],
        [["3.000000", "0", "quark"], ["0.000000", "1", "gluon"]],
    ]


def test_custom_parameters(way: Any, client: Any) -> None:
    options = {"sequence_id": 7, "sequence_start": True, "priority": 1, "timeout": 20_000_000}
    check(client.infer("simple", pair(way), parameters={"site": "west", "attempt": 2, "last": True}, **options))


@pytest.mark.parametrize(
    ("model", "columns", "kind", "message"),
    [
        ("wrong_model_name", 16, "INT32", "Request for unknown model: 'wrong_model_name' is not found: there is"),
        ("simple", 15, "INT32", "unexpected shape for input 'INPUT0' for model 'simple'. Expected [-1,16], got [1,15]"),
        ("simple", 16, "FP32", "inference input 'INPUT0' data-type is 'FP32', but model 'simple' expects 'INT32'"),
    ],
)
def test_errors(model: str, columns: int, kind: str, message: str, way: Any, client: Any) -> None:
    values = np.zeros((1, columns), np.int32 if kind == "INT32" else np.float32)
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, pair(way, values, values, kind))
    assert caught.value.message().startswith(message)
    expected = {"grpc": ("NOT_FOUND", "INVALID_ARGUMENT"), "http": ("404", "400")}[way.kind]
    assert str(caught.value.status()).endswith(expected[model == "simple"])


# ---- control --------------------------------------------------------------------------------------------------------


def test_models_are_loaded_and_unloaded(way: Any, client: Any) -> None:
    index = plain(way, client.get_model_repository_index())
    assert len(index["models"] if way.kind == "grpc" else index) == 8
    client.load_model("simple_swapped")
    assert client.is_model_ready("simple_swapped")
    with pytest.raises(InferenceServerException, match="failed to load 'simple_swapped'"):
        client.load_model("simple_swapped", config='"parameters": {"config": {{"max_batch_size": "16"}}}')
    assert client.is_model_ready("simple_swapped")
    client.load_model("simple_swapped", config='{"max_batch_size":"16"}')
    config = client.get_model_config("simple_swapped")
    assert (config.config.max_batch_size if way.kind == "grpc" else config["max_batch_size"]) == 16
    client.unload_model("simple_swapped")
    assert not client.is_model_ready("simple_swapped")
    with pytest.raises(InferenceServerException, match="failed to load 'wrong_model_name'"):
        client.load_model("wrong_model_name")
    client.load_model("simple_swapped")
    check(client.infer("simple_swapped", pair(way)))
