from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import psutil
import pytest
from onnx import TensorProto

from sonic.errors import ConfigError, DataError, InvalidRequest
from sonic.protocol.modelconfig import parse
from sonic.server.backends import LoadContext, Rows
from sonic.server.backends.onnx import OnnxBackend, _aligned
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


def load(folder: Path, model: bytes, text: str = "", cores: int = 4) -> OnnxBackend:
    (folder / "model.onnx").write_bytes(model)
    return OnnxBackend(LoadContext("m", "1", folder, parse(text), cores))


def parameter(name: str, value: str) -> str:
    return f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'


def test_runs_what_onnxruntime_runs(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    model = make_dense()
    instance = load(tmp_path, model).instances()[0]
    x = np.random.default_rng(0).standard_normal((5, 4), np.float32)
    (expected,) = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    np.testing.assert_array_equal(instance.run({"x": x}, ["y"])["y"], expected)


def test_the_signature(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    signature = load(tmp_path, make_dense()).signature
    assert signature.inputs == (TensorSpec("x", DType.FP32, (-1, 4)),)
    assert signature.outputs == (TensorSpec("y", DType.FP32, (-1, 2)),)
    assert signature.batch


@pytest.mark.parametrize(
    ("nodes", "edges", "batch"), [("N", "N", True), ("N", "", True), ("N", "E", False), ("N", 3, False)]
)
def test_dimensions_of_two_names_are_no_batch(
    nodes: str, edges: int | str, batch: bool, tmp_path: Path, make_graph: type
) -> None:
    graph = make_graph()
    y, z = graph.op("Relu", "x"), graph.op("Relu", "e")
    first = edges or None
    model = graph.build({"x": [nodes, 3], "e": [first, 2]}, {"y": (y, [nodes, 3]), "z": (z, [first, 2])})
    assert load(tmp_path, model).signature.batch is batch


def test_a_scalar_is_no_batch(tmp_path: Path, make_graph: type) -> None:
    graph = make_graph()
    assert not load(tmp_path, graph.build({"x": []}, {"y": (graph.op("Relu", "x"), [])})).signature.batch


@pytest.mark.parametrize(
    ("text", "cores", "instances", "sessions"),
    [
        ("", 4, 4, 1),
        ("instance_group { count: 2 }", 4, 2, 1),
        ("instance_group { count: 9 }", 4, 4, 1),
        (parameter("intra_op_thread_count", "2"), 4, 2, 2),
        (parameter("intra_op_thread_count", "9"), 2, 1, 1),
    ],
)
def test_instances_and_threads_fit_the_cores(
    text: str, cores: int, instances: int, sessions: int, tmp_path: Path, make_dense: Callable[..., bytes]
) -> None:
    made = load(tmp_path, make_dense(), text, cores).instances()
    assert (len(made), len(set(map(id, made)))) == (instances, sessions)


def test_threads_between_operators_are_no_more_than_the_cores(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    before = psutil.Process().num_threads()
    text = parameter("execution_mode", "1") + parameter("inter_op_thread_count", "5000")
    backend = load(tmp_path, make_dense(), text, 2)
    assert psutil.Process().num_threads() < before + 100
    backend.close()


@pytest.mark.parametrize(
    ("text", "mode", "threads", "level"),
    [
        ("", "ORT_SEQUENTIAL", 0, "ORT_ENABLE_ALL"),
        (parameter("inter_op_thread_count", "3"), "ORT_SEQUENTIAL", 0, "ORT_ENABLE_ALL"),
        (parameter("execution_mode", "1"), "ORT_PARALLEL", 4, "ORT_ENABLE_ALL"),
        (
            parameter("execution_mode", "1") + parameter("inter_op_thread_count", "3"),
            "ORT_PARALLEL",
            3,
            "ORT_ENABLE_ALL",
        ),
        ("optimization { graph { level: -1 } }", "ORT_SEQUENTIAL", 0, "ORT_ENABLE_BASIC"),
        ("optimization { graph { level: 1 } }", "ORT_SEQUENTIAL", 0, "ORT_ENABLE_EXTENDED"),
        ("optimization { graph { level: 2 } }", "ORT_SEQUENTIAL", 0, "ORT_DISABLE_ALL"),
    ],
)
def test_a_session_is_as_triton_makes_it(
    text: str,
    mode: str,
    threads: int,
    level: str,
    tmp_path: Path,
    make_dense: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[ort.SessionOptions] = []
    make = ort.InferenceSession
    monkeypatch.setattr(
        ort, "InferenceSession", lambda model, options, **rest: asked.append(options) or make(model, options, **rest)
    )
    backend = load(tmp_path, make_dense(), text)
    (options,) = asked
    assert (options.execution_mode.name, options.graph_optimization_level.name) == (mode, level)
    assert options.inter_op_num_threads == threads
    assert backend.instances()[0].run({"x": np.zeros((1, 4), np.float32)}, ["y"])["y"].shape == (1, 2)
    assert backend.rows().merge is (level == "ORT_ENABLE_ALL")


def test_a_folder_with_the_model_and_its_weights(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    folder = tmp_path / "1" / "model.onnx"
    assert not OnnxBackend.serves(folder.parent)
    folder.mkdir(parents=True)
    assert not OnnxBackend.serves(folder.parent)
    model = onnx.load_model_from_string(make_dense())
    onnx.save_model(model, folder / "model.onnx", save_as_external_data=True, location="weights", size_threshold=0)
    assert OnnxBackend.serves(folder.parent)
    backend = OnnxBackend(LoadContext("m", "1", folder.parent, parse(""), 1))
    x = np.random.default_rng(0).standard_normal((5, 4), np.float32)
    expected = load(tmp_path, make_dense()).instances()[0].run({"x": x}, ["y"])["y"]
    np.testing.assert_array_equal(backend.instances()[0].run({"x": x}, ["y"])["y"], expected)
    assert backend.rows() == Rows()


def test_how_requests_may_be_merged(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    model = make_dense((3, 5, 3), activation="Softplus")
    assert load(tmp_path, model).rows() == Rows(multiple=4)
    assert load(tmp_path, model, parameter("intra_op_thread_count", "2")).rows() == Rows(merge=False)
    assert load(tmp_path, model, parameter("merge", "always")).rows() == Rows()
    assert load(tmp_path, model, parameter("merge", "never")).rows() == Rows(merge=False)
    with pytest.raises(ConfigError, match="parameter merge is one of measured, always, never, given 'no'"):
        load(tmp_path, model, parameter("merge", "no"))


@pytest.mark.parametrize(
    ("element", "dtype"),
    [
        (TensorProto.BOOL, np.bool_),
        (TensorProto.UINT8, np.uint8),
        (TensorProto.INT64, np.int64),
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.DOUBLE, np.float64),
    ],
)
def test_datatypes(element: int, dtype: type, tmp_path: Path, make_graph: type) -> None:
    model = make_graph().build({"x": ["N"]}, {"y": ("x", ["N"])}, element)
    backend = load(tmp_path, model)
    x = np.array([0, 1, 1]).astype(dtype)
    y = backend.instances()[0].run({"x": x}, ["y"])["y"]
    assert backend.signature.inputs[0].dtype.numpy == y.dtype == x.dtype
    np.testing.assert_array_equal(y, x)


def test_strings(tmp_path: Path, make_graph: type) -> None:
    model = make_graph().build({"x": ["N", 1]}, {"y": ("x", ["N", 1])}, TensorProto.STRING)
    words = np.array([["grün".encode()], [b""]], np.object_)
    y = load(tmp_path, model).instances()[0].run({"x": words}, ["y"])["y"]
    assert y.tolist() == words.tolist()


def test_text_that_is_no_utf8_is_the_fault_of_its_request(tmp_path: Path, make_graph: type) -> None:
    model = make_graph().build({"x": ["N", 1]}, {"y": ("x", ["N", 1])}, TensorProto.STRING)
    instance = load(tmp_path, model).instances()[0]
    with pytest.raises(InvalidRequest, match=r"input 'x' for model '.+': .* UTF-8, given b'gr\\xfcn'"):
        instance.run({"x": np.array([["grün".encode("latin-1")]], np.object_)}, ["y"])


@pytest.mark.parametrize("offset", range(4))
def test_what_begins_elsewhere_is_moved(offset: int) -> None:
    given = np.arange(8, dtype=np.float32)[offset:]
    moved = _aligned(given)
    assert moved.ctypes.data % 16 == 0
    np.testing.assert_array_equal(moved, given)


def test_bad_files(tmp_path: Path, make_dense: Callable[..., bytes]) -> None:
    with pytest.raises(DataError, match=r"ONNX Runtime cannot load .*model\.onnx: "):
        load(tmp_path, make_dense()[:-40])
    with pytest.raises(DataError, match="ONNX Runtime cannot load"):
        load(tmp_path, b"")
    with pytest.raises(DataError, match=r"there is no file .*other\.onnx"):
        load(tmp_path, make_dense(), 'default_model_filename: "other.onnx"')


def test_a_type_without_a_datatype(tmp_path: Path, make_graph: type) -> None:
    model = make_graph().build({"x": ["N"]}, {"y": ("x", ["N"])}, TensorProto.BFLOAT16)
    with pytest.raises(ConfigError, match=r"tensor 'x' is a tensor\(bfloat16\)"):
        load(tmp_path, model)


class Gpus:
    """ONNX Runtime with a CUDA provider, as far as can be seen; all of it executes on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, *, works: bool = True) -> None:
        self.sessions: list[list[tuple[str, dict[str, str]]]] = []
        make = ort.InferenceSession

        def session(model: Any, options: Any, *, providers: list[tuple[str, dict[str, str]]], **rest: Any) -> Any:
            self.sessions.append(providers)
            made = make(model, options, providers=["CPUExecutionProvider"], **rest)
            if works:
                made.get_providers = lambda: [name for name, _ in providers]
            return made

        monkeypatch.setattr(ort, "InferenceSession", session)
        monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
        monkeypatch.setattr("sonic.server.backends.onnx.nvidia_gpus", lambda: count)


@pytest.mark.parametrize(
    ("text", "placed", "devices"),
    [
        ("", [0, 1], ["0", "1"]),
        ("instance_group { kind: KIND_AUTO count: 2 }", [0, 0, 1, 1], ["0", "1"]),
        ("instance_group { kind: KIND_GPU gpus: 1 count: 2 }", [1, 1], ["1"]),
        ("instance_group { kind: KIND_CPU count: 2 }", [None, None], [None]),
        ("instance_group { kind: KIND_CPU } instance_group { kind: KIND_GPU gpus: 0 }", [0, None], ["0", None]),
    ],
)
def test_instances_go_where_their_groups_say(
    text: str,
    placed: list[int | None],
    devices: list[str | None],
    tmp_path: Path,
    make_dense: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = Gpus(monkeypatch, 2)
    backend = load(tmp_path, make_dense(), text)
    instances = backend.instances()
    assert [instance.gpu for instance in instances] == placed
    # One session a device, asked for the GPU first where it is one.
    assert [providers[0][1].get("device_id") for providers in gpus.sessions] == devices
    assert instances[0].run({"x": np.zeros((1, 4), np.float32)}, ["y"])["y"].shape == (1, 2)


def test_on_a_gpu_requests_are_merged_only_where_the_owner_allows_it(
    tmp_path: Path,
    make_dense: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Gpus(monkeypatch, 1)
    assert load(tmp_path, make_dense(), parameter("merge", "always") + "dynamic_batching { }").rows() == Rows()
    assert not caplog.records
    assert load(tmp_path, make_dense(), "dynamic_batching { }").rows() == Rows(merge=False)
    assert "model 'm': requests are not merged" in caplog.text


def test_a_gpu_that_is_not_there(
    tmp_path: Path, make_dense: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    group = 'instance_group { name: "g" kind: KIND_GPU }'
    with pytest.raises(
        ConfigError, match="instance group 'g' asks for a GPU: the installed onnxruntime has no provider"
    ):
        load(tmp_path, make_dense(), group)
    Gpus(monkeypatch, 0)
    with pytest.raises(ConfigError, match="instance group 'g' asks for a GPU: there is none that this process may use"):
        load(tmp_path, make_dense(), group)


def test_a_provider_that_does_not_start_is_no_reason_to_be_slow(
    tmp_path: Path, make_dense: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpus(monkeypatch, 1, works=False)
    with pytest.raises(ConfigError, match="ONNX Runtime cannot start CUDAExecutionProvider: a library"):
        load(tmp_path, make_dense())
