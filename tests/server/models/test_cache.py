from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import ConfigError, ModelFailed
from sonic.protocol.messages import InferRequest
from sonic.server.execution.classification import classify_outputs
from sonic.server.execution.instances import Reply
from sonic.server.models.cache import ResponseCache, key_of

if TYPE_CHECKING:
    from sonic.server.models.cache import Key

OWNER = object()


def key(name: str, owner: object = OWNER) -> Key:
    return owner, name.encode()


def reply(size: int, value: float = 1.0, **parameters: Any) -> Reply:
    return Reply({"y": np.full(size, value, np.float64)}, parameters)


def cache_of(max_bytes: int) -> ResponseCache:
    cache = ResponseCache(max_bytes)
    cache.admit(OWNER)
    return cache


def found(cache: ResponseCache, name: str, owner: object = OWNER) -> np.ndarray:
    kept = cache.get(key(name, owner))
    assert kept is not None
    return kept.outputs["y"]


def test_what_was_kept_is_found() -> None:
    cache = cache_of(10_000)
    given = reply(10, note="n")
    cache.put(key("a"), given)
    given.outputs["y"][:] = 0
    np.testing.assert_array_equal(found(cache, "a"), np.ones(10))
    with pytest.raises(ValueError, match="read-only"):
        found(cache, "a")[0] = 3
    kept = cache.get(key("a"))
    assert kept is not None
    assert kept.parameters == {"note": "n"}
    kept.outputs.clear()  # type: ignore[attr-defined]  # theirs, to do with as they like
    assert len(found(cache, "a")) == 10
    assert cache.get(key("b")) is None
    assert (len(cache), cache.enabled) == (1, True)


def test_the_least_recently_used_goes_first() -> None:
    cache = cache_of(3000)  # room for three
    for name in "abc":
        cache.put(key(name), reply(50))
    cache.get(key("a"))
    cache.put(key("d"), reply(50))
    assert [name for name in "abcd" if cache.get(key(name)) is not None] == ["a", "c", "d"]


def test_what_is_too_large_pushes_nothing_out() -> None:
    cache = cache_of(3000)
    cache.put(key("a"), reply(50))
    cache.put(key("b"), reply(400))
    assert cache.get(key("a")) is not None
    assert cache.get(key("b")) is None


def test_the_same_key_counts_once() -> None:
    cache = cache_of(3000)
    cache.put(key("a"), reply(50))
    size = cache.bytes
    cache.put(key("a"), reply(50, 2.0))
    assert cache.bytes == size
    assert found(cache, "a")[0] == 2.0


def test_an_owner_takes_its_results_along() -> None:
    cache, other = cache_of(10_000), object()
    cache.admit(other)
    cache.put(key("a"), reply(5))
    cache.put(key("a", other), reply(6))
    cache.drop(OWNER)
    assert cache.get(key("a")) is None
    assert len(found(cache, "a", other)) == 6
    cache.drop(other)
    assert (len(cache), cache.bytes) == (0, 0)


def test_what_comes_after_its_owner_has_gone_is_not_kept() -> None:
    cache = cache_of(10_000)
    cache.drop(OWNER)
    cache.put(key("a"), reply(5))
    cache.put(key("a", object()), reply(5))
    assert (len(cache), cache.bytes) == (0, 0)


def test_text_counts_by_its_length() -> None:
    cache = cache_of(2000)
    cache.put(key("a"), Reply({"y": np.array([b"x" * 3000], np.object_)}))
    assert len(cache) == 0
    cache.put(key("a"), Reply({"y": np.array([b"x" * 300], np.object_)}))
    assert len(cache) == 1


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 120)), max_size=50))
def test_it_never_holds_more_than_it_may(puts: list[tuple[str, int]]) -> None:
    cache = cache_of(2500)
    for name, size in puts:
        cache.put(key(name), reply(size, size))
        assert cache.bytes <= 2500
        assert len(found(cache, name)) == size
    assert cache.bytes == sum(512 + found(cache, name).nbytes for name in "abcdef" if cache.get(key(name)))


X = np.arange(6, dtype=np.float32).reshape(2, 3)
TEXT = np.array([b"ab", b"c"], np.object_)


@pytest.mark.parametrize(
    "other",
    [
        key_of(object(), {"x": X}, ("y",), {}),
        key_of(OWNER, {"z": X}, ("y",), {}),
        key_of(OWNER, {"x": X + 1}, ("y",), {}),
        key_of(OWNER, {"x": X.reshape(3, 2)}, ("y",), {}),
        key_of(OWNER, {"x": X.view(np.int32)}, ("y",), {}),
        key_of(OWNER, {"x": X}, ("z",), {}),
        key_of(OWNER, {"x": X}, ("y",), {"mode": 1}),
        key_of(OWNER, {"x": X}, ("y",), {}, {"y": 1}),
    ],
)
def test_what_differs_has_another_key(other: Key) -> None:
    assert other != key_of(OWNER, {"x": X}, ("y",), {})


def test_what_is_the_same_has_the_same_key() -> None:
    same = np.concatenate([X, X])[::-1][:2][::-1]
    assert not same.flags.c_contiguous or same.base is not None
    expected = key_of(OWNER, {"x": X}, ("y",), {})
    assert key_of(OWNER, {"x": same}, ("y",), {"priority": 3}) == expected


def test_where_one_text_ends_matters() -> None:
    other = np.array([b"a", b"bc"], np.object_)
    assert key_of(OWNER, {"x": TEXT}, (), {}) != key_of(OWNER, {"x": other}, (), {})
    assert key_of(OWNER, {"x": TEXT}, (), {}) == key_of(OWNER, {"x": np.array(["ab", "c"], np.object_)}, (), {})


