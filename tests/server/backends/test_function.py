from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic
from sonic.errors import ConfigError, InvalidRequest, ModelFailed
from sonic.protocol.tensors import same_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

F32 = np.float32
WAIT_S = 20


class Gate:
    """Lets calls wait, and says of how many rows they were."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.open.set()

    def pass_through(self, rows: int) -> None:
        self.sizes.append(rows)
        self.entered.release()
        assert self.open.wait(WAIT_S)


GATE = Gate()


@sonic.service(inputs={"x": "FP32[-1,3]"}, outputs={"norm": "FP32[-1]", "unit": "FP32[-1,3]"}, max_batch=64)
def normed(x):
    """Give length and direction of each row; a negative first number is refused, a large one is not a number."""
    GATE.pass_through(len(x))
    if (x[:, 0] < 0).any():
        raise ValueError("a negative number")
    norm = np.sqrt(x[:, 0] ** 2 + x[:, 1] ** 2 + x[:, 2] ** 2)
    return {"norm": norm, "unit": x / norm[:, None]}


@sonic.service(
    inputs={"hits": "FP32[-1,-1,2]", "least": "FP32[-1]"},
    outputs={"kept": "FP32[-1,-1,2]", "number": "INT64[-1]"},
    max_batch=16,
    ragged=True,
)
def above(hits, least):
    GATE.pass_through(len(hits))
    kept = [event[event[:, 0] > cut] for event, cut in zip(hits, least, strict=True)]
    return kept, [len(event) for event in kept]


@sonic.service(inputs={"x": "FP64[-1]", "power": "INT32[]"}, outputs={"sums": "FP64[-1]"}, version=3)
def moments(x, power=None):
    """Any number in, another number out: every request is a call of its own."""
    return np.array([(x**n).sum() for n in range(1 if power is None else int(power))])


@sonic.service(inputs={"text": "BYTES[-1]"}, outputs={"text": "BYTES[-1]", "size": "INT64[-1]"})
def shout(text):
    return np.array([each.decode().upper() for each in text]), np.array([len(each) for each in text])


@sonic.service(inputs={"how": "BYTES[]"}, outputs={"y": "FP32[2]"}, instances=2)
class Faulty:
    """Does what it is told."""

    def __init__(self) -> None:
        self.buffer = np.zeros(2, F32)

    def __call__(self, how):
        self.buffer += 1
        results: dict[bytes, Any] = {
            b"good": self.buffer,
            b"dtype": np.zeros(2),
            b"shape": np.zeros(3, F32),
            b"nothing": None,
            b"masked": np.ma.masked_array([1, 2], mask=[0, 1], dtype=F32),
            b"unmasked": np.ma.masked_array([1, 2], dtype=F32),
            b"other": {"z": np.zeros(2, F32)},
            b"ragged": [[1.0], [2.0, 3.0]],
        }
        if how.item() == b"refuse":
            raise InvalidRequest("not like this")
        if how.item() == b"exit":
            raise SystemExit(3)
        if how.item() == b"write":
            how[...] = b"written"
        return results[how.item()]


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with sonic.serve(normed, above, moments, shout, Faulty, cores=2) as made:
        yield made


@pytest.fixture(params=["grpc", "http"])
def model(request: pytest.FixtureRequest, server: Any) -> Iterator[Callable[[str], sonic.Model]]:
    made: list[sonic.Model] = []

    def make(name: str) -> sonic.Model:
        made.append(sonic.Model(f"{getattr(server, request.param + '_url')}/{name}"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_function_is_a_model_like_any_other(server: Any, model: Any) -> None:
    x = np.random.default_rng(1).normal(size=(150, 3)).astype(F32) ** 2
    before = server.dataplane.statistics("normed")[0]
    outputs = model("normed")(x=x)  # three requests: it takes 64 rows
    for name, direct in normed(x).items():
        assert same_bits(outputs[name], direct)
    spec = model("normed").spec
    assert (spec.name, spec.version, spec.max_batch_size, spec.platform) == ("normed", "1", 64, "function")
    assert [(tensor.name, tensor.shape) for tensor in spec.outputs] == [("norm", (-1,)), ("unit", (-1, 3))]
    assert server.dataplane.statistics("normed")[0].inference_count - before.inference_count == 150
    assert server.dataplane.model_config("normed").backend == "function"
    assert next((row.name, row.state) for row in server.dataplane.index()) == ("Faulty", "READY")


def test_numbers_of_rows_may_differ_and_inputs_may_be_left_out(model: Any) -> None:
    served = model("moments")
    assert served.spec.version == "3"
    assert served(x=[1.0, 2.0], power=np.int32(3))["sums"].tolist() == [2, 3, 5]
    assert served(x=[1.0, 2.0])["sums"].tolist() == [2]


def test_texts(model: Any) -> None:
    outputs = model("shout")(text=np.array([b"top", b"w"], object))
    assert outputs["text"].tolist() == [b"TOP", b"W"]
    assert outputs["size"].tolist() == [3, 1]


def _wait_queued(server: Any, name: str, number: int) -> None:
    tick = threading.Event()
    for _ in range(10_000):
        if server.repository.get(name).pending >= number:
            return
        tick.wait(0.001)
    raise AssertionError("they never queued")


def _gather(server: Any, name: str, submit: Callable[[int], Any], requests: int) -> list[Any]:
    while GATE.entered.acquire(blocking=False):
        pass
    GATE.sizes.clear()
    GATE.open.clear()
    try:
        futures = [submit(0)]
        assert GATE.entered.acquire(timeout=WAIT_S)
        futures += [submit(n) for n in range(1, requests)]
        _wait_queued(server, name, requests - 1)
    finally:
        GATE.open.set()
    return futures


def test_requests_share_a_call(server: Any) -> None:
    x = np.random.default_rng(2).normal(size=(12, 3)).astype(F32) ** 2
    with sonic.Model(f"{server.grpc_url}/normed") as served:
        futures = _gather(server, "normed", lambda n: served.submit(x=x[2 * n : 2 * n + 2]), 6)
        results = [future.result(WAIT_S) for future in futures]
    assert GATE.sizes[0] == 2
    assert sum(GATE.sizes) == 12
    assert len(GATE.sizes) < 6
    assert same_bits(np.concatenate([result["unit"] for result in results]), normed(x)["unit"])


def test_only_the_request_that_is_refused_fails(server: Any) -> None:
    x = np.ones((4, 1, 3), F32)
    x[2] = -1
    with sonic.Model(f"{server.grpc_url}/normed") as served:
        futures = _gather(server, "normed", lambda n: served.submit(x=x[n]), 4)
        with pytest.raises(ModelFailed, match="model 'normed' failed: ValueError: a negative number"):
            futures.pop(2).result(WAIT_S)
        assert all(np.allclose(future.result(WAIT_S)["norm"], 3**0.5) for future in futures)


def test_events_of_different_lengths_share_a_call(server: Any, model: Any) -> None:
    random = np.random.default_rng(3)
    events = [random.uniform(size=(size, 2)).astype(F32) for size in (5, 1, 9, 3)]
    least = np.array([0.5, 2.0, 0.1, 0.0], F32)
    served = model("above")
    assert served.spec.max_batch_size == 16
    futures = _gather(
        server, "above", lambda n: served.submit(hits=events[n][None], least=least[n : n + 1]), len(events)
    )
    results = [future.result(WAIT_S) for future in futures]
    assert len(GATE.sizes) < len(events)
    assert sum(GATE.sizes) == len(events)
    kept, number = above(events, least)
    for result, one, size in zip(results, kept, number, strict=True):
        assert same_bits(result["kept"], one[None])
        assert result["number"].tolist() == [size]


def test_requests_of_several_events_share_a_call(server: Any, model: Any) -> None:
    lengths = [4, 2, 5, 3]  # of the events of a request, of which there are one more in each
    asked = [np.full((n + 1, size, 2), n + 1, F32) for n, size in enumerate(lengths)]
    served = model("above")
    submit = lambda n: served.submit(hits=asked[n], least=np.zeros(n + 1, F32))  # noqa: E731
    results = [future.result(WAIT_S) for future in _gather(server, "above", submit, len(asked))]
    assert sum(GATE.sizes) == 10
    assert len(GATE.sizes) < 4
    for hits, result in zip(asked, results, strict=True):
        assert same_bits(result["kept"], hits)
        assert result["number"].tolist() == [hits.shape[1]] * len(hits)


def test_rows_of_one_ragged_request(model: Any) -> None:
    hits = np.array([[[1, 0], [2, 0]], [[3, 0], [0, 0]]], F32)
    same = model("above")(hits=np.abs(hits) + 1, least=np.zeros(2, F32))
    assert same["kept"].shape == (2, 2, 2)
    with pytest.raises(InvalidRequest, match="output 'kept': the rows of this request give different shapes"):
        model("above")(hits=hits, least=np.zeros(2, F32))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("dtype", "output 'y': expected FP32, the model gave numpy dtype float64"),
        ("shape", r"output 'y': expected shape \[2\], the model gave shape \[3\]"),
        ("nothing", "output 'y': expected BYTES|output 'y': expected FP32, the model gave numpy dtype object"),
        ("other", "did not return output 'y'"),
        ("masked", "model 'Faulty', output 'y': it has masked values: fill them first"),
        ("ragged", "output 'y': expected an array, ValueError"),
        ("unknown", "KeyError"),
        ("exit", "SystemExit: 3"),
        ("write", "model 'Faulty' failed: ValueError: .*read-only"),
    ],
)
def test_a_function_that_fails(model: Any, how: str, said: str) -> None:
    with pytest.raises(ModelFailed, match=said):
        model("Faulty")(how=np.array(how.encode(), object))


def test_a_mask_that_hides_nothing_is_none(model: Any) -> None:
    y = model("Faulty")(how=np.array(b"unmasked", object))["y"]
    assert type(y) is np.ndarray
    assert y.tolist() == [1, 2]


def test_a_function_says_that_a_request_is_wrong(model: Any) -> None:
    with pytest.raises(InvalidRequest, match="not like this"):
        model("Faulty")(how=np.array(b"refuse", object))


def test_buffers_are_its_own(model: Any) -> None:
    served = model("Faulty")
    how = np.array(b"good", object)
    results = [served(how=how)["y"] for _ in range(6)]
    kept = [result.copy() for result in results]
    served(how=how)
    assert all(same_bits(a, b) for a, b in zip(results, kept, strict=True))
    assert served.spec.outputs[0].shape == (2,)


def test_wrong_requests_never_reach_it(model: Any) -> None:
    before = len(GATE.sizes)
    with pytest.raises(InvalidRequest, match="'x'"):
        model("normed")(x=np.zeros((2, 4), F32))
    with pytest.raises(InvalidRequest, match="unexpected inference input 'z'"):
        model("normed")(z=np.zeros((2, 3), F32))
    assert len(GATE.sizes) == before


def test_there_is_an_object_for_each_instance(server: Any) -> None:
    assert server.repository.get("Faulty").instances == 2
    assert server.repository.get("normed").instances == 1


def _refused(**options: Any) -> Any:
    @sonic.service(**{"inputs": {"x": "FP32[-1]"}, "outputs": {"y": "FP32[-1]"}, "name": "bad", **options})
    class Bad:
        def __init__(self) -> None:
            raise OSError("no calibration")

        def __call__(self, x): ...

    return Bad


def test_a_class_that_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match=r"'bad' version 1 cannot be loaded: Bad\(\) failed: OSError: no calibration"):
        sonic.serve(_refused(), grpc_port=None, http_port=None, metrics_port=None)


def test_a_name_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "normed" / "1").mkdir(parents=True)
    with pytest.raises(ConfigError, match="model 'normed' is a function and in a repository"):
        sonic.serve(normed, tmp_path, grpc_port=None, http_port=None, metrics_port=None)


SERVICE = """
import sonic

