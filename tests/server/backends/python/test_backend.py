from __future__ import annotations

import asyncio
import json
import re
import sys
import textwrap
import threading
from concurrent.futures import wait
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.client.grpc import GrpcTransport
from sonic.client.http import HttpTransport
from sonic.errors import Cancelled, ConfigError, InvalidRequest, ModelFailed, Unavailable, Unsupported
from sonic.protocol.messages import InferRequest
from sonic.protocol.modelconfig import parse
from sonic.protocol.status import grpc_code
from sonic.server.models.model import ServedModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CONFIG = """backend: "python" max_batch_size: 8 {more}
input {{ name: "x" data_type: TYPE_FP32 dims: [ 2 ] }}
output {{ name: "y" data_type: TYPE_FP32 dims: [ 2 ] }}"""
DOUBLE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse([
            pb_utils.Tensor("y", 2 * pb_utils.get_input_tensor_by_name(request, "x").as_numpy())
        ]) for request in requests]
"""
FAILED = r"^Failed to process the request\(s\) for model instance 'm_0', message: "
TOGETHER = "dynamic_batching { max_queue_delay_microseconds: 60000000 }"
"""A batch that is executed when it is full."""


def model_py(body: str) -> str:
    """A model.py with the given method bodies."""
    head = "import numpy as np\nimport triton_python_backend_utils as pb_utils\nclass TritonPythonModel:\n"
    return head + textwrap.indent(textwrap.dedent(body), "    ")


@pytest.fixture
def make(folder: Any) -> Iterator[Callable[..., ServedModel]]:
    """Load a model.py."""
    made: list[ServedModel] = []

    def load(
        text: str = DOUBLE, more: str = "", config: str | None = None, name: str = "m", **files: str
    ) -> ServedModel:
        path: Path = folder.add(name)
        (path / "model.py").write_text(text)
        for file, content in files.items():
            (path / f"{file}.py").write_text(content)
        config = CONFIG.format(more=more) if config is None else config
        made.append(ServedModel(name, "1", path, parse(config), cores=4, default_max_batch=16))
        return made[-1]

    yield load
    for model in made:
        model.close()


def call(model: ServedModel, *values: float, inline: bool = True, **more: Any) -> Any:
    x = np.array([[value, 0] for value in values], np.float32)
    return model.submit(InferRequest(model.spec.name, {"x": x}, **more), inline=inline)


def values(future: Any) -> list[float]:
    return future.result(10).outputs["y"][:, 0].tolist()


def test_it_answers(make: Any) -> None:
    model = make()
    assert (model.config.backend, model.instances, model.spec.platform) == ("python", 1, "python")
    assert values(call(model, 1, 2)) == [2, 4]


def test_it_is_told_what_it_is(make: Any, folder: Any) -> None:
    model = make(
        model_py("""
        def initialize(self, args):
            import json
            config = json.loads(args["model_config"])
            output = pb_utils.get_output_config_by_name(config, "y")
            assert pb_utils.triton_string_to_numpy(output["data_type"]) is np.object_
            assert output["dims"] == [1]
            self.text = json.dumps({**args, "model_config": config["name"], "folder": pb_utils.get_model_dir()})
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", np.array([self.text]))]) for _ in requests]
        """),
        config="""backend: "python" instance_group { count: 2 }
        input { name: "x" data_type: TYPE_FP32 dims: 1 } output { name: "y" data_type: TYPE_STRING dims: 1 }""",
    )
    (text,) = model.submit(InferRequest("m", {"x": np.ones(1, np.float32)})).result(10).outputs["y"]
    arguments = json.loads(text)
    assert arguments.pop("model_instance_name") in ("m_0_0", "m_0_1")
    assert arguments == {
        "model_config": "m",
        "model_instance_kind": "CPU",
        "model_instance_device_id": "0",
        "model_repository": str(folder.path / "m"),
        "model_version": "1",
        "model_name": "m",
        "folder": str(folder.path / "m" / "1"),
    }


@pytest.mark.parametrize(
    ("group", "name"), [("", "m_0"), ("instance_group { count: 1 }", "m_0_0"), ('instance_group { name: "g" }', "g_0")]
)
def test_its_instance_has_the_name_of_its_group(group: str, name: str, make: Any) -> None:
    model = make(
        model_py("""
        def initialize(self, args):
            self.name = args["model_instance_name"]
        def execute(self, requests):
            return [pb_utils.InferenceResponse(error=self.name) for _ in requests]
        """),
        group,
    )
    assert str(call(model, 1).exception(10)) == name


SENDING = """
import threading
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL

