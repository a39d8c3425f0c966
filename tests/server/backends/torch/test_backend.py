from __future__ import annotations

import itertools
import linecache
import sys
import textwrap
import threading
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, InvalidRequest, ModelFailed
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.server.backends import backend_for
from sonic.server.backends.torch import TorchBackend, programs
from sonic.server.models.model import ServedModel
from sonic.specs import DType, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

XS = """input { name: "x" data_type: TYPE_FP32 dims: 4 } input { name: "scale" data_type: TYPE_FP32 dims: 1 }"""
Y = """output { name: "y" data_type: TYPE_FP32 dims: 2 }"""
serial = itertools.count()
CONFIG = f'platform: "pytorch_libtorch" max_batch_size: 64 {XS} {Y}'


@pytest.fixture
def load(folder: Any, torch: Any) -> Iterator[Callable[..., ServedModel]]:
    """Write a model (scripted, unless a function writes it) and load it on two cores."""
    made: list[ServedModel] = []

    def make(model: Any, config: str = CONFIG, name: str = "m", file: str = "model.pt", cores: int = 2) -> ServedModel:
        path: Path = folder.add(name, config) / file
        if isinstance(model, torch.nn.Module):
            torch.jit.script(model).save(str(path))  # harmless to one that is scripted
        else:
            model(path)
        path = path.parent
        made.append(ServedModel(name, "1", path, parse(config), cores=cores, default_max_batch=16))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture
def scripted(torch: Any, tmp_path: Path) -> Callable[[str], Any]:
    """A module from the text of its methods."""

    def make(text: str) -> Any:
        source = tmp_path / "scripted.py"  # the compiler reads the file
        head = "import torch\nfrom torch import Tensor\nfrom typing import Dict, Optional\nclass M(torch.nn.Module):\n"
        source.write_text(head + textwrap.indent(textwrap.dedent(text), "  "))
        namespace: dict[str, Any] = {"__name__": f"scripted_{next(serial)}"}
        linecache.checkcache(str(source))
        exec(compile(source.read_text(), str(source), "exec"), namespace)
        module = namespace["M"]()
        return torch.jit.script(module)

    return make


def inputs(rows: int = 3, seed: int = 1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal((rows, 4)).astype(np.float32),
        "scale": random.standard_normal((rows, 1)).astype(np.float32),
    }


def run(model: ServedModel, given: dict[str, np.ndarray], **more: Any) -> dict[str, np.ndarray]:
    return dict(model.submit(InferRequest(model.spec.name, given, **more)).result(30).outputs)


def same(torch: Any, array: np.ndarray, expected: Any) -> None:
    np.testing.assert_array_equal(array, expected.detach().numpy())


# ---- TorchScript ----------------------------------------------------------------------------------------------------


def test_torchscript_gives_the_bits_of_pytorch(load: Any, linear: Any, torch: Any) -> None:
    network, given = linear(), inputs()
    model = load(network)
    assert (model.config.backend, model.config.platform, model.instances) == ("pytorch", "pytorch_libtorch", 2)
    same(torch, run(model, given)["y"], network(*(torch.from_numpy(a) for a in given.values())))


@pytest.mark.parametrize(
    "tensors",
    [
        'input { name: "scale" data_type: TYPE_FP32 dims: 1 } input { name: "x" data_type: TYPE_FP32 dims: 4 }',
        'input { name: "b__1" data_type: TYPE_FP32 dims: 1 } input { name: "a__0" data_type: TYPE_FP32 dims: 4 }',
        'input { name: "first" data_type: TYPE_FP32 dims: 4 } input { name: "second" data_type: TYPE_FP32 dims: 1 }',
    ],
)
def test_names(tensors: str, load: Any, linear: Any, torch: Any) -> None:
    network, given = linear(), inputs()
    model = load(network, f'backend: "pytorch" max_batch_size: 8 {tensors} {Y}')
    expected = network(*(torch.from_numpy(a) for a in given.values()))
    by_size = {1: given["scale"], 4: given["x"]}
    same(torch, run(model, {t.name: by_size[t.shape[1]] for t in model.spec.inputs})["y"], expected)


