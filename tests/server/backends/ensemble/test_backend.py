from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, DeadlineExceeded, InvalidRequest, ModelFailed, Unavailable
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.server.models.model import ServedModel
from sonic.server.models.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PYTHON = """
import threading
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([pb_utils.Tensor("o", self.make(r))]) for r in requests]

    def make(self, request):
        i = [tensor.as_numpy() for tensor in request.inputs()]
        return {code}
"""


def tensor(what: str, name: str, dims: str = "2", dtype: str = "FP32", more: str = "") -> str:
    return f'{what} {{ name: "{name}" data_type: TYPE_{dtype} dims: [ {dims} ] {more} }}\n'


def step(model: str, inputs: dict[str, str], outputs: dict[str, str], version: int = -1) -> str:
    maps = "".join(f'input_map {{ key: "{k}" value: "{v}" }}' for k, v in inputs.items())
    maps += "".join(f'output_map {{ key: "{k}" value: "{v}" }}' for k, v in outputs.items())
    return f'step {{ model_name: "{model}" model_version: {version} {maps} }}\n'


class World:
    """A repository that a test fills with small models of Python, and ensembles of them."""

    def __init__(self, folder: Any) -> None:
        self.folder = folder
        self.made: list[Repository] = []

    def model(
        self, name: str, code: str, inputs: int = 1, batch: int = 8, dims: str = "2", more: str = "", version: str = "1"
    ) -> None:
        tensors = "".join(tensor("input", f"i{n}", dims) for n in range(inputs)) + tensor("output", "o", dims)
        path = self.folder.add(name, f'backend: "python" max_batch_size: {batch} {tensors} {more}', version)
        (path / "model.py").write_text(PYTHON.replace("{code}", code))

    def ensemble(
        self, name: str, *steps: str, inputs: str = "x", outputs: str = "y", batch: int = 8, more: str = ""
    ) -> None:
        tensors = "".join(tensor("input", n) for n in inputs.split())
        tensors += "".join(tensor("output", n) for n in outputs.split())
        config = (
            f'platform: "ensemble" max_batch_size: {batch} {tensors} {more} ensemble_scheduling {{ {"".join(steps)} }}'
        )
        self.folder.add(name, config)

    def chain(self, name: str = "e", *models: str) -> None:
        """x -> first model -> t0 -> second -> ... -> y."""
        ends = ["x", *(f"t{n}" for n in range(len(models) - 1)), "y"]
        self.ensemble(name, *(step(m, {"i0": ends[n]}, {"o": ends[n + 1]}) for n, m in enumerate(models)))

    def load(self, *names: str, **options: Any) -> Repository:
        self.made.append(Repository([self.folder.path], cores=2, **options))
        if names:
            for name in names:
                self.made[-1].load(name)
        else:
            self.made[-1].load_all()
        return self.made[-1]


@pytest.fixture
def world(folder: Any) -> Iterator[World]:
    made = World(folder)
    yield made
    for repository in made.made:
        repository.close()


def x(*numbers: float) -> np.ndarray:
    return np.array([[number, -number] for number in numbers], np.float32)


def call(repository: Repository, *numbers: float, name: str = "e", inline: bool = True, **more: Any) -> Any:
    return repository.submit(InferRequest(name, {"x": x(*numbers)}, **more), inline=inline)


def values(future: Any, output: str = "y") -> list[float]:
    return future.result(10).outputs[output][:, 0].tolist()


# ---- what it does ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [True, False])
def test_steps_follow_each_other(inline: bool, world: World) -> None:
    world.model("add", "i[0] + 1")
    world.model("double", "2 * i[0]")
    world.chain("e", "add", "double", "add")
    repository = world.load()
    response = call(repository, 1, 2, inline=inline, id="7").result(10)
    assert response.outputs["y"][:, 0].tolist() == [5, 7]
    assert (response.model, response.version, response.id) == ("e", "1", "7")
    model = repository.get("e")
    assert (model.config.platform, model.config.backend, model.spec.platform) == ("ensemble", "", "ensemble")
    assert (model.instances, model.pending, len(model.config.instance_group)) == (0, 0, 0)


