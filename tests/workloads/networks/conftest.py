"""What every network of the zoo is tested for."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Keep PyTorch's threads from waiting for each other on a busy machine."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def exported_alike() -> Callable[..., Any]:
    """Export a network to ONNX and TorchScript, compare both with PyTorch, and return the ONNX session.

    Arguments: the network's name, and a network that may be of other sizes, on whose inputs nothing depends.
    """
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    import onnxruntime

    from sonic.workloads import export
    from sonic.workloads.networks.catalogue import blueprint
    from sonic.workloads.networks.layers import shake

    def compare(name: str, network: nn.Module, *, plan: Any = None, rows: tuple[int, ...] = (1, 2, 5)) -> Any:
        plan = plan or blueprint(name)
        shake(network)
        network.eval()
        model, script = export.to_onnx(plan, network), export.to_torchscript(plan, network)
        assert model.ir_version <= export.MAX_IR_VERSION
        for count in rows:
            for program in (model, script):
                deviations = export.deviation(plan, network, program, rows=count)
                assert len(deviations) >= count
                assert np.median(deviations) < 1e-5
                assert deviations.max() < 1e-5, f"{name}: {count} rows, {type(program).__name__}"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        if plan.max_batch_size:
            batch = plan.example(5, np.random.default_rng(2))
            alone = [session.run(None, {k: a[i : i + 1] for k, a in batch.items()}) for i in range(5)]
            for found, rows_alone in zip(session.run(None, batch), zip(*alone, strict=True), strict=True):
                assert np.array_equal(found, np.concatenate(rows_alone)), "a row's bits depend on its company"
        assert [i.name for i in session.get_inputs()] == [i.name for i in plan.inputs]
        assert [o.name for o in session.get_outputs()] == [o.name for o in plan.outputs]
        for declared, found in zip(
            (*plan.inputs, *plan.outputs), (*session.get_inputs(), *session.get_outputs()), strict=True
        ):
            dims = found.shape[1:] if plan.max_batch_size else found.shape
            assert len(dims) == len(declared.dims)
            for ours, theirs in zip(declared.dims, dims, strict=True):
                assert ours == theirs or isinstance(ours, str)
        return session

    return compare
