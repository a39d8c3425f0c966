from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sonic.errors import ConfigError, InvalidRequest
from sonic.protocol.checksums import Checksum, write_checksums
from sonic.protocol.digests import digest
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.protocol.proto.model_config_pb2 import ModelInstanceGroup
from sonic.server.execution.classification import classify_outputs
from sonic.server.models.model import ServedModel
from sonic.specs import DType

if TYPE_CHECKING:
    from collections.abc import Callable


def served(folder: Any, name: str) -> ServedModel:
    path = folder.path / name
    config = path / "config.pbtxt"
    text = config.read_text() if config.exists() else ""
    return ServedModel(name, "1", path / "1", parse(text), cores=2, default_max_batch=16)


def test_from_a_file_alone(folder: Any) -> None:
    folder.onnx("a")
    model = served(folder, "a")
    assert (model.config.name, model.config.backend, model.config.max_batch_size) == ("a", "onnxruntime", 16)
    assert (model.config.instance_group[0].count, model.instances) == (2, 2)
    x = np.ones((3, 4), np.float32)
    response = model.submit(InferRequest("a", {"x": x}, id="7")).result(0)
    assert (response.model, response.version, response.id) == ("a", "1", "7")
    assert response.outputs["y"].shape == (3, 2)
    assert model.statistics().inference_count == 3
    model.close()


@pytest.mark.parametrize("dims", [["N"], []])
def test_numbers_are_vectors_of_one_to_clients(dims: list[str], folder: Any, make_graph: type) -> None:
    graph = make_graph()
    folder.onnx("a", graph.build({"x": dims}, {"y": (graph.op("Mul", "x", "x"), dims)}))
    model = served(folder, "a")
    x = np.arange(2, 2 + (3 if dims else 1), dtype=np.float32).reshape((-1, 1) if dims else 1)
    assert model.submit(InferRequest("a", {"x": x})).result(0).outputs["y"].tolist() == (x * x).tolist()
    model.close()
    config = f"max_batch_size: {8 if dims else 0} " + " ".join(
        f'{what} {{ name: "{name}" data_type: TYPE_FP32 }}' for what, name in (("input", "x"), ("output", "y"))
    )
    (folder.path / "a" / "config.pbtxt").write_text(config)
    model = served(folder, "a")
    x = x.reshape(x.shape[:-1])
    assert model.submit(InferRequest("a", {"x": x})).result(0).outputs["y"].tolist() == (x * x).tolist()
    model.close()