def test_branches_run_at_the_same_time(world: World) -> None:
    # Each waits for the other: one after the other they would never end.
    world.model("fork", "i[0]")
    for name, other in (("left", "right"), ("right", "left")):
        world.model(name, f"(meet['{name}'].set(), meet['{other}'].wait(10))[1] * i[0]")
        path = world.folder.path / name / "1" / "model.py"
        path.write_text(path.read_text().replace("import threading", "import threading\nfrom builtins import meet"))
    world.model("join", "i[0] + 10 * i[1]", inputs=2)
    world.ensemble(
        "e",
        step("fork", {"i0": "x"}, {"o": "t"}),
        step("left", {"i0": "t"}, {"o": "l"}),
        step("right", {"i0": "t"}, {"o": "r"}),
        step("join", {"i0": "l", "i1": "r"}, {"o": "y"}),
    )
    import builtins

    builtins.meet = {"left": threading.Event(), "right": threading.Event()}  # type: ignore[attr-defined]
    try:
        repository = world.load()
        for inline in (True, False):
            assert values(call(repository, 1, inline=inline)) == [11]
            for event in builtins.meet.values():  # type: ignore[attr-defined]
                event.clear()
    finally:
        del builtins.meet  # type: ignore[attr-defined]


def test_only_what_is_wanted_runs(world: World) -> None:
    world.model("a", "i[0] + 1")
    world.model("b", "1 / 0")
    world.ensemble("e", step("a", {"i0": "x"}, {"o": "y"}), step("b", {"i0": "x"}, {"o": "z"}), outputs="y z")
    repository = world.load()
    assert values(call(repository, 1, outputs=("y",))) == [2]
    assert repository.get("b").statistics().fail.count == 0
    with pytest.raises(ModelFailed, match="ZeroDivisionError"):
        call(repository, 1).result(10)


def test_requests_of_several_ensembles_share_the_batches_of_a_step(world: World) -> None:
    delay = "dynamic_batching { max_queue_delay_microseconds: 60000000 }"
    world.model("a", "i[0] + 1", more=delay)
    world.chain("e", "a")
    world.chain("f", "a")
    repository = world.load()
    futures = [call(repository, *range(4), name=name, inline=False) for name in ("e", "f")]
    assert [values(future) for future in futures] == [[1, 2, 3, 4]] * 2
    assert repository.get("a").statistics().execution_count == 1


def test_steps_have_the_parameters_and_the_name_of_the_request(world: World) -> None:
    world.model("a", "i[0] + np.float32(len(request.request_id()) + eval(request.parameters())['shift'])")
    world.chain("e", "a", "a")
    repository = world.load()
    assert values(call(repository, 1, id="abc", parameters={"shift": 10})) == [1 + 2 * 13]


def test_a_step_that_gives_other_rows_than_it_got(world: World) -> None:
    world.model("a", "i[0][:1]", batch=0, dims="-1, 2")
    world.chain("e", "a")
    repository = world.load()
    assert values(call(repository, 7)) == [7]
    with pytest.raises(ModelFailed, match=r"model 'e', output 'y': expected shape \[2, 2\], given \[1, 2\]"):
        call(repository, 7, 8).result(10)


def test_statistics_are_its_own(world: World) -> None:
    world.model("a", "i[0] + 1")
    world.chain("e", "a", "a")
    repository = world.load()
    call(repository, 1, 2, 3).result(10)
    with pytest.raises(InvalidRequest):
        call(repository, *range(9))
    row, part = repository.get("e").statistics(), repository.get("a").statistics()
    assert (row.success.count, row.fail.count, row.inference_count, row.execution_count) == (1, 0, 3, 1)
    assert (part.success.count, part.inference_count, part.execution_count) == (2, 6, 2)
    assert row.compute_infer.total_ns == part.compute_infer.total_ns > 0
    assert row.success.total_ns >= part.success.total_ns