class TritonPythonModel:
    def execute(self, requests):
        HOW

def answer(request, value):
    return pb_utils.InferenceResponse([pb_utils.Tensor("y", 0 * request.inputs()[0].as_numpy() + value)])
"""


@pytest.mark.parametrize(
    "how",
    [
        """[r.get_response_sender().send(answer(r, 7), flags=FINAL) for r in requests]""",
        """return [r.get_response_sender().send(answer(r, 7)) for r in requests]""",
        """[s.send(answer(r, 7)) or s.send(flags=FINAL) for r in requests for s in [r.get_response_sender()]]""",
        """return [r.get_response_sender() and answer(r, 7) for r in requests]""",
        """return [r.get_response_sender().send(answer(r, 7)) or answer(r, 8) for r in requests]""",
        """[threading.Thread(target=r.get_response_sender().send, args=(answer(r, 7),)).start() for r in requests]""",
    ],
)
def test_responses_that_are_sent(how: str, make: Any) -> None:
    model = make(SENDING.replace("HOW", how), TOGETHER)
    futures = [call(model, *range(n), inline=False) for n in (3, 5)]
    assert [values(future) for future in futures] == [[7] * 3, [7] * 5]


def test_an_error_that_is_sent(make: Any) -> None:
    error = 'pb_utils.InferenceResponse(error=pb_utils.TritonError("no", pb_utils.TritonError.INVALID_ARG))'
    model = make(SENDING.replace("HOW", f"requests[0].get_response_sender().send({error}, FINAL)"))
    assert isinstance(call(model, 1).exception(10), InvalidRequest)


def test_what_a_request_says(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            request, = requests
            assert request.request_id() == "7" and request.requested_output_names() == ["y"]
            assert request.parameters() == '{"k": 3}' and request.timeout() == 9000000
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", request.inputs()[0].as_numpy())])]
        """)
    )
    assert values(call(model, 5, id="7", parameters={"k": 3}, timeout_s=9.0)) == [5]


def test_requests_that_wait_are_given_together(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            sizes = [len(request.inputs()[0].as_numpy()) for request in requests]
            assert sizes == [1, 3, 4]
            return [pb_utils.InferenceResponse([
                pb_utils.Tensor("y", request.inputs()[0].as_numpy() + len(requests))]) for request in requests]
        """),
        TOGETHER,
    )
    futures = [call(model, *range(n), inline=False) for n in (1, 3, 4)]
    assert [values(future) for future in futures] == [[3], [3, 4, 5], [3, 4, 5, 6]]
    assert (model.statistics().inference_count, model.statistics().execution_count) == (8, 1)


def test_without_dynamic_batching_they_come_one_by_one(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            assert len(requests) == 1
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", requests[0].inputs()[0].as_numpy())])]
        """)
    )
    futures = [call(model, n, inline=False) for n in range(5)]
    assert [values(future) for future in futures] == [[n] for n in range(5)]


def test_files_beside_it_and_models_of_the_same_names(make: Any) -> None:
    text = DOUBLE.replace("2 *", "helper.factor *").replace("import triton", "import helper\nimport triton")
    three, five = make(text, name="a", helper="factor = 3"), make(text, name="b", helper="factor = 5")
    assert (values(call(three, 1)), values(call(five, 1))) == ([3], [5])


def test_files_for_all_versions_of_it(make: Any, folder: Any) -> None:
    (folder.add("m").parent / "common.py").write_text("import helper\nfactor = 7 * helper.factor")
    text = DOUBLE.replace("2 *", "common.factor *").replace("import triton", "import common\nimport triton")
    assert values(call(make(text, helper="factor = 2"), 1)) == [14]


def test_a_file_in_a_folder_of_its_own(make: Any, folder: Any) -> None:
    inner = folder.add("m") / "code"
    inner.mkdir()
    (inner / "model.py").write_text(DOUBLE.replace("2 *", "helper.factor *").replace("import t", "import helper, t"))
    model = make(DOUBLE, more='default_model_filename: "code/model.py"', helper="factor = 3")
    assert values(call(model, 1)) == [3]