def test_several_results(load: Any, scripted: Any) -> None:
    text = "def forward(self, x: Tensor):\n  return x + 1, x + 2, x + 3"
    config = 'backend: "pytorch" input { name: "x" data_type: TYPE_FP32 dims: -1 }'
    for names, expected in ((("OUTPUT__2", "OUTPUT__0"), (3, 1)), (("a", "b"), (1, 2))):
        outputs = "".join(f'output {{ name: "{name}" data_type: TYPE_FP32 dims: -1 }}' for name in names)
        model = load(scripted(text), f"{config} {outputs}")
        answer = run(model, {"x": np.zeros(1, np.float32)})
        assert [answer[name].tolist() for name in names] == [[value] for value in expected]


def test_dictionaries(load: Any, scripted: Any) -> None:
    model = load(
        scripted(
            'def forward(self, data: Dict[str, Tensor]):\n  return {"sum": data["a"] + data["b"], "a": data["a"]}'
        ),
        """backend: "pytorch" input { name: "a" data_type: TYPE_INT64 dims: -1 }
        input { name: "b" data_type: TYPE_INT64 dims: -1 } output { name: "sum" data_type: TYPE_INT64 dims: -1 }
        output { name: "missing" data_type: TYPE_INT64 dims: -1 }""",
    )
    given = {"a": np.array([1, 2]), "b": np.array([3, 4])}
    assert run(model, given, outputs=("sum",))["sum"].tolist() == [4, 6]
    with pytest.raises(ModelFailed, match="did not return output 'missing': it returned sum, a"):
        run(model, given)


def test_an_optional_argument_may_be_left_out(load: Any, scripted: Any) -> None:
    model = load(
        scripted(
            "def forward(self, x: Tensor, y: Optional[Tensor]=None):\n  if y is not None:\n    x = x + y\n  return x"
        ),
        """backend: "pytorch" input { name: "x" data_type: TYPE_FP64 dims: -1 }
        input { name: "y" data_type: TYPE_FP64 dims: -1 optional: true }
        output { name: "z" data_type: TYPE_FP64 dims: -1 }""",
    )
    one = np.ones(2)
    assert run(model, {"x": one})["z"].tolist() == [1, 1]
    assert run(model, {"x": one, "y": one})["z"].tolist() == [2, 2]


@pytest.mark.parametrize("dtype", [dtype for dtype in DType if dtype is not DType.BYTES])
def test_every_datatype(dtype: DType, load: Any, scripted: Any) -> None:
    tensors = " ".join(
        f'{what} {{ name: "{name}" data_type: TYPE_{dtype.name} dims: [ -1, 2 ] }}'
        for what, name in (("input", "x"), ("output", "y"))
    )
    model = load(scripted("def forward(self, x: Tensor):\n  return x.clone()"), f'backend: "pytorch" {tensors}')
    x = np.array([[0, 1], [1, 0]], dtype.numpy)
    y = run(model, {"x": x}, dtypes={"x": dtype})["y"]
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(x, y)


def test_a_model_may_write_to_its_inputs(load: Any, scripted: Any) -> None:
    tensors = 'input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }'
    model = load(scripted("def forward(self, x: Tensor):\n  return x.add_(1)"), f'backend: "pytorch" {tensors}')
    mine, wire = np.zeros(3, np.float32), np.frombuffer(bytes(12), np.float32)
    for given in (mine, wire):
        assert run(model, {"x": given})["y"].tolist() == [1, 1, 1]
        assert not given.any()


@pytest.mark.parametrize("given", ["false", "False", "0"])
def test_a_model_that_differentiates(given: str, load: Any, scripted: Any) -> None:
    text = """def forward(self, x: Tensor):
      x = x.requires_grad_(True)
      grad = torch.autograd.grad([(x * x).sum()], [x])[0]
      assert grad is not None
      return grad"""
    tensors = 'input { name: "x" data_type: TYPE_FP32 dims: -1 } output { name: "y" data_type: TYPE_FP32 dims: -1 }'
    switch = f'parameters {{ key: "INFERENCE_MODE" value {{ string_value: "{given}" }} }}'
    model = load(scripted(text), f'backend: "pytorch" {switch} {tensors}')
    assert run(model, {"x": np.array([3], np.float32)})["y"].tolist() == [6]