def labelled(world: World, name: str, text: str) -> str:
    """Put a label file beside a model, and return what config.pbtxt says of it."""
    path = world.folder.path / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "labels.txt").write_text(text)
    return 'label_filename: "labels.txt"'


def test_classes_have_the_labels_of_the_model_that_makes_them(world: World) -> None:
    named = labelled(world, "m", "down\nup\n")
    world.folder.add(
        "m", f'backend: "python" max_batch_size: 8 {tensor("input", "i0")} {tensor("output", "o", more=named)}'
    )
    (world.folder.path / "m" / "1" / "model.py").write_text(PYTHON.replace("{code}", "i[0]"))
    own = labelled(world, "own", "no\nyes\n")
    world.ensemble("e", step("m", {"i0": "x"}, {"o": "y"}))
    world.ensemble("outer", step("e", {"x": "x"}, {"y": "z"}), outputs="z")
    world.folder.add(
        "own",
        f'platform: "ensemble" max_batch_size: 8 {tensor("input", "x")} {tensor("output", "y", more=own)} '
        f"ensemble_scheduling {{ {step('m', {'i0': 'x'}, {'o': 'y'})} }}",
    )
    repository = world.load()
    for name, output, label in (("e", "y", b"up"), ("outer", "z", b"up"), ("own", "y", b"yes")):
        (best,) = call(repository, -3, name=name, outputs=(output,), classes={output: 1}).result(10).outputs[output][0]
        assert best == b"3.000000:1:" + label


def test_an_answer_that_is_kept_runs_no_step(world: World) -> None:
    world.model("m", "2 * i[0]")
    world.ensemble("e", step("m", {"i0": "x"}, {"o": "y"}), more="response_cache { enable: true }")
    repository = world.load()
    assert [values(call(repository, number)) for number in (1, 1, 2)] == [[2], [2], [4]]
    own, used = (repository.get(name).statistics() for name in ("e", "m"))
    assert (own.success.count, own.cache_hit.count, own.cache_miss.count, own.execution_count) == (3, 1, 2, 2)
    assert used.execution_count == 2
    model = repository.get("e")
    model.stop()
    with pytest.raises(Unavailable):
        model.submit(InferRequest("e", {"x": x(1)}))


WARMUP = """model_warmup { name: "w" batch_size: 3 count: 2
  inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } } }"""


def test_samples_go_through_its_steps_before_it_is_ready(world: World) -> None:
    world.model("m", "i[0]")
    world.ensemble("e", step("m", {"i0": "x"}, {"o": "t"}), step("m", {"i0": "t"}, {"o": "y"}), more=WARMUP)
    repository = world.load("e")
    own, used = (repository.get(name).statistics() for name in ("e", "m"))
    assert (own.success.count, own.execution_count) == (0, 0)
    assert (used.success.count, used.inference_count) == (4, 12)
    assert values(call(repository, 5)) == [5]


def test_a_sample_that_fails_keeps_it_from_being_loaded(world: World) -> None:
    world.model("m", "1 / 0")
    world.ensemble("e", step("m", {"i0": "x"}, {"o": "y"}), more=WARMUP)
    with pytest.raises(ConfigError, match=r"warm-up 'w': in ensemble 'e', .*ZeroDivisionError.*: step 1 \(model 'm'\)"):
        world.load("e")


def test_an_ensemble_of_ensembles(world: World) -> None:
    world.model("add", "i[0] + 1")
    world.chain("inner", "add", "add")
    world.ensemble("e", step("inner", {"x": "x"}, {"y": "t"}), step("inner", {"x": "t"}, {"y": "y"}))
    repository = world.load()
    assert values(call(repository, 0)) == [4]
    assert repository.get("inner").statistics().success.count == 2
    assert repository.get("e").statistics().compute_infer.total_ns > 0


def test_a_version_can_be_named(world: World) -> None:
    world.model("a", "i[0] + 1", more="version_policy { all {} }")
    world.model("a", "i[0] + 2", more="version_policy { all {} }", version="2")
    for name, version in (("one", 1), ("latest", -1)):
        world.ensemble(name, step("a", {"i0": "x"}, {"o": "y"}, version))
    repository = world.load()
    assert [values(call(repository, 0, name=name)) for name in ("one", "latest")] == [[1], [2]]