def test_a_pickle_of_what_is_beside_it(make: Any) -> None:
    text = """
import importlib
import pickle
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.factor = pickle.loads(b"cnetwork\\nfactor\\n.") + importlib.import_module("network").factor

    def execute(self, requests):
        (request,) = requests
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", self.factor * request.inputs()[0].as_numpy())])]
"""
    three, five = make(text, name="a", network="factor = 3"), make(text, name="b", network="factor = 5")
    assert (values(call(three, 1)), values(call(five, 1))) == ([6], [10])


def test_texts(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            x = requests[0].inputs()[0].as_numpy()
            kinds = [np.array([e.decode() + "!" for e in x]), np.array([e + b"?" for e in x]),
                     np.array([e.decode() for e in x], object)]
            return [pb_utils.InferenceResponse([pb_utils.Tensor(f"y{i}", y) for i, y in enumerate(kinds)])]
        """),
        config="""backend: "python" input { name: "x" data_type: TYPE_STRING dims: -1 }
        output { name: "y0" data_type: TYPE_STRING dims: -1 } output { name: "y1" data_type: TYPE_STRING dims: -1 }
        output { name: "y2" data_type: TYPE_STRING dims: -1 }""",
    )
    outputs = model.submit(InferRequest("m", {"x": np.array([b"a", "ä".encode()], object)})).result(10).outputs
    assert [outputs[f"y{i}"].tolist() for i in range(3)] == [
        [b"a!", "ä!".encode()],
        [b"a?", "ä?".encode()],
        [b"a", "ä".encode()],
    ]


def test_arrays_of_other_classes(make: Any) -> None:
    model = make(
        model_py("""
        class Array(np.ndarray): ...
        def execute(self, requests):
            x = requests[0].inputs()[0].as_numpy()
            y = x.view(self.Array) if x[0, 0] else np.ma.masked_less(x, 1)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", y)])]
        """)
    )
    assert type(call(model, 3).result(10).outputs["y"]) is np.ndarray
    with pytest.raises(ModelFailed, match="model 'm', output 'y': it has masked values: fill them first"):
        call(model, 0).result(10)


def test_its_memory_is_its_own(make: Any) -> None:
    model = make(
        model_py("""
        buffer = np.zeros((1, 2), np.float32)
        def execute(self, requests):
            x = requests[0].inputs()[0].as_numpy()
            x += 1
            self.buffer[:] = x
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", self.buffer)])]
        """)
    )
    mine = np.zeros((1, 2), np.float32)
    first = model.submit(InferRequest("m", {"x": mine})).result(10).outputs["y"]
    call(model, 8).result(10)
    assert (mine[0, 0], first[0, 0]) == (0, 1)


@pytest.mark.parametrize("given", ["auto_complete_model_config", "copy.deepcopy(auto_complete_model_config)"])
def test_it_completes_its_configuration(given: str, make: Any) -> None:
    model = make(
        model_py(f"""
        @staticmethod
        def auto_complete_config(auto_complete_model_config):
            import copy
            auto_complete_model_config = {given}
            auto_complete_model_config.add_input(dict(name="x", data_type="TYPE_FP32", dims=[2]))
            auto_complete_model_config.add_output(dict(name="y", data_type="TYPE_FP32", dims=[2]))
            auto_complete_model_config.set_max_batch_size(4)
            auto_complete_model_config.set_dynamic_batching()
            return auto_complete_model_config
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", r.inputs()[0].as_numpy())]) for r in requests]
        """),
        config="",
    )
    assert (model.spec.max_batch_size, model.merges) == (4, True)
    assert list(model.config.dynamic_batching.preferred_batch_size) == [4]
    assert values(call(model, 3)) == [3]


def test_samples_are_executed_on_every_instance(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    make(
        model_py("""
        def initialize(self, args):
            self.name = args["model_instance_name"]
        def execute(self, requests):
            pb_utils.Logger.log_warn(self.name)
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", r.inputs()[0].as_numpy())]) for r in requests]
        """),
        more="""instance_group { count: 3 kind: KIND_CPU } model_warmup { name: "w" batch_size: 1 count: 2
        inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 2 ] zero_data: true } } }""",
    )
    assert caplog.messages == ["m_0_0", "m_0_0", "m_0_1", "m_0_1", "m_0_2", "m_0_2"]


HALVES = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        if requests[0].request_id():
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError("no \\udcff"))]
        raise OSError("no \\udcff")
"""