@pytest.mark.parametrize(("plain", "optimises"), [("", True), ("0", True), ("TRUE", False)])
def test_a_merged_model_that_is_not_to_optimise_itself(
    plain: str, optimises: bool, load: Any, linear: Any, torch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    wrapped = torch.jit.optimized_execution
    monkeypatch.setattr(torch.jit, "optimized_execution", lambda given: asked.append(given) or wrapped(given))
    given = {"merge": "always", **({"DISABLE_OPTIMIZED_EXECUTION": plain} if plain else {})}
    switches = "".join(f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in given.items())
    run(load(linear(), CONFIG + switches), inputs())
    assert asked == [optimises]


def test_arguments_that_are_no_tensors_keep_their_default(load: Any, scripted: Any) -> None:
    text = "def forward(self, x: Tensor, wide: bool = False, factor: float = 3.0, scale: Optional[Tensor] = None):\n"
    text += "  return x[:, :2] * factor if scale is None else x[:, :2] * scale"
    x = np.ones((1, 4), np.float32)
    one = CONFIG.replace('input { name: "scale" data_type: TYPE_FP32 dims: 1 }', "")
    assert run(load(scripted(text), one), {"x": x})["y"].tolist() == [[3, 3]]
    assert run(load(scripted(text), CONFIG), {"x": x, "scale": x[:, :1] * 5})["y"].tolist() == [[5, 5]]
    counted = CONFIG.replace('"x"', '"x__0"').replace('"scale"', '"x__3"')
    assert run(load(scripted(text), counted), {"x__0": x, "x__3": x[:, :1] * 7})["y"].tolist() == [[7, 7]]
    with pytest.raises(ConfigError, match="input 'x__1' is for argument 'wide' of forward, which is a bool"):
        load(scripted(text), counted.replace("x__3", "x__1"))


def test_nobody_can_write_to_the_weights_that_a_model_gives(load: Any, scripted: Any) -> None:
    text = """
        def __init__(self):
            super().__init__()
            self.prior = torch.ones(1, 2)
        def forward(self, x, scale):
            return self.prior
    """
    model = load(scripted(text))
    y = run(model, inputs(1))["y"]
    with pytest.raises(ValueError, match="read-only"):
        y *= 2
    assert run(model, inputs(1))["y"].tolist() == [[1, 1]]


# ---- torch.export ---------------------------------------------------------------------------------------------------


def test_an_exported_file_says_it_all(load: Any, linear: Any, export: Any, torch: Any) -> None:
    network, given = linear(), inputs()
    tensors = [torch.from_numpy(a) for a in given.values()]
    model = load(lambda path: export(network, path, *tensors), "", file="model.pt2")
    assert model.spec.inputs == (TensorSpec("x", DType.FP32, (-1, 4)), TensorSpec("scale", DType.FP32, (-1, 1)))
    assert model.spec.outputs == (TensorSpec("OUTPUT__0", DType.FP32, (-1, 2)),)
    assert (model.spec.max_batch_size, model.config.default_model_filename) == (16, "model.pt2")
    same(torch, run(model, given)["OUTPUT__0"], network(*tensors))
    assert len(run(model, inputs(1))["OUTPUT__0"]) == 1


def test_an_exported_file_with_names_of_the_configuration(load: Any, linear: Any, export: Any, torch: Any) -> None:
    network, given = linear(), inputs()
    tensors = [torch.from_numpy(a) for a in given.values()]
    config = CONFIG.replace('"x"', '"INPUT__0"').replace('"scale"', '"INPUT__1"')
    model = load(lambda path: export(network, path, *tensors), config, file="model.pt2")
    answer = run(model, {"INPUT__0": given["x"], "INPUT__1": given["scale"]})
    same(torch, answer["y"], network(*tensors))
    with pytest.raises(ConfigError, match="input 'x' is FP64, in the file FP32"):
        load(
            lambda path: None, CONFIG.replace('"x" data_type: TYPE_FP32', '"x" data_type: TYPE_FP64'), file="model.pt2"
        )
    with pytest.raises(ConfigError, match="output 'y__1' counts past the 1 results"):
        load(lambda path: None, CONFIG.replace('"y"', '"y__1"'), file="model.pt2")


def test_an_exported_file_with_dictionaries_and_named_arguments(load: Any, torch: Any) -> None:
    class Named(torch.nn.Module):
        def forward(self, x, *, shift):
            return {"sum": x + shift, "x": x}

    program = torch.export.export(Named(), (torch.zeros(3),), {"shift": torch.zeros(3)})
    model = load(lambda path: torch.export.save(program, path), "", file="model.pt2")
    assert [tensor.name for tensor in model.spec.inputs] == ["x", "shift"]
    assert (model.spec.max_batch_size, model.spec.outputs[0].shape) == (0, (3,))
    answer = run(model, {"x": np.ones(3, np.float32), "shift": np.full(3, 2, np.float32)})
    assert (answer["sum"].tolist(), answer["x"].tolist()) == ([3, 3, 3], [1, 1, 1])


def test_an_exported_file_says_how_many_rows_it_takes(load: Any, torch: Any) -> None:
    class Twice(torch.nn.Module):
        def forward(self, x):
            return 2 * x

    def write(path: Path) -> None:
        free = ({0: torch.export.Dim("rows", max=8)},)
        torch.export.save(torch.export.export(Twice(), (torch.zeros(3, 4),), dynamic_shapes=free), path)

    model = load(write, "", file="model.pt2")
    assert model.spec.max_batch_size == 8
    assert run(model, {"x": np.ones((8, 4), np.float32)})["OUTPUT__0"].tolist() == [[2] * 4] * 8
    tensors = 'input { name: "x" data_type: TYPE_FP32 dims: 4 } output { name: "y" data_type: TYPE_FP32 dims: 4 }'
    assert load(write, f"max_batch_size: 5 {tensors}", file="model.pt2").spec.max_batch_size == 5
    for config in ("max_batch_size: 9", f"max_batch_size: 9 {tensors}"):
        with pytest.raises(ConfigError, match="max_batch_size is 9, in the file at most 8"):
            load(write, config, file="model.pt2")


def test_dimensions_that_differ_are_no_batch(load: Any, torch: Any) -> None:
    class Graph(torch.nn.Module):
        def forward(self, nodes, edges):
            return nodes.sum(0), edges * 2

    free = ({0: torch.export.Dim("nodes")}, {0: torch.export.Dim("edges")})
    program = torch.export.export(Graph(), (torch.zeros(5, 3), torch.zeros(7, 2)), dynamic_shapes=free)
    model = load(lambda path: torch.export.save(program, path), "", file="model.pt2")
    assert model.spec.max_batch_size == 0
    assert [tensor.shape for tensor in model.spec.inputs] == [(-1, 3), (-1, 2)]


def test_collections_of_tensors_are_refused(load: Any, torch: Any) -> None:
    class Nested(torch.nn.Module):
        def forward(self, pair):
            return pair[0] + pair[1]

    program = torch.export.export(Nested(), ((torch.zeros(3), torch.zeros(3)),))
    with pytest.raises(ConfigError, match="not a tensor but a collection"):
        load(lambda path: torch.export.save(program, path), "", file="model.pt2")


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        (lambda x: (x, (x + 1, x + 2)), "a result of forward is not a tensor but a collection"),
        (lambda x: {"a": x + 1, "b": {"c": x}}, "a result of forward is not a tensor but a collection"),
        (lambda x: (x + 1, None), "result 'OUTPUT__1' of forward is always None, expected a tensor"),
        (lambda x: (3, x + 1), "result 'OUTPUT__0' of forward is always 3, expected a tensor"),
    ],
    ids=["tuples", "dictionaries", "none", "number"],
)
def test_results_that_are_no_tensors_are_refused(result: Any, complaint: str, load: Any, torch: Any) -> None:
    class Results(torch.nn.Module):
        def forward(self, x):
            return result(x)

    program = torch.export.export(Results(), (torch.zeros(3),))
    with pytest.raises(ConfigError, match=complaint):
        load(lambda path: torch.export.save(program, path), "", file="model.pt2")