def test_models_with_and_without_a_batch(world: World) -> None:
    world.model("rows", "i[0] + 1", batch=0, dims="-1, 2")
    world.model("row", "i[0] + 2", batch=0)
    world.model("batch", "i[0] * 10")
    world.ensemble("e", step("rows", {"i0": "x"}, {"o": "t"}), step("batch", {"i0": "t"}, {"o": "y"}))
    world.ensemble("single", step("row", {"i0": "x"}, {"o": "t"}), step("batch", {"i0": "t"}, {"o": "y"}))
    repository = world.load()
    assert values(call(repository, 1, 2)) == [20, 30]
    assert values(call(repository, 1, name="single")) == [30]
    with pytest.raises(
        InvalidRequest, match=r"in ensemble 'single', unexpected shape for input 'i0' for model 'row'.*: step 1 \("
    ):
        call(repository, 1, 2, name="single").result(10)


def test_an_optional_input_may_be_left_out(world: World, folder: Any) -> None:
    tensors = tensor("input", "i0") + tensor("input", "i1", more="optional: true") + tensor("output", "o")
    path = folder.add("a", f'backend: "python" max_batch_size: 8 {tensors}')
    (path / "model.py").write_text(PYTHON.replace("{code}", "sum(i)"))
    tensors = tensor("input", "x") + tensor("input", "z", more="optional: true") + tensor("output", "y")
    both = step("a", {"i0": "x", "i1": "z"}, {"o": "y"})
    folder.add("e", f'platform: "ensemble" max_batch_size: 8 {tensors} ensemble_scheduling {{ {both} }}')
    repository = world.load()
    assert values(call(repository, 1)) == [1]
    assert values(repository.submit(InferRequest("e", {"x": x(1), "z": x(5)}))) == [6]


def test_the_bits_are_those_of_the_models(world: World, folder: Any, make_dense: Callable[..., bytes]) -> None:
    folder.onnx("one", make_dense((4, 9, 4), "Tanh"))
    folder.onnx("two", make_dense((4, 7, 4), "Softplus", seed=2))
    tensors = tensor("input", "x", "4") + tensor("output", "y", "4")
    steps = step("one", {"x": "x"}, {"y": "t"}) + step("two", {"x": "t"}, {"y": "y"})
    folder.add("e", f'platform: "ensemble" max_batch_size: 64 {tensors} ensemble_scheduling {{ {steps} }}')
    repository = world.load()
    random = np.random.default_rng(3)
    requests = [random.standard_normal((rows, 4)).astype(np.float32) for rows in (1, 3, 17, 2, 1, 5)]
    alone = []
    for request in requests:
        t = repository.submit(InferRequest("one", {"x": request})).result(10).outputs["y"]
        alone.append(repository.submit(InferRequest("two", {"x": t})).result(10).outputs["y"])
    for inline in (True, False):
        futures = [repository.submit(InferRequest("e", {"x": request}), inline=inline) for request in requests]
        for future, expected in zip(futures, alone, strict=True):
            assert future.result(10).outputs["y"].tobytes() == expected.tobytes()


def test_over_the_wire(world: World, serve: Any) -> None:
    triton = pytest.importorskip("tritonclient.http")
    world.model("add", "i[0] + 1")
    world.chain("e", "add", "add")
    with serve(world.folder) as server, sonic.Client([server.grpc_url]) as client:
        assert client.model("e")(x=x(1))["y"].tolist() == [[3, 1]]
        other = triton.InferenceServerClient(server.http_url.removeprefix("http://"))
        given = triton.InferInput("x", [1, 2], "FP32")
        given.set_data_from_numpy(x(1))
        assert other.infer("e", [given]).as_numpy("y").tolist() == [[3, 1]]
        config = other.get_model_config("e")
        assert config["ensemble_scheduling"]["step"][0]["model_name"] == "add"
        assert other.get_inference_statistics("e")["model_stats"][0]["inference_stats"]["success"]["count"] == 2
        other.close()