@pytest.mark.parametrize("kind", [GrpcTransport, HttpTransport])
def test_what_no_message_can_hold_is_told_all_the_same(kind: Any, folder: Any, serve: Any) -> None:
    (folder.add("m", CONFIG.format(more="")) / "model.py").write_text(HALVES)
    unready = model_py("def execute(self, r): ...\ndef initialize(self, a): raise OSError('no \\udcff')")
    (folder.add("unready", CONFIG.format(more="")) / "model.py").write_text(unready)
    server = serve(folder, strict=False)
    transport = kind(f"127.0.0.1:{server.grpc_port if kind is GrpcTransport else server.http_port}")
    for name in ("", "7"):
        request = InferRequest("m", {"x": np.zeros((1, 2), np.float32)}, id=name)
        with pytest.raises(ModelFailed, match=r"no \\udcff$"):
            transport.submit(request).result(10)
    reasons = {row.name: row.reason for row in transport.models(10)}
    assert reasons["m"] == ""
    assert reasons["unready"].endswith(r"initialize failed: OSError: no \udcff")
    transport.close()


def test_one_that_was_not_initialised_is_not_finalised(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigError, match="initialize failed: ValueError: the second"):
        make(
            model_py("""
            made = []
            def execute(self, requests): ...
            def initialize(self, args):
                self.name = args["model_instance_name"]
                if self.made:
                    raise ValueError("the second")
                self.made.append(self)
            def finalize(self):
                pb_utils.Logger.log_warn(f"{self.name} ends")
            """),
            more="instance_group { count: 2 kind: KIND_CPU }",
        )
    assert [line for line in caplog.messages if line.endswith("ends")] == ["m_0_0 ends"]


def test_it_is_finalised_and_what_that_raises_is_logged(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = make(
        model_py("""
        def execute(self, requests): ...
        def finalize(self):
            pb_utils.Logger.log_warn("the end")
            raise ValueError("too late")
        """)
    )
    model.close()
    assert "the end" in caplog.text
    assert "model 'm': finalize failed: ValueError: too late" in caplog.text


# ---- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def broken(:", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "defines no class TritonPythonModel"),
        ("TritonPythonModel = 3", "defines no class TritonPythonModel"),
        ("class TritonPythonModel: ...", "has no method execute"),
        (model_py("def execute(self, r): ...\ndef __init__(self): 1 / 0"), "__init__ failed: ZeroDivisionError"),
        (
            model_py("def execute(self, r): ...\ndef initialize(self, args): 1 / 0"),
            "initialize failed: ZeroDivisionError",
        ),
        (
            model_py("def execute(self, r): ...\n@staticmethod\ndef auto_complete_config(c): c.add_input({})"),
            "auto_complete_config failed: ValueError: an input has no name",
        ),
        (
            model_py(
                "def execute(self, r): ...\n@staticmethod\ndef auto_complete_config(c):\n"
                "    c.set_model_transaction_policy({'decoupled': True})"
            ),
            "decoupled model_transaction_policy is not offered",
        ),
        (model_py("def execute(self, r): ...\ndef initialize(self, a): pb_utils.MetricFamily()"), "metrics of its own"),
        (
            model_py("def execute(self, r): ...\ndef initialize(self, a): raise GeneratorExit('no')"),
            "initialize failed: GeneratorExit: no",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded(text: str, complaint: str, make: Any) -> None:
    with pytest.raises(ConfigError, match=f"model 'm' version 1 cannot be loaded: .*{complaint}"):
        make(text)


def test_a_configuration_that_is_missing_or_asks_too_much(make: Any, folder: Any) -> None:
    with pytest.raises(ConfigError, match=r"needs a config\.pbtxt with input and output, or an auto_complete_config"):
        make(config="")
    with pytest.raises(ConfigError, match="EXECUTION_ENV_PATH is not offered"):
        make(more='parameters { key: "EXECUTION_ENV_PATH" value { string_value: "x" } }')
    with pytest.raises(ConfigError, match=r"there is no file .*other\.py"):
        make(more='default_model_filename: "other.py"')


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ("raise ValueError('bad luck')", f"{FAILED}ValueError: bad luck"),
        ("raise pb_utils.TritonModelException('no')", f"{FAILED}TritonModelException: no"),
        ("raise SystemExit(1)", f"{FAILED}SystemExit: 1"),
        ("return None", f"{FAILED}Expected a list in the execute return, given NoneType"),
        ("return []", "gave 0 responses to 1 requests"),
        (
            "return [1]",
            f"{FAILED}Expected an 'InferenceResponse' object in the .* return list, given int",
        ),
        ("return [pb_utils.InferenceResponse([])]", "did not return output 'y'"),
        (
            "return [pb_utils.InferenceResponse([pb_utils.Tensor('y', np.ones((1, 3), np.float32))])]",
            r"output 'y': expected shape \[1, 2\], the model gave shape \[1, 3\]",
        ),
        (
            "return [pb_utils.InferenceResponse([pb_utils.Tensor('y', np.ones((1, 2)))])]",
            "output 'y': expected FP32, the model gave numpy dtype float64",
        ),
        ("return [pb_utils.InferenceResponse(error=pb_utils.TritonError('said so'))]", "^said so$"),
    ],
)
def test_a_model_that_fails(answer: str, complaint: str, make: Any) -> None:
    model = make(model_py(f"def execute(self, requests):\n    {answer}"))
    with pytest.raises(ModelFailed, match=complaint):
        call(model, 1).result(10)
    assert model.statistics().fail.count == 1