# ---- in a server ---------------------------------------------------------------------------------------------------

CACHED = "dynamic_batching {} response_cache { enable: true }"


def ask(server: Any, value: float, **more: Any) -> Any:
    request = InferRequest("scripted", {"x": np.full((1, 2), value, np.float32)}, **more)
    return server.dataplane.infer(request).result(10)


def test_a_result_is_computed_once(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    first, again, other = ask(server, 1, id="a"), ask(server, 1, id="b"), ask(server, 2)
    np.testing.assert_array_equal(again.outputs["y"], first.outputs["y"])
    assert (again.id, other.outputs["y"][0, 0], script.batches) == ("b", 4, [1, 1])
    (row,) = server.dataplane.statistics("scripted")
    assert (row.cache_hit.count, row.cache_miss.count, row.success.count, row.queue.count) == (1, 2, 3, 3)
    assert (row.inference_count, row.execution_count, row.compute_infer.count) == (2, 2, 2)
    assert min(row.cache_hit.total_ns, row.cache_miss.total_ns) > 0


def test_only_where_the_model_asks_for_it(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted()
    folder.scripted("off", batching=CACHED.replace("true", "false"))
    server = serve(folder)
    for _ in range(2):
        ask(server, 1)
    assert script.batches == [1, 1]
    assert server.dataplane.statistics("scripted")[0].cache_miss.count == 0


def test_not_without_room(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder, cache_bytes=0)
    assert [ask(server, 1).outputs["y"][0, 0] for _ in range(2)] == [2, 2]
    assert script.batches == [1, 1]


def test_what_is_kept_waits_for_what_came_before_where_order_counts(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED.replace("{}", "{ preserve_ordering: true }"))
    server = serve(folder)
    ask(server, 1)
    script.hold()
    first, second = (
        server.dataplane.infer(InferRequest("scripted", {"x": np.full((1, 2), n, np.float32)}), inline=False)
        for n in (2, 1)
    )
    script.wait_started()
    assert not second.done()
    script.release()
    assert second.result(10).outputs["y"][0, 0] == 2
    assert first.done()
    assert first.result().outputs["y"][0, 0] == 4
    (row,) = server.dataplane.statistics("scripted")
    assert (row.cache_hit.count, row.cache_miss.count, row.success.count, row.execution_count) == (1, 2, 3, 2)


def test_errors_are_not_kept_nor_parts_of_sequences(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    script.run = lambda x: 1 / 0
    for _ in range(2):
        with pytest.raises(ModelFailed):
            ask(server, 1)
    script.run = lambda x: {"y": 2 * x}
    for _ in range(2):
        ask(server, 2, parameters={"sequence_id": 7})
    assert len(script.batches) == 4
    (row,) = server.dataplane.statistics("scripted")
    assert (row.cache_hit.count, row.cache_miss.count, row.fail.count) == (0, 0, 2)


def test_a_model_that_is_loaded_again_starts_anew(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    ask(server, 1)
    script.run = lambda x: {"y": 3 * x}
    folder.change("scripted")
    server.repository.load("scripted")
    assert ask(server, 1).outputs["y"][0, 0] == 3
    assert len(server.repository._cache) == 1


def test_what_ends_after_its_model_has_gone_is_not_kept(
    serve: Any, folder: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    entered, gate, put = threading.Event(), threading.Event(), ResponseCache.put

    def slow(self: ResponseCache, key: Key, reply: Reply) -> None:
        entered.set()
        assert gate.wait(30)
        put(self, key, reply)

    monkeypatch.setattr(ResponseCache, "put", slow)
    future = server.dataplane.infer(InferRequest("scripted", {"x": np.ones((1, 2), np.float32)}), inline=False)
    assert entered.wait(10)
    server.repository.unload("scripted", drain_s=0.0)
    gate.set()
    assert future.result(10).outputs["y"][0, 0] == 2
    assert len(server.repository._cache) == 0


def test_many_threads_share_it(serve: Any, folder: Any, script: Any) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    barrier = threading.Barrier(4)

    def client(_: int) -> None:
        barrier.wait(10)
        for number in range(40):
            assert ask(server, number % 5).outputs["y"][0, 0] == 2 * (number % 5)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client, range(4)))
    (row,) = server.dataplane.statistics("scripted")
    assert row.cache_hit.count + row.cache_miss.count == row.success.count == 160
    assert row.cache_miss.count == row.inference_count <= 20


def test_classes_are_kept_and_not_made_again(
    serve: Any, folder: Any, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)
    made: list[int] = []

    def noted(*args: Any, **more: Any) -> Any:
        made.append(1)
        return classify_outputs(*args, **more)

    monkeypatch.setattr("sonic.server.models.model.classify_outputs", noted)
    for classes in ({"y": 1}, {"y": 1}, {"y": 2}, {}, {}):
        response = ask(server, 1, outputs=("y",), classes=classes)
        count = classes.get("y", 0)
        expected = [b"2.000000:0", b"2.000000:1"][:count] if count else [2, 2]
        assert response.outputs["y"][0].tolist() == expected
    assert (len(made), len(script.batches)) == (2, 3)


def test_what_there_is_no_memory_to_keep_is_answered_all_the_same(
    serve: Any, folder: Any, script: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.scripted(batching=CACHED)
    server = serve(folder)

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ResponseCache, "put", full)
    assert [ask(server, 1).outputs["y"][0, 0] for _ in range(2)] == [2, 2]
    assert script.batches == [1, 1]
    assert caplog.text.count("no memory to keep a response") == 2


def test_room_below_zero_is_refused(serve: Any, folder: Any) -> None:
    folder.onnx("a")
    with pytest.raises(ConfigError, match="room for cached responses"):
        serve(folder, cache_bytes=-1)