# ---- loading --------------------------------------------------------------------------------------------------------


def test_its_models_are_loaded_with_it_and_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "sonic.server")
    world.model("z", "i[0]")
    world.chain("e", "z")
    world.load()
    assert [record.message for record in caplog.records if "loaded model 'z'" in record.message] != []
    assert sum("loaded model 'z'" in record.message for record in caplog.records) == 1
    assert values(call(world.load("e"), 1)) == [1]
    assert values(call(world.load("e", only=["e"]), 1)) == [1]


def test_a_step_can_be_replaced_while_it_is_served(world: World) -> None:
    world.model("a", "i[0] + 1")
    world.chain("e", "a")
    repository = world.load()
    assert values(call(repository, 0)) == [1]
    world.model("a", "i[0] + 2")
    repository.load("a")
    assert values(call(repository, 0)) == [2]


@pytest.mark.parametrize(
    ("steps", "options", "complaint"),
    [
        ([step("none", {"i0": "x"}, {"o": "y"})], {}, r"step 1 \(model 'none'\): no model 'none'"),
        ([step("a", {"i0": "x"}, {"o": "y"}, 7)], {}, r"step 1 \(model 'a'\): .*'a' version 7 is not found"),
        ([step("a", {"i9": "x"}, {"o": "y"})], {}, r"step 1 \(model 'a'\): the model has no input 'i9', it has i0"),
        ([step("a", {"i0": "x"}, {"o9": "y"})], {}, "the model has no output 'o9', it has o"),
        ([step("a", {"i0": "q"}, {"o": "y"})], {}, "takes tensor 'q', which is made by no step"),
        ([step("a", {"i0": "x"}, {"o": "t"})], {}, "output 'y' is made by no step: they make t"),
        (
            [step("a", {"i0": t}, {"o": o}) for t, o in (("t", "u"), ("u", "t"), ("x", "y"))],
            {},
            "steps wait for each other",
        ),
        (
            [step("broken", {"i0": "x"}, {"o": "y"})],
            {},
            "step 1 .*: model 'broken' version 1 cannot be",
        ),
        ([step("a", {"i0": "x"}, {"o": "y"})], {"batch": 99}, "batches of up to 8 rows, the ensemble's max_batch_size"),
        ([step("a", {"i0": "x"}, {"o": "y"})], {"more": "instance_group {}"}, "an ensemble has no instances"),
        (
            [step("a", {"i0": "x"}, {"o": "y"})],
            {"more": tensor("input", "w", "2", more="reshape { shape: [ 2, 1 ] }")},
            "tensor 'w' of an ensemble cannot be reshaped",
        ),
        ([step("a", {"i0": "x"}, {"o": "y"})], {"inputs": "x", "outputs": ""}, "needs a config.pbtxt with input and"),
        ([step("e", {"x": "x"}, {"y": "y"})], {}, "models are made of each other: e -> e"),
    ],
)
def test_what_makes_no_sense(steps: list[str], options: dict[str, Any], complaint: str, world: World) -> None:
    world.model("a", "i[0]")
    world.model("broken", "1 +")
    world.ensemble("e", *steps, **options)
    with pytest.raises(ConfigError, match=f"model 'e' version 1 cannot be loaded: .*{complaint}"):
        world.load("e")


def test_ensembles_that_are_made_of_each_other(world: World) -> None:
    world.model("a", "i[0]")
    world.ensemble("e", step("f", {"x": "x"}, {"y": "y"}))
    world.ensemble("f", step("e", {"x": "x"}, {"y": "y"}))
    with pytest.raises(ConfigError, match="models are made of each other: e -> f -> e"):
        world.load("e")
    world.chain("f", "a")
    repository = world.load("e")
    world.ensemble("f", step("e", {"x": "x"}, {"y": "y"}))
    with pytest.raises(ConfigError, match="models are made of each other: f -> e -> f"):
        repository.load("f")
    assert values(call(repository, 1)) == [1]