def test_an_execute_that_is_async(make: Any) -> None:
    text = f"import asyncio\n{DOUBLE}".replace("def execute", "async def execute")
    model = make(text.replace("return [", "await asyncio.sleep(0)\n        return ["))
    assert values(call(model, 1)) == [2]

    async def within() -> list[float]:
        return values(call(model, 3))

    assert asyncio.run(within()) == [6]
    failing = make(
        text.replace("return [", "await asyncio.sleep(0)\n        raise ValueError('bad luck')\n        ["), name="n"
    )
    assert isinstance(call(failing, 1).exception(10), ModelFailed)


@pytest.mark.parametrize("raised", ["asyncio.CancelledError", "KeyboardInterrupt", "GeneratorExit"])
def test_what_is_no_exception_ends_its_request_alone(raised: str, make: Any, caplog: pytest.LogCaptureFixture) -> None:
    fails = f"if requests[0].inputs()[0].as_numpy()[0, 0] < 0: raise {raised}('no')\n        "
    text = DOUBLE.replace("return [", f"{fails}return [")
    model = make(f"import asyncio\n{text}\n    def finalize(self): raise {raised}('late')")
    for _ in range(5):
        failure = call(model, -1, inline=False).exception(10)
        assert isinstance(failure, ModelFailed)
        assert re.search(f"{FAILED}{raised.rpartition('.')[2]}: no", str(failure))
        assert values(call(model, 1, inline=False)) == [2]
    thread = threading.Thread(target=model.close)
    thread.start()
    thread.join(10)
    assert f"finalize failed: {raised.rpartition('.')[2]}: late" in caplog.text


def test_errors_keep_their_kind(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            code = int(requests[0].inputs()[0].as_numpy()[0, 0])
            if code < 0:
                requests[0].exec()
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError("no", code))]
        """)
    )
    kinds = {
        0: ModelFailed,
        2: ModelFailed,
        3: InvalidRequest,
        4: Unavailable,
        5: Unsupported,
        7: Cancelled,
        -1: Unsupported,
    }
    for code, kind in kinds.items():
        assert type(call(model, code).exception(10)) is kind
    codes = {code: grpc_code(call(model, code).exception(10)) for code in range(8)}
    assert codes == {0: 2, 1: 13, 2: 5, 3: 3, 4: 14, 5: 12, 6: 6, 7: 1}


def test_it_is_told_that_a_client_has_gone(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            import sys
            sys.modules["test_gone"].started.set()
            assert sys.modules["test_gone"].left.wait(10)
            assert requests[0].is_cancelled()
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError("given up", pb_utils.TritonError.CANCELLED))]
        """)
    )
    gone: Any = ModuleType("test_gone")
    gone.started, gone.left = threading.Event(), threading.Event()
    sys.modules["test_gone"] = gone
    try:
        future = call(model, 1, inline=False)
        assert gone.started.wait(10)
        assert not future.cancel(), "it runs"
        gone.left.set()
        with pytest.raises(Cancelled, match="given up"):
            future.result(10)
    finally:
        del sys.modules["test_gone"]