# ---- the same bits, threads, devices --------------------------------------------------------------------------------


def test_requests_are_merged_only_if_the_owner_says_so(
    load: Any, linear: Any, caplog: pytest.LogCaptureFixture
) -> None:
    delay = "dynamic_batching { max_queue_delay_microseconds: 60000000 preferred_batch_size: 3 }"
    network = linear()
    alone = load(network, f"{CONFIG} {delay}", "alone")
    assert not alone.merges
    assert "model 'alone': requests are not merged" in caplog.text
    always = 'parameters { key: "merge" value { string_value: "always" } }'
    merged = load(network, f"{CONFIG} {delay} {always}", "merged")
    for model, executions in ((alone, 2), (merged, 1)):
        futures = [model.submit(InferRequest("m", inputs(rows, rows)), inline=False) for rows in (1, 2)]
        wait(futures, 30)
        assert [len(future.result().outputs["y"]) for future in futures] == [1, 2]
        assert model.statistics().execution_count == executions


def test_the_bits_are_the_same_on_every_call_and_from_every_address(load: Any, linear: Any) -> None:
    model, given = load(linear()), inputs(33)
    room = np.zeros(given["x"].nbytes + 64, np.uint8)
    answers = [run(model, given)["y"]]
    for offset in (0, 4, 20, 36):
        odd = room[offset : offset + given["x"].nbytes].view(np.float32).reshape(33, 4)
        odd[...] = given["x"]
        answers.append(run(model, {**given, "x": odd})["y"])
    assert all(answer.tobytes() == answers[0].tobytes() for answer in answers)