def test_it_needs_a_server(folder: Any) -> None:
    one = step("a", {"i0": "x"}, {"o": "y"})
    for text, complaint in (
        (f"ensemble_scheduling {{ {one} }}", "an ensemble needs the other models of a server"),
        ('platform: "ensemble"', "platform 'ensemble' and ensemble_scheduling go together"),
    ):
        with pytest.raises(ConfigError, match=complaint):
            ServedModel("e", "1", folder.path, parse(text), cores=1, default_max_batch=1)


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [True, False])
def test_the_error_of_a_step_names_it(inline: bool, world: World) -> None:
    world.model("a", "i[0] + 1")
    world.model("b", "i[0] / 0 if i[0][0, 0] != 14 else [][1]")
    world.chain("e", "a", "b")
    repository = world.load()
    with pytest.raises(
        ModelFailed, match=r"^in ensemble 'e', Failed to process .*: IndexError.*: step 2 \(model 'b'\)"
    ):
        call(repository, 13, inline=inline).result(10)
    row = repository.get("e").statistics()
    assert (row.success.count, row.fail.count, row.execution_count) == (0, 1, 0)
    assert repository.get("e").failures()["BACKEND"] == 1
    assert repository.get("e").drain(0)


@pytest.mark.parametrize("inline", [True, False])
def test_a_deadline_of_the_model_s_own(inline: bool, world: World, folder: Any, script: Any) -> None:
    def ask_another(_: np.ndarray) -> Any:
        raise DeadlineExceeded("the other server was too slow")

    folder.scripted()
    world.ensemble("e", step("scripted", {"x": "x"}, {"y": "y"}))
    script.run = ask_another
    repository = world.load()
    if not inline:
        script.hold()  # until nobody but the model's thread is left to see to the request
    future = call(repository, 1, inline=inline)
    script.release()
    with pytest.raises(
        DeadlineExceeded, match=r"^in ensemble 'e', .*the other server was too slow: step 1 \(model 'scripted'\)$"
    ):
        future.result(10)


def test_outputs_that_are_not_what_it_declares(world: World) -> None:
    world.model("a", "i[0]", dims="-1")
    world.chain("e", "a")
    path = world.folder.path / "a" / "1" / "model.py"
    path.write_text(path.read_text().replace("return i[0]", "return i[0][:, :1]"))
    with pytest.raises(ModelFailed, match=r"model 'e', output 'y': expected shape \[1, 2\], given \[1, 1\]"):
        call(world.load(), 1).result(10)


def test_a_step_that_is_unloaded(world: World) -> None:
    world.model("a", "i[0]")
    world.chain("e", "a")
    repository = world.load()
    repository.unload("a")
    with pytest.raises(
        Unavailable, match=r"'e' has no available versions: .*model 'a', which it is made of, is unloaded"
    ):
        call(repository, 1)
    repository.load("a")
    assert values(call(repository, 1)) == [1]


@pytest.fixture
def held(world: World, folder: Any, script: Any) -> Repository:
    """An ensemble whose second step waits until the test lets it."""
    world.model("a", "i[0]")
    folder.scripted()
    world.ensemble("e", step("a", {"i0": "x"}, {"o": "t"}), step("scripted", {"x": "t"}, {"y": "y"}))
    repository = world.load()
    script.hold()
    return repository


def test_the_deadline_goes_to_every_step(held: Repository, script: Any) -> None:
    future = call(held, 1, inline=False, timeout_s=0.3)
    with pytest.raises(DeadlineExceeded, match=r"model 'e', step \d .*: the deadline of 0\.3 s came"):
        future.result(10)
    script.release()
    assert values(call(held, 1, timeout_s=30)) == [2]


def test_a_deadline_that_has_passed_runs_nothing(held: Repository, script: Any) -> None:
    with pytest.raises(DeadlineExceeded, match=r"step 1 \(model 'a'\): the deadline of 0 s"):
        call(held, 1, timeout_s=0.0).result(10)
    assert held.get("a").statistics().execution_count == 0