def test_a_group_that_names_gpus_alone_goes_to_the_cpu_where_there_are_none(
    folder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonic.server.backends.onnx.nvidia_gpus", lambda: 0)
    folder.onnx("a", config="instance_group { count: 1 gpus: [ 0 ] }")
    model = served(folder, "a")
    (group,) = model.config.instance_group
    assert (ModelInstanceGroup.Kind.Name(group.kind), group.count, list(group.gpus)) == ("KIND_CPU", 1, [])
    model.close()


def test_bfloat16_keeps_its_name(folder: Any) -> None:
    folder.identity("b", "BF16")
    x = np.array([1, 2], np.float32)
    model = served(folder, "b")
    response = model.submit(InferRequest("b", {"in0": x}, dtypes={"in0": DType.BF16})).result(0)
    assert response.dtype("out0") is DType.BF16
    model.close()


def test_a_bad_request_is_refused_at_once(folder: Any) -> None:
    folder.onnx("a")
    model = served(folder, "a")
    with pytest.raises(InvalidRequest, match="input 'x' for model 'a'"):
        model.submit(InferRequest("a", {"x": np.ones((3, 5), np.float32)}))
    assert model.statistics().fail.count == 0
    model.close()


def test_classes_are_made_by_no_event_loop(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.thread_time", lambda: 0.0)  # all executions are short
    threads: list[int] = []

    def noted(*args: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return classify_outputs(*args, **more)

    monkeypatch.setattr("sonic.server.models.model.classify_outputs", noted)
    folder.identity("a", "FP32")
    model = served(folder, "a")
    inputs = {"in0": np.array([1, 3, 2], np.float32)}
    plain = InferRequest("a", inputs)
    wanted = InferRequest("a", inputs, outputs=("out0",), classes={"out0": 2})
    model.submit(plain, inline=False).result(10)  # which tells how long it takes
    assert model.submit(plain, inline=pytest.fail).done()
    for inline in (pytest.fail, True):
        outputs = model.submit(wanted, inline=inline).result(10).outputs
        assert outputs["out0"].tolist() == [b"3.000000:1", b"2.000000:2"]
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True]
    model.close()


@pytest.mark.parametrize(
    ("batching", "merged"),
    [
        ("dynamic_batching {}", [1, 3]),
        ("", [1, 1, 2]),
        ("dynamic_batching { default_queue_policy { max_queue_size: 9 } }", [1, 3]),
    ],
)
def test_requests_are_merged_if_the_configuration_says_so(
    batching: str, merged: list[int], folder: Any, script: Any
) -> None:
    folder.scripted(batching=batching)
    model = served(folder, "scripted")
    script.hold()
    futures = [model.submit(InferRequest("s", {"x": np.ones((n, 2), np.float32)}), inline=False) for n in (1,)]
    script.wait_started()
    futures += [model.submit(InferRequest("s", {"x": np.ones((n, 2), np.float32)}), inline=False) for n in (1, 2)]
    assert model.pending == 2
    script.release()
    assert [len(future.result(10).outputs["y"]) for future in futures] == [1, 1, 2]
    assert script.batches == merged
    assert model.merges == (len(merged) == 2)
    model.close()


def test_requests_with_more_threads_go_alone(folder: Any, make_dense: Callable[..., bytes]) -> None:
    threads = 'parameters { key: "intra_op_thread_count" value { string_value: "2" } }'
    folder.onnx("a", config=threads)
    model = served(folder, "a")
    assert model.instances == 1
    assert not model.merges
    model.close()


@pytest.mark.parametrize("algorithm", ["MD5", "SHA256"])
def test_a_file_that_is_not_what_its_checksum_says_is_not_loaded(algorithm: str, folder: Any) -> None:
    file = folder.onnx("a")
    config, path = file.parents[1] / "config.pbtxt", "1/model.onnx"
    config.write_text(write_checksums("", [Checksum(algorithm, path, good := digest(file, algorithm))]))
    served(folder, "a").close()
    weights = bytearray(file.read_bytes())
    weights[len(weights) // 2] ^= 1
    file.write_bytes(weights)
    bad = digest(file, algorithm)
    with pytest.raises(ConfigError) as caught:
        served(folder, "a")
    assert str(caught.value) == (
        f"model 'a' version 1 cannot be loaded: file '1/model.onnx' has {algorithm} {bad}, "
        f"expected {good} by config.pbtxt"
    )


def test_a_version_answers_for_its_own_files_and_for_the_model_s(folder: Any) -> None:
    file = folder.onnx("a")
    config = file.parents[1] / "config.pbtxt"
    config.write_text(write_checksums("", [Checksum("MD5", "2/model.onnx", "0" * 32)]))
    served(folder, "a").close()
    config.write_text(write_checksums("", [Checksum("MD5", "table.bin", "0" * 32)]))
    with pytest.raises(ConfigError, match=r"cannot read .*table\.bin"):
        served(folder, "a")


def test_a_checksum_that_is_none_is_refused(folder: Any) -> None:
    config = folder.onnx("a").parents[1] / "config.pbtxt"
    config.write_text(
        'model_repository_agents { agents { name: "checksum" parameters { key: "CRC:1/model.onnx" value: "1" } } }'
    )
    with pytest.raises(ConfigError, match=r"'CRC:1/model.onnx': expected MD5:PATH or SHA256:PATH"):
        served(folder, "a")
    config.write_text('model_repository_agents { agents { name: "chekcsum" } }')
    with pytest.raises(ConfigError, match="repository agent 'chekcsum' is not known"):
        served(folder, "a")