@pytest.mark.parametrize(
    ("key", "asked", "cores", "expected"),
    [
        ("intra_op_thread_count", 2, 4, (2, 2)),
        ("INTRA_OP_THREAD_COUNT", 3, 2, (2, 1)),
        ("other", 7, 4, (1, 4)),
    ],
)
def test_threads(
    key: str,
    asked: int,
    cores: int,
    expected: tuple[int, int],
    load: Any,
    linear: Any,
    torch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = f'{CONFIG} parameters {{ key: "{key}" value {{ string_value: "{asked}" }} }}'
    model = load(linear(), config, cores=cores)
    seen: list[int] = []
    call = programs._Script.__call__
    monkeypatch.setattr(
        programs._Script, "__call__", lambda self, given: (seen.append(torch.get_num_threads()), call(self, given))[1]
    )
    before = torch.get_num_threads()
    run(model, inputs())
    thread = threading.Thread(target=run, args=(model, inputs()))
    thread.start()
    thread.join()
    assert (seen, model.instances) == ([expected[0]] * 2, expected[1])
    assert torch.get_num_threads() == before


class FakeCuda:
    """As much of ``torch.cuda`` as decides where instances go."""

    def __init__(self, count: int) -> None:
        self.count = count

    def is_available(self) -> bool:
        return self.count > 0

    def device_count(self) -> int:
        return self.count

    def Stream(self, device: int) -> str:
        return f"stream of {device}"


@pytest.mark.parametrize(
    ("groups", "gpus", "loaded", "placed"),
    [
        ("instance_group { kind: KIND_GPU count: 2 }", 0, ["cpu"], [None, None]),
        ("instance_group { kind: KIND_GPU count: 2 }", 2, ["cuda:0", "cuda:1"], [0, 0, 1, 1]),
        (
            "instance_group { kind: KIND_GPU gpus: 1 } instance_group { kind: KIND_CPU }",
            2,
            ["cuda:1", "cpu"],
            [1, None],
        ),
        ("instance_group { kind: KIND_CPU }", 2, ["cpu"], [None]),
        ("", 1, ["cuda:0"], [0]),
    ],
)
def test_each_device_gets_the_weights_once(
    groups: str,
    gpus: int,
    loaded: list[str],
    placed: list[int | None],
    folder: Any,
    linear: Any,
    torch: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sonic.server.backends.base import LoadContext

    path = folder.add("m") / "model.pt"
    torch.jit.script(linear()).save(str(path))
    monkeypatch.setattr(torch, "cuda", FakeCuda(gpus))
    given: list[str] = []
    monkeypatch.setattr(
        "sonic.server.backends.torch.backend.load",
        lambda path, device: (given.append(device), programs.load(path, "cpu"))[1],
    )
    config = parse(f"{CONFIG} {groups}")
    backend = TorchBackend(LoadContext("m", "1", path.parent, config, 4))
    backend.amend(config)
    assert [instance.gpu for instance in backend.instances()] == placed
    assert given == loaded


# ---- faults ---------------------------------------------------------------------------------------------------------


def test_torchscript_needs_a_configuration(load: Any, linear: Any) -> None:
    for config in ("", f'backend: "pytorch" {XS}'):
        with pytest.raises(ConfigError, match=r"m' version 1 cannot .*a config\.pbtxt with input and output"):
            load(linear(), config)


def test_a_file_that_cannot_be_read(load: Any, linear: Any, torch: Any, tmp_path: Path) -> None:
    whole = tmp_path / "whole.pt"
    torch.jit.script(linear()).save(str(whole))
    content = whole.read_bytes()
    for wrong in (content[: len(content) // 2], b"", b"not a model"):
        with pytest.raises(ConfigError, match=r"PyTorch cannot load .*model\.pt: \w+"):
            load(lambda path, wrong=wrong: path.write_bytes(wrong))
        with pytest.raises(ConfigError, match=r"PyTorch cannot load .*model\.pt2: \w+"):
            load(lambda path, wrong=wrong: path.write_bytes(wrong), name="n", file="model.pt2")
    with pytest.raises(ConfigError, match=r"there is no file .*model\.pt"):
        load(lambda path: None, name="none")


@pytest.mark.parametrize(
    ("text", "config", "complaint"),
    [
        ("def forward(self, x: Tensor, n: int):\n  return x", CONFIG, "argument 'n' of forward is a int"),
        ("@torch.jit.export\ndef other(self, x: Tensor):\n  return x", CONFIG, "has no method forward"),
        ("def forward(self, a: Tensor):\n  return a", CONFIG, "there are 2 inputs, and forward has the arguments a"),
        (
            "def forward(self, x: Tensor):\n  return x",
            'backend: "pytorch" input { name: "x" data_type: TYPE_STRING dims: 1 }'
            'output { name: "y" data_type: TYPE_FP32 dims: 1 }',
            "tensor 'x' has texts",
        ),
    ],
)
def test_a_model_that_does_not_fit(text: str, config: str, complaint: str, load: Any, scripted: Any) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(scripted(text), config)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("return x[:, :1]", r"output 'y': expected shape \[3, 2\], the model gave shape \[3, 1\]"),
        ("return x.double()[:, :2]", "output 'y': expected FP32, the model gave FP64"),
        ("return x.to(torch.bfloat16)[:, :2]", "output 'y': expected FP32, the model gave BF16"),
        ("return x.to(torch.complex64)[:, :2]", r"expected FP32, the model gave torch\.complex64"),
        ("return x.matmul(x)", "model 'm' failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ("return 3", "output 'y': expected a tensor, the model gave int"),
        ("return (x, x)[:0]", "did not return output 'y': it returned 0 results"),
        ("raise ValueError('bad luck')", "model 'm' failed: .*bad luck"),
    ],
)
def test_a_model_that_fails(text: str, complaint: str, load: Any, scripted: Any) -> None:
    model = load(scripted(f"def forward(self, x: Tensor, scale: Tensor):\n  {text}"))
    with pytest.raises(ModelFailed, match=complaint):
        run(model, inputs())
    assert model.statistics().fail.count == 1


def test_an_exported_model_refuses_other_sizes(load: Any, torch: Any) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x):
            return x + 1

    program = torch.export.export(Fixed(), (torch.zeros(3, 4),))
    model = load(lambda path: torch.export.save(program, path), "", file="model.pt2")
    with pytest.raises(InvalidRequest, match=r"Expected \[3,4\], got \[3,5\]"):
        run(model, {"x": np.zeros((3, 5), np.float32)})


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch, folder: Any) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    path = folder.add("m", CONFIG)
    (path / "model.pt").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"needs PyTorch: pip install 'sonic-hep\[torch\]'"):
        ServedModel("m", "1", path, parse(CONFIG), cores=1, default_max_batch=1)