def test_a_request_that_is_cancelled(held: Repository, script: Any, until: Any) -> None:
    running = call(held, 1, inline=False)
    script.wait_started()
    waiting = call(held, 2, inline=False)
    until(lambda: held.get("scripted").pending == 1)
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(10)
    assert held.get("e").failures()["CANCELED"] == held.get("e").statistics().fail.count == 1
    script.release()
    assert values(running) == [2]
    assert held.get("scripted").drain(10)
    assert len(script.batches) == 1


def test_it_waits_for_its_requests_and_ends_those_that_do_not(held: Repository, script: Any) -> None:
    model = held.get("e")
    future = call(held, 1, inline=False)
    script.wait_started()
    assert not model.drain(0)
    model.stop()
    with pytest.raises(Unavailable, match="model 'e' is being unloaded"):
        model.submit(InferRequest("e", {"x": x(1)}))
    model.close()
    with pytest.raises(Unavailable, match="did not end in time"):
        future.result(10)
    assert model.drain(0)
    script.release()


def test_one_failure_among_branches_ends_it_once(world: World, folder: Any, script: Any) -> None:
    world.model("bad", "1 / 0")
    folder.scripted()
    world.ensemble("e", step("scripted", {"x": "x"}, {"y": "y"}), step("bad", {"i0": "x"}, {"o": "z"}), outputs="y z")
    repository = world.load()
    script.hold()
    future = call(repository, 1, inline=False)
    with pytest.raises(ModelFailed, match="step 2"):
        future.result(10)  # while the other branch still runs
    script.release()
    assert repository.get("scripted").drain(10)
    row = repository.get("e").statistics()
    assert (row.success.count, row.fail.count) == (0, 1)


def test_an_interrupt_ends_the_request(world: World, folder: Any, script: Any) -> None:
    def interrupt(_: np.ndarray) -> Any:
        raise KeyboardInterrupt

    folder.scripted()
    world.ensemble("e", step("scripted", {"x": "x"}, {"y": "y"}))
    repository = world.load()
    script.run = interrupt
    with pytest.raises(KeyboardInterrupt):
        call(repository, 1)
    assert repository.get("e").drain(0)
    assert repository.get("e").statistics().fail.count == 1


def test_many_requests_end_once_each_in_their_own_result(world: World) -> None:
    world.model("add", "i[0] + 1 if i[0][0, 0] % 7 != 3 else [][1]", more="dynamic_batching {}")
    world.model("join", "i[0] + 100 * i[1]", inputs=2, more="dynamic_batching {}")
    world.ensemble(
        "e",
        step("add", {"i0": "x"}, {"o": "p"}),
        step("add", {"i0": "x"}, {"o": "q"}),
        step("join", {"i0": "p", "i1": "q"}, {"o": "y"}),
    )
    repository = world.load()
    ended: list[int] = []
    futures = {}
    lock = threading.Lock()

    def client(first: int) -> None:
        for number in range(first, first + 40):
            future = call(repository, number, inline=bool(number % 3))
            future.add_done_callback(lambda _: ended.append(1))
            with lock:
                futures[number] = future

    threads = [threading.Thread(target=client, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    wait(futures.values(), 60)
    for number, future in futures.items():
        if number % 7 == 3:
            assert type(future.exception()) is ModelFailed
        else:
            assert values(future) == [(number + 1) * 101]
    assert len(ended) == 160
    row = repository.get("e").statistics()
    assert row.success.count + row.fail.count == 160
    assert repository.get("e").drain(0)


def test_arrays_are_freed_when_the_request_is_over(world: World, until: Any) -> None:
    world.model("add", "i[0] + 1")
    world.chain("e", "add", "add")
    repository = world.load()
    gc.disable()
    try:
        for inline in (True, False):
            given = x(1)
            freed = weakref.ref(given)
            future = repository.submit(InferRequest("e", {"x": given}), inline=inline)
            future.result(10)
            assert repository.get("e").drain(10)
            assert repository.get("add").drain(10)
            del given, future
            until(lambda freed=freed: freed() is None)  # the worker's frame lets go after the future has ended
    finally:
        gc.enable()