@sonic.service(inputs={"x": "FP32[-1]"}, outputs={"y": "FP32[-1]"}, max_batch=8)
def doubled(x):
    return 2 * x
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "twice" / "1"
    folder.mkdir(parents=True)
    (folder / "service.py").write_text(SERVICE)
    return tmp_path / "models"


def test_a_folder_holds_a_service(repository: Path) -> None:
    with sonic.Model(f"local:{repository}/twice") as twice:
        assert twice(x=[1.0])["y"].tolist() == [2]
        assert (twice.spec.name, twice.spec.max_batch_size) == ("twice", 8)
    (repository / "twice" / "config.pbtxt").write_text("max_batch_size: 3 dynamic_batching { }")
    with sonic.Model(f"local:{repository}/twice") as twice:
        assert twice.spec.max_batch_size == 3


@pytest.mark.parametrize(
    ("config", "text", "said"),
    [
        ('input { name: "x" data_type: TYPE_FP32 dims: 1 }', SERVICE, "config.pbtxt beside it names none"),
        ("max_batch_size: 2", SERVICE.replace(", max_batch=8", ""), "takes no batches"),
        ("", "x = 1", r"named 'twice': it has none"),
        ("", SERVICE + SERVICE.replace("doubled", "again"), r"named 'twice': it has doubled, again"),
        ("", "import nothing_of_the_kind", "cannot import .*ModuleNotFoundError"),
        ('backend: "function" default_model_filename: "other.py"', SERVICE, "there is no file"),
    ],
)
def test_a_folder_that_cannot_be_loaded(repository: Path, config: str, text: str, said: str) -> None:
    (repository / "twice" / "config.pbtxt").write_text(config)
    (repository / "twice" / "1" / "service.py").write_text(text)
    with pytest.raises(ConfigError, match=said):
        sonic.serve(repository, grpc_port=None, http_port=None, metrics_port=None)


def test_functions_and_folders_together(repository: Path) -> None:
    with sonic.serve(repository, moments, http_port=None, metrics_port=None, models=["twice"]) as server:
        assert [model.spec.name for model in server.dataplane.models()] == ["twice"]
    with sonic.serve(repository, moments, http_port=None, metrics_port=None, explicit=True) as server:
        assert [row.name for row in server.dataplane.index()] == ["moments", "twice"]
        server.dataplane.load("moments")
        with sonic.Model(f"{server.grpc_url}/moments") as served:
            assert served(x=[2.0])["sums"].tolist() == [1]
        server.dataplane.unload("moments")
        assert server.dataplane.models() == ()
