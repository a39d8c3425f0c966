from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import awkward as ak
import numpy as np
import pytest

import sonic
from sonic.coffea import TritonWrapper, disconnect
from sonic.errors import ConfigError, InvalidRequest, ModelNotFound, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from sonic.server.app import Server

PLAIN = {"ssl": False}


class Echo(TritonWrapper):
    """Pads jets' values to three, and gives them back event by event."""

    def prepare_awkward(self, output_list: list[str], jets: Any) -> Any:
        library = self.get_awkward_lib(jets)
        flat = library.flatten(jets)
        padded = library.fill_none(library.pad_none(flat.values, 3, axis=1, clip=True), 0.0)
        x = library.values_astype(library.to_regular(padded, axis=1), "float32")
        n = library.values_astype(flat.number[:, None], "int64")
        return (output_list, {"x": x, "n": n}), {}

    def postprocess_awkward(self, return_array: Any, output_list: list[str], jets: Any) -> Any:
        return {name: ak.unflatten(array, ak.num(jets)) for name, array in return_array.items()}


class Columns(NamedTuple):
    """Inputs, or outputs, of a model."""

    x: Any
    n: Any


class Named(Echo):
    """Has its inputs and outputs in named tuples."""

    def prepare_awkward(self, output_list: list[str], jets: Any) -> Any:
        (names, inputs), _ = super().prepare_awkward(output_list, jets)
        return (names, Columns(**inputs)), {}

    def numpy_call(self, output_list: Any, input_dict: Any) -> Any:
        outputs = super().numpy_call(output_list, input_dict._asdict())
        return Columns(outputs["y"], outputs["m"])

    def postprocess_awkward(self, return_array: Any, *_: Any, **__: Any) -> Any:
        return return_array


def jets(counts: list[int] = [2, 0, 7, 1]) -> ak.Array:  # noqa: B006 - only read
    numbers = np.arange(sum(counts))
    values = ak.unflatten(np.arange(2.0 * len(numbers)), np.full(len(numbers), 2))
    flat = ak.zip({"values": values, "number": numbers}, depth_limit=1)
    return ak.unflatten(flat, counts)