def test_found_without_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").touch()
    assert backend_for(parse(""), tmp_path) == ("pytorch", TorchBackend)


# ---- models from elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture
def pn_test(shared_data: Path, torch: Any, tmp_path: Path) -> Path:
    """coffea's test model."""
    model = shared_data / "models" / "pn_test"
    if not model.is_dir():
        pytest.skip(f"no {model}")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "pn_test").symlink_to(model)
    return tmp_path / "real"


def jets(rows: int = 3, candidates: int = 20) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        "points": random.standard_normal((rows, 2, candidates)).astype(np.float32),
        "features": random.standard_normal((rows, 5, candidates)).astype(np.float32),
        "mask": np.ones((rows, 1, candidates), np.float32),
    }


@pytest.mark.data
def test_a_particlenet_from_every_client(pn_test: Path, torch: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    given = jets()
    network = torch.jit.load(str(pn_test / "pn_test" / "1" / "model.pt"), map_location="cpu").eval()
    with torch.inference_mode():
        plain = network(*(torch.from_numpy(array) for array in given.values())).numpy()
    direct = sonic.Model(f"local:{pn_test}/pn_test")
    expected = direct(**given)["output"]
    direct.close()
    np.testing.assert_allclose(expected, plain, rtol=1e-4, atol=1e-6)  # with the threads that PyTorch chose
    with sonic.serve(pn_test, cores=1) as server:
        with sonic.Client([server.grpc_url]) as client:
            np.testing.assert_array_equal(client.model("pn_test")(**given)["output"], expected)
        other = triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
        tensors = [triton.InferInput(name, array.shape, "FP32") for name, array in given.items()]
        for tensor, array in zip(tensors, given.values(), strict=True):
            tensor.set_data_from_numpy(array)
        np.testing.assert_array_equal(other.infer("pn_test", tensors).as_numpy("output"), expected)
        assert other.get_model_config("pn_test", as_json=True)["config"]["platform"] == "pytorch_libtorch"
        other.close()


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Batch size not set by model")  # as it is: pn_test has none
@pytest.mark.parametrize("batch_size", [5, -1])
def test_coffeas_wrapper(batch_size: int, pn_test: Path) -> None:
    wrappers = pytest.importorskip("coffea.ml_tools")
    import awkward as ak

    class Tagger(wrappers.triton_wrapper):
        def prepare_awkward(self, output_list: Any, jets: Any) -> Any:
            tensors = {name: ak.to_regular(jets[name], axis=None) for name in jets.fields}
            return [], {"output_list": output_list, "input_dict": tensors}

    given = jets(12)
    direct = sonic.Model(f"local:{pn_test}/pn_test")
    with sonic.serve(pn_test, cores=1) as server:
        url = f"triton+{server.grpc_url}/pn_test/1"
        tagger = Tagger(url, {"ssl": False}, batch_size=batch_size)
        output = np.asarray(tagger(["output"], ak.Array(given))["output"])
    # It cuts the jets into batches and pads the last one.
    np.testing.assert_allclose(output, direct(**given)["output"], rtol=1e-4, atol=1e-6)
    direct.close()


@pytest.mark.data
def test_a_graph_network_of_exatrkx(
    shared_data: Path, torch: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, data = shared_data / "models" / "exatrkx_gnn", shared_data / "data" / "exatrkx"
    if not (model.is_dir() and data.is_dir()):
        pytest.skip(f"no {model} or no {data}")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "gnn").symlink_to(model)
    hits = np.loadtxt(data / "in_e1000.csv", delimiter=",", dtype=np.float32, ndmin=2)
    reference = data / "reference"
    edges = np.loadtxt(reference / "applyfilter_output_EDGE_LIST_AFTER_FILTER.csv", delimiter=",").astype(np.int64)
    expected = np.loadtxt(reference / "gnn_output_OUTPUT__0.csv", delimiter=",", dtype=np.float32)
    with sonic.serve(tmp_path / "real", cores=1) as server, sonic.Client([server.grpc_url]) as client:
        answer = client.model("gnn")(INPUT__0=hits[:, :3], INPUT__1=edges.reshape(2, -1))["OUTPUT__0"]
    assert np.abs(answer - expected).max() < 2e-4
    if not torch.cuda.is_available():
        assert "model 'gnn' asks for a GPU" in caplog.text