def test_a_model_without_inputs(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", np.arange(3.0))]) for _ in requests]
        """),
        config='backend: "python" output { name: "y" data_type: TYPE_FP64 dims: 3 }',
    )
    assert model.submit(InferRequest("m", {})).result(10).outputs["y"].tolist() == [0, 1, 2]


def test_one_bad_request_hurts_no_other(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            answers = []
            for request in requests:
                x = request.inputs()[0].as_numpy()
                if x[0, 0] == 13:
                    raise ValueError("unlucky")
                y = x[:, :1] if x[0, 0] < 0 else 2 * x
                answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", y)]))
            return answers
        """),
        TOGETHER,
    )
    futures = [call(model, *each, inline=False) for each in ((1, 2), (13, 13), (-1, 3), (4, 5))]
    wait(futures, 10)
    assert (values(futures[0]), values(futures[3])) == ([2, 4], [8, 10])
    assert [type(future.exception()) for future in futures[1:3]] == [ModelFailed, ModelFailed]
    row = model.statistics()
    assert (row.success.count, row.fail.count) == (2, 2)


def test_over_the_wire(folder: Any, serve: Any, make: Any) -> None:
    triton = pytest.importorskip("tritonclient.grpc")
    (folder.add("m", CONFIG.format(more="")) / "model.py").write_text(DOUBLE)
    x = np.array([[1, 2], [3, 4]], np.float32)
    with serve(folder) as server, sonic.Client([server.grpc_url]) as client:
        assert client.model("m")(x=x)["y"].tolist() == [[2, 4], [6, 8]]
        other = triton.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))
        given = triton.InferInput("x", [2, 2], "FP32")
        given.set_data_from_numpy(x)
        assert other.infer("m", [given]).as_numpy("y").tolist() == [[2, 4], [6, 8]]
        other.close()


def test_parameters_reach_the_client(folder: Any, serve: Any) -> None:
    (folder.add("m", CONFIG.format(more="dynamic_batching {}")) / "model.py").write_text(
        model_py("""
        def execute(self, requests):
            return [pb_utils.InferenceResponse([pb_utils.Tensor("y", request.inputs()[0].as_numpy())], parameters={
                "id": request.request_id(), "calls": len(requests), "part": 0.5, "last": True}) for request in requests]
        """)
    )
    server = serve(folder)
    x = np.ones((1, 2), np.float32)
    for transport in (GrpcTransport(f"127.0.0.1:{server.grpc_port}"), HttpTransport(f"127.0.0.1:{server.http_port}")):
        try:
            response = transport.submit(InferRequest("m", {"x": x}, id="seven")).result(20)
        finally:
            transport.close()
        assert response.parameters == {"id": "seven", "calls": 1, "part": 0.5, "last": True}


def test_inputs_that_the_server_makes(make: Any) -> None:
    model = make(
        model_py("""
        def execute(self, requests):
            answers = []
            for request in requests:
                x, ends = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("x", "ends"))
                answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", x.sum() + ends[np.newaxis])]))
            return answers
        """),
        config="""backend: "python" max_batch_size: 8 dynamic_batching { max_queue_delay_microseconds: 1000 }
        input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
        output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }
        batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: "ends" data_type: TYPE_FP32 source_input: "x" }
        model_warmup { name: "w" batch_size: 2
          inputs { key: "x" value { data_type: TYPE_FP32 dims: [ 3 ] zero_data: true } } }""",
    )
    futures = [
        model.submit(InferRequest("m", {"x": np.full((1, size), 10, np.float32)}), inline=False) for size in (2, 5, 1)
    ]
    assert [values(future) for future in futures] == [[22], [55], [11]]