@pytest.mark.parametrize("scheme", ["triton+grpc", "triton+http"])
def test_a_subclass_as_in_coffea(scheme: str, server: Server) -> None:
    place = {"triton+grpc": server.grpc_url, "triton+http": server.http_url}[scheme].partition("//")[2]
    tagger = Echo(f"{scheme}://{place}/echo/1", PLAIN, batch_size=4)
    assert (tagger.model, tagger.version, tagger.batch_size) == ("echo", "1", 4)
    events = jets()
    outputs = tagger(["m", "y"], events)
    assert list(outputs) == ["m", "y"]
    assert outputs["m"].to_list() == [[[n] for n in event] for event in events.number.to_list()]
    assert outputs["y"].to_list() == [[[*v, 0.0] for v in event] for event in events["values"].to_list()]


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_chunks_without_rows_make_no_call(counts: list[int], address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    before = tagger._served().statistics().inference_count
    outputs = tagger(["m", "y"], jets([*counts, 1])[:-1])
    assert outputs["y"].to_list() == [[] for _ in counts]
    assert str(outputs["m"].type).endswith("int64")
    assert tagger._served().statistics().inference_count == before


def test_virtual_arrays(address: str) -> None:
    form, length, buffers = ak.to_buffers(jets())
    lazy = ak.from_buffers(form, length, {key: (lambda value=value: value) for key, value in buffers.items()})
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    assert tagger(["y"], lazy)["y"].to_list() == tagger(["y"], jets())["y"].to_list()


def test_numpy_arrays_and_arrays_in_containers(address: str) -> None:
    wrapper = TritonWrapper(f"triton+grpc://{address}/echo/1", PLAIN)
    inputs = {"x": np.ones((20, 3)), "n": np.arange(20)[:, None]}
    outputs = wrapper(["m"], inputs)
    assert list(outputs) == ["m"]
    assert outputs["m"].tolist() == inputs["n"].tolist()
    same = wrapper.numpy_call(["m"], {name: ak.Array(array) for name, array in inputs.items()})
    np.testing.assert_array_equal(same["m"], outputs["m"])


def test_arrays_in_named_tuples(address: str) -> None:
    events = jets()
    outputs = Named(f"triton+grpc://{address}/echo/1", PLAIN)(["m", "y"], events)
    assert isinstance(outputs, Columns)
    assert isinstance(outputs.x, ak.Array)
    assert outputs.n.to_list() == [[n] for n in ak.flatten(events.number)]


def test_a_model_without_batch_dimension(address: str) -> None:
    wrapper = TritonWrapper(f"triton+grpc://{address}/plain/1", PLAIN, batch_size=7)
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    np.testing.assert_array_equal(wrapper(["y"], {"x": x})["y"], x)


def test_a_call_may_be_under_way_while_other_work_is_done(address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    pending = tagger.submit(["m"], jets())
    numpy = tagger.submit(["m"], {"x": np.ones((1, 3)), "n": [[5]]})
    assert numpy.result()["m"].tolist() == [[5]]
    assert ak.num(pending.result()["m"]).to_list() == [2, 0, 7, 1]
    assert pending.done()


def test_a_numpy_call_of_ones_own_is_made_by_submit_too(address: str) -> None:
    events, wrapper = jets(), Named(f"triton+grpc://{address}/echo/1", PLAIN)
    outputs = wrapper.submit(["y", "m"], events).result()
    assert isinstance(outputs, Columns)
    assert outputs.n.to_list() == [[n] for n in ak.flatten(events.number)]
    wrong = wrapper.submit(["y"], Columns(np.ones((1, 4)), np.ones((1, 1), int)))
    with pytest.raises(InvalidRequest, match="'x'"):
        wrong.result()


def test_what_is_known_of_the_model(address: str) -> None:
    wrapper = TritonWrapper(f"triton+grpc://{address}/echo/1", PLAIN)
    assert wrapper.batch_size == 8
    assert wrapper.model_inputs["x"] == {"shape": (-1, 3), "datatype": "FP32"}
    assert wrapper.model_outputs["m"] == {"shape": (-1, 1), "datatype": "INT64"}
    assert wrapper.model_metadata["versions"] == ["1"]
    assert wrapper.model_metadata["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1, 3]}


def test_copies_in_a_process_share_one_connection(address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    tagger.tag = "user's own"
    copies = [pickle.loads(pickle.dumps(tagger)) for _ in range(3)]
    assert copies[0].tag == "user's own"
    assert len({id(copy._served()) for copy in [tagger, *copies]}) == 1
    other = TritonWrapper(f"triton+grpc://{address}/plain/1", PLAIN)
    assert other._served() is not tagger._served()
    assert other._served()._client is tagger._served()._client
    elsewhere = Echo(f"triton+grpc://{address}/echo/1", PLAIN, timeout_s=5)
    assert elsewhere._served()._client is not tagger._served()._client
    first = tagger._served()
    disconnect()
    assert tagger._served() is not first
    assert ak.num(tagger(["m"], jets())["m"]).to_list() == [2, 0, 7, 1]


def test_a_forked_process_connects_by_itself(address: str) -> None:
    program = """
import os, sys
import numpy as np
from sonic.coffea import TritonWrapper
wrapper = TritonWrapper(sys.argv[1], {"ssl": False}, timeout_s=20)
inputs = {"x": np.ones((2, 3), np.float32), "n": np.ones((2, 1), np.int64)}
wrapper(["m"], inputs)
child = os.fork()
if not child:
    os._exit(len(wrapper(["m"], inputs)["m"]))
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code + len(wrapper(["m"], inputs)["m"]))
"""
    command = [sys.executable, "-c", program, f"triton+grpc://{address}/echo/1"]
    assert subprocess.run(command, timeout=60, check=False).returncode == 2 + 2


def test_other_servers_and_the_fallback_take_over(address: str, models: Path) -> None:
    nowhere = "triton+grpc://127.0.0.1:1/echo/1"
    spread = Echo(nowhere, PLAIN, servers=[f"grpc://{address}"])
    assert ak.num(spread(["m"], jets())["m"]).to_list() == [2, 0, 7, 1]
    careful = pickle.loads(pickle.dumps(Echo(nowhere, PLAIN, fallback=models)))
    assert ak.num(careful(["m"], jets())["m"]).to_list() == [2, 0, 7, 1]
    described = Echo(nowhere, PLAIN, fallback=sonic.Fallback(models))
    assert ak.num(described(["m"], jets())["m"]).to_list() == [2, 0, 7, 1]
    with pytest.raises(Unavailable):
        Echo(nowhere, PLAIN, timeout_s=0.3, fallback=False)(["m"], jets())


def test_a_server_that_goes_in_mid_run_is_left_for_another(models: Path, address: str) -> None:
    with sonic.serve(models, cores=1) as short_lived:
        tagger = Echo(f"triton+{short_lived.grpc_url}/echo/1", PLAIN, servers=[f"grpc://{address}"])
        expected = tagger(["m"], jets())["m"].to_list()
    assert tagger(["m"], jets())["m"].to_list() == expected


class Words(TritonWrapper):
    def prepare_awkward(self, words: Any) -> Any:
        return (["y"], {"x": words}), {}


def test_texts(address: str) -> None:
    words = Words(f"triton+grpc://{address}/text/1", PLAIN)
    for given in ([["a", "bé"], ["", "c"]], [["a", "b"]] * 20):
        y = words(ak.Array(given))["y"]
        assert str(y.type) == f"{len(given)} * 2 * bytes"
        assert y.to_list() == [[text.encode() for text in row] for row in given]
    assert str(words.submit(ak.Array([["a", "b"]])[:0]).result()["y"].type) == "0 * 2 * bytes"


def test_no_lists_have_any_length(address: str) -> None:
    class Rows(TritonWrapper):
        def prepare_awkward(self, x: Any) -> Any:
            return (["m", "y"], {"x": x, "n": ak.values_astype(x[:, :1], "int64")}), {}

    rows = Rows(f"triton+grpc://{address}/echo/1", PLAIN)
    x = ak.Array([[1.0, 2.0, 3.0]])  # as a branch of lists is read, before a cut that nothing passes
    assert rows(x)["y"].to_list() == x.to_list()
    for none in (rows(x[x[:, 0] > 1]), rows.submit(x[:0]).result()):
        assert {name: str(array.type) for name, array in none.items()} == {
            "m": "0 * 1 * int64",
            "y": "0 * 3 * float32",
        }


def test_a_size_that_is_none() -> None:
    assert TritonWrapper("triton+grpc://host:8001/echo/1", batch_size=np.int64(7)).batch_size == 7
    for size in ("4", None, 2.5):
        with pytest.raises(ConfigError, match=f"batch_size is a whole number, given {size!r}"):
            TritonWrapper("triton+grpc://host:8001/echo/1", batch_size=size)  # type: ignore[arg-type]


def test_what_is_wrong_is_told_before_it_is_sent(address: str) -> None:
    tagger = Echo(f"triton+grpc://{address}/echo/1", PLAIN)
    plain = TritonWrapper(f"triton+grpc://{address}/echo/1", PLAIN)
    with pytest.raises(InvalidRequest, match="output 'z' for model 'echo': it has y, m"):
        tagger(["z"], jets())
    with pytest.raises(InvalidRequest, match=r"input 'x' of model 'echo' is FP32 \[-1, 3\], given float64 \[1, 2\]"):
        plain(["y"], {"x": np.ones((1, 2)), "n": [[1]]})
    with pytest.raises(InvalidRequest, match=r"input .x. is 2 .* which is not rectangular"):
        plain(["y"], {"x": ak.Array([[1.0], []]), "n": [[1], [2]]})
    with pytest.raises(InvalidRequest, match="'n'"):
        plain.submit(["y"], {"x": np.ones((1, 3))}).result()
    with pytest.raises(NotImplementedError, match="TritonWrapper is called with awkward arrays"):
        plain(["y"], jets())
    with pytest.raises(ModelNotFound):
        TritonWrapper(f"triton+grpc://{address}/absent/1", PLAIN)(["y"], {"x": [1]})
