from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sonic.client.identity import LocalCopy, compare, examine
from sonic.errors import ConfigError, ModelNotFound, Unavailable, Unsupported
from sonic.protocol.checksums import Checksum, write_checksums
from sonic.protocol.modelconfig import parse
from sonic.specs import DType, ModelSpec, TensorSpec
from sonic.testing.transports import FakeTransport

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.protocol.proto.model_config_pb2 import ModelConfig

A, B = "a" * 32, "b" * 32
SPEC = ModelSpec("m", "1", (TensorSpec("x", DType.FP32, (-1, 3)),), (TensorSpec("y", DType.FP32, (-1, 2)),))
TENSORS = """
input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] }
"""


def config(*checksums: Checksum, text: str = TENSORS) -> ModelConfig:
    return parse(write_checksums(text, checksums))


def ours(**digests: str):
    return lambda algorithm, path: digests.get(f"{algorithm}_{path.partition('/')[0]}")


def test_the_same_model():
    served = config(Checksum("MD5", "1/model.onnx", A))
    verdict = compare(config(), served, "", ours(MD5_1=A))
    assert (verdict.differences, verdict.notes, verdict.compared) == ((), (), 1)


def test_another_file():
    served = config(Checksum("MD5", "1/model.onnx", A))
    verdict = compare(config(), served, "", ours(MD5_1=B))
    assert verdict.differences == (f"1/model.onnx has MD5 {A}, expected {B}",)


def test_of_a_version_only_its_own_files_count():
    served = config(Checksum("MD5", "1/model.onnx", A), Checksum("MD5", "2/model.onnx", A))
    assert compare(config(), served, "2", ours(MD5_1=B, MD5_2=A)).differences == ()
    assert compare(config(), served, "1", ours(MD5_1=B, MD5_2=A)).differences
    assert compare(config(), served, "", ours(MD5_1=B, MD5_2=A)).differences


def test_what_cannot_be_compared_is_only_noted():
    assert compare(config(), config(), "", ours()).notes == ("the server gives no checksums",)
    served = config(Checksum("MD5", "1/model.plan", A))
    verdict = compare(config(), served, "", ours())
    assert (verdict.differences, verdict.compared) == ((), 0)
    assert verdict.notes == ("there is no copy of 1/model.plan to compare",)
    unknown = parse('model_repository_agents { agents { name: "checksum" parameters { key: "CRC:a" value: "1" } } }')
    assert compare(config(), unknown, "", ours()).notes == ("the server gives no checksums",)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name: "x"', 'name: "z"', "it has no input 'x', it has z; it wants input 'z' besides"),
        ('name: "y"', 'name: "z"', "it has no output 'y', it has z"),
        ("TYPE_FP32 dims: [ -1, 3", "TYPE_INT64 dims: [ -1, 3", "input 'x' is INT64 [-1, 3], expected FP32 [-1, 3]"),
        ("[ -1, 2 ]", "[ -1, 5 ]", "output 'y' is FP32 [-1, 5], expected FP32 [-1, 2]"),
        ("[ -1, 2 ]", "[ 2 ]", "output 'y' is FP32 [2], expected FP32 [-1, 2]"),
        ("[ -1, 3 ]", "[ -1, -1 ]", ""),
        ("[ -1, 3 ]", "[ 10, 3 ]", ""),
    ],
)
def test_tensors(old: str, new: str, says: str) -> None:
    assert "; ".join(compare(parse(TENSORS), parse(TENSORS.replace(old, new)), "", ours()).differences) == says


def test_shapes_are_those_of_a_request():
    served = TENSORS.replace("[ -1, 3 ]", "[ 3 ]").replace("[ -1, 2 ]", "[ 2 ]") + "max_batch_size: 8"
    assert compare(parse(TENSORS), parse(served), "", ours()).differences == ()


def test_a_copy_that_leaves_its_tensors_to_the_file_says_nothing_of_them():
    assert compare(parse('name: "m"'), parse(TENSORS), "", ours()).differences == ()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "model.onnx").write_bytes(b"a")
    (tmp_path / "m" / "config.pbtxt").write_text(write_checksums(TENSORS, [Checksum("MD5", "2/model.onnx", B)]))
    return tmp_path


def test_a_copy_says_what_is_written_and_else_what_is_there(folder: Path) -> None:
    copy = LocalCopy(folder)
    assert copy.config("absent") is None
    assert copy.digest("m", "MD5", "2/model.onnx") == B
    assert copy.digest("m", "MD5", "1/model.onnx") == "0cc175b9c0f1b6a831c399e269772661"
    assert (copy.digest("m", "SHA256", "1/model.onnx") or "")[:8] == "ca978112"
    assert copy.digest("m", "MD5", "3/model.onnx") is None
    with pytest.raises(ConfigError, match="is not a folder of models"):
        LocalCopy(folder / "absent")


class Bare(FakeTransport):
    error: Exception = Unsupported("no configurations here")

    def model_config(self, *_: object) -> ModelConfig:
        raise self.error


def bare(error: Exception) -> Bare:
    transport = Bare([SPEC], lambda _: {})
    transport.error = error
    return transport


def test_a_server_that_does_not_give_configurations(folder: Path) -> None:
    for error in (Unsupported("no"), ModelNotFound("no such page")):
        verdict = examine(bare(error), LocalCopy(folder), "m", "")
        assert verdict == type(verdict)((), ("the server does not give configurations",))
    (folder / "n").mkdir()
    with pytest.raises(ModelNotFound):
        examine(bare(ModelNotFound("no")), LocalCopy(folder), "n", "")
    with pytest.raises(Unavailable):
        examine(bare(Unavailable("gone")), LocalCopy(folder), "m", "")


def test_an_ensemble_is_what_its_steps_are(folder: Path) -> None:
    ensemble = (
        'ensemble_scheduling { step { model_name: "m" model_version: -1 } step { model_name: "m" model_version: 1 } }'
    )
    (folder / "e").mkdir()
    (folder / "e" / "config.pbtxt").write_text(ensemble)
    transport = FakeTransport([SPEC], lambda _: {})
    transport.configs = {"e": parse(ensemble), "m": config(Checksum("MD5", "1/model.onnx", B))}
    transport._specs["e"] = SPEC
    verdict = examine(transport, LocalCopy(folder), "e", "")
    assert verdict.compared == 2
    assert len(verdict.differences) == 2
    assert verdict.differences[0].startswith(f"its step 'm': 1/model.onnx has MD5 {B}, expected 0cc175")
    transport.configs["e"] = parse('ensemble_scheduling { step { model_name: "e" model_version: -1 } }')
    assert examine(transport, LocalCopy(folder), "e", "").differences == (), "one made of itself ends, too"
    assert examine(transport, LocalCopy(folder), "other", "").notes == ("there is no copy of model 'other' to compare",)
