"""coffea's ``triton_wrapper``, unmodified."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import sonic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ak = pytest.importorskip("awkward")
ml_tools = pytest.importorskip("coffea.ml_tools")

PLAIN = {"ssl": False}  # coffea encrypts unless it is told not to


class Numbers(ml_tools.triton_wrapper):  # type: ignore[misc, name-defined]
    """Calls the example of sums and differences."""

    def prepare_awkward(self, first: Any, second: Any) -> Any:
        return (["OUTPUT0", "OUTPUT1"], {"INPUT0": first, "INPUT1": second}), {}


class Tagger(ml_tools.triton_wrapper):  # type: ignore[misc, name-defined]
    """Calls a ParticleNet with the jets' constituents, padded to 100."""

    def prepare_awkward(self, jets: Any) -> Any:
        def padded(field: str) -> Any:
            filled = ak.fill_none(ak.pad_none(jets[field], 100, axis=1, clip=True), 0.0)
            return ak.values_astype(ak.to_regular(filled), "float32")

        inputs = {
            "points": [padded("deta"), padded("dphi")],
            "features": [padded(f"feature{i}") for i in range(5)],
            "mask": [padded("mask")],
        }
        stacked = {name: ak.concatenate([one[:, None, :] for one in parts], axis=1) for name, parts in inputs.items()}
        return (["output"], stacked), {}


@pytest.fixture
def address(server: Any) -> str:
    return server("open")[0].grpc_url.removeprefix("grpc://")


@pytest.fixture(scope="module")
def tagger(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server of the ParticleNet that coffea users are given as an example."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("models")
    (folder / "pn_test").symlink_to(shared_data / "models" / "pn_test")
    with sonic.serve(folder, cores=1) as running:
        yield running.grpc_url.removeprefix("grpc://")


def jets(count: int) -> Any:
    random = np.random.default_rng(5)
    counts = random.integers(1, 130, count)
    fields = ["deta", "dphi", *(f"feature{i}" for i in range(5))]
    constituents = {name: ak.unflatten(random.normal(size=counts.sum()), counts) for name in fields}
    return ak.zip({**constituents, "mask": ak.ones_like(constituents["deta"])})


@pytest.mark.parametrize("rows", [1, 8, 21])
def test_numbers(rows: int, address: str) -> None:
    wrapper = Numbers(f"triton+grpc://{address}/simple/1", PLAIN)
    assert wrapper.batch_size == 8  # as the configuration says
    first = np.arange(16 * rows, dtype=np.int32).reshape(rows, 16)
    result = wrapper(ak.Array(first), ak.Array(np.ones_like(first)))
    np.testing.assert_array_equal(ak.to_numpy(result["OUTPUT0"]), first + 1)
    np.testing.assert_array_equal(ak.to_numpy(result["OUTPUT1"]), first - 1)


def test_a_preferred_size_is_found_where_batches_are_dynamic(address: str) -> None:
    assert Numbers(f"triton+grpc://{address}/batching/1", PLAIN).batch_size == 8


def test_no_rows_and_a_copy_by_pickle(address: str) -> None:
    wrapper = Numbers(f"triton+grpc://{address}/simple/1", PLAIN)
    rows = ak.Array(np.ones((3, 16), np.int32))
    wrapper(rows, rows)
    again = pickle.loads(pickle.dumps(wrapper))
    assert ak.to_list(again(rows, rows)["OUTPUT0"]) == [[2] * 16] * 3
    assert ak.to_numpy(again(rows[:0], rows[:0])["OUTPUT0"]).shape == (0, 16)


def test_what_is_wrong_is_told(address: str) -> None:
    wrapper = Numbers(f"triton+grpc://{address}/wrong_model_name/1", PLAIN)
    rows = ak.Array(np.ones((3, 16), np.int32))
    with pytest.raises(Exception, match="Request for unknown model: 'wrong_model_name' is not found"):
        wrapper(rows, rows)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:Batch size not set by model")
def test_a_tagger_s_scores_are_those_of_the_network_itself(tagger: str, shared_data: Path) -> None:
    import torch

    wrapper = Tagger(f"triton+grpc://{tagger}/pn_test/1", PLAIN)
    events = jets(25)
    scores = ak.to_numpy(wrapper(events)["output"])
    (_, inputs), _ = Tagger("triton+grpc://h/pn_test/1").prepare_awkward(events)
    network = torch.jit.load(str(shared_data / "models" / "pn_test" / "1" / "model.pt")).eval()
    with torch.no_grad():
        expected = network(*(torch.from_numpy(ak.to_numpy(array)) for array in inputs.values())).numpy()
    assert scores.shape == (25, 2)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
