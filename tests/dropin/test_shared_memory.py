"""What Triton's published examples do with system shared memory, over every way to a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.utils.shared_memory as shm
from tritonclient.utils import serialize_byte_tensor, serialized_byte_size, triton_to_np_dtype

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST, SECOND = np.arange(16, dtype=np.int32), np.ones(16, np.int32)
SIZE = FIRST.nbytes


@pytest.fixture
def region(client: Any) -> Iterator[Callable[..., Any]]:
    """Make a region that the server knows, with some arrays in it."""
    made: list[Any] = []
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()

    def make(name: str, size: int, *arrays: np.ndarray) -> Any:
        key = f"/sonic-{os.getpid()}-{name}"
        made.append(shm.create_shared_memory_region(name, key, size))
        if arrays:
            shm.set_shared_memory_region(made[-1], list(arrays))
        client.register_system_shared_memory(name, key, size)
        return made[-1]

    yield make
    client.unregister_system_shared_memory()
    for handle in made:
        shm.destroy_shared_memory_region(handle)


def read(handle: Any, result: Any, output: str, offset: int = 0) -> np.ndarray:
    described = result.get_output(output)
    kind = described["datatype"] if isinstance(described, dict) else described.datatype
    shape = described["shape"] if isinstance(described, dict) else described.shape
    return shm.get_contents_as_numpy(handle, triton_to_np_dtype(kind), list(shape), offset=offset)


def test_tensors(way: Any, client: Any, region: Any) -> None:
    given, got = region("given", 2 * SIZE, FIRST, SECOND), region("got", 2 * SIZE)
    assert given is not None
    inputs = [way.triton.InferInput(f"INPUT{i}", [1, 16], "INT32") for i in (0, 1)]
    outputs = [way.triton.InferRequestedOutput(f"OUTPUT{i}") for i in (0, 1)]
    for i in (0, 1):
        inputs[i].set_shared_memory("given", SIZE, offset=i * SIZE)
        outputs[i].set_shared_memory("got", SIZE, offset=i * SIZE)
    result = client.infer("simple", inputs, outputs=outputs)
    np.testing.assert_array_equal(read(got, result, "OUTPUT0")[0], FIRST + SECOND)
    np.testing.assert_array_equal(read(got, result, "OUTPUT1", SIZE)[0], FIRST - SECOND)
    status = client.get_system_shared_memory_status()
    assert len(status.regions if way.kind == "grpc" else status) == 2


def test_texts(way: Any, client: Any, region: Any) -> None:
    words = [serialize_byte_tensor(np.array([str(n) for n in values], np.object_)) for values in (FIRST, SECOND)]
    sizes = [serialized_byte_size(one) for one in words]
    region("given", sum(sizes), *words)
    got = region("got", 512)
    inputs = [way.triton.InferInput(f"INPUT{i}", [1, 16], "BYTES") for i in (0, 1)]
    inputs[0].set_shared_memory("given", sizes[0])
    inputs[1].set_shared_memory("given", sizes[1], offset=sizes[0])
    wanted = way.triton.InferRequestedOutput("OUTPUT0")
    wanted.set_shared_memory("got", 256, offset=256)
    result = client.infer("simple_string", inputs, outputs=[wanted])
    assert [int(word) for word in read(got, result, "OUTPUT0", 256)[0]] == (FIRST + SECOND).tolist()


def test_the_same_objects_with_and_without(way: Any, client: Any, region: Any) -> None:
    region("given", 2 * SIZE, FIRST, SECOND)
    got = region("got", SIZE)
    inputs = [way.triton.InferInput(f"INPUT{i}", [1, 16], "INT32") for i in (0, 1)]
    wanted = way.triton.InferRequestedOutput("OUTPUT0")
    for shared in (True, False, True):
        if shared:
            for i in (0, 1):
                inputs[i].set_shared_memory("given", SIZE, offset=i * SIZE)
            wanted.set_shared_memory("got", SIZE)
            result = client.infer("simple", inputs, outputs=[wanted])
            sums = read(got, result, "OUTPUT0")
            np.testing.assert_array_equal(sums[0], FIRST + SECOND)
            sums[:] = 0
        else:
            inputs[0].set_data_from_numpy(FIRST[None])
            inputs[1].set_data_from_numpy(2 * SECOND[None])
            wanted.unset_shared_memory()
            result = client.infer("simple", inputs, outputs=[wanted])
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0")[0], FIRST + 2 * SECOND)
