from __future__ import annotations

import gc
import os
import threading
import weakref
from multiprocessing.shared_memory import SharedMemory as Segment
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonic.errors import InvalidRequest, RegionNotFound, RegionTaken, Unsupported
from sonic.protocol.form import Span
from sonic.protocol.ownership import FOLDER, PREFIX, own
from sonic.server import sharedmemory
from sonic.server.sharedmemory import PeerRegions, RegionStatus, SharedMemory, is_local

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 3 * 4096


@pytest.fixture(scope="module")
def segment() -> Iterator[Segment]:
    made = Segment(create=True, size=SIZE)
    made.buf[:] = bytes(i % 251 for i in range(SIZE))
    yield made
    made.close()
    made.unlink()


def test_a_region_is_the_bytes_that_were_registered(segment: Segment) -> None:
    memory = SharedMemory()
    memory.register("a", f"/{segment.name}", 0, SIZE)
    memory.register("b", segment.name, 5000, 100)  # at no page's beginning
    assert memory.status("b") == (RegionStatus("b", segment.name, 5000, 100),)
    assert [status.name for status in memory.status()] == ["a", "b"]
    assert bytes(memory.view(Span("b", 10, 20))) == bytes(segment.buf[5010:5030])
    memory.view(Span("b", 99, 1))[0] = 255
    assert segment.buf[5099] == 255
    segment.buf[5099] = 5099 % 251


@given(
    offset=st.integers(0, SIZE + 5), size=st.integers(1, SIZE + 5), at=st.integers(0, SIZE), take=st.integers(0, SIZE)
)
def test_no_byte_outside_is_ever_seen(segment: Segment, offset: int, size: int, at: int, take: int) -> None:
    memory = SharedMemory()
    if offset + size > SIZE:
        with pytest.raises(
            InvalidRequest, match=f"'r': invalid args: .* has {SIZE} bytes, given bytes {offset} to {offset + size}"
        ):
            memory.register("r", segment.name, offset, size)
        return
    memory.register("r", segment.name, offset, size)
    if at + take > size:
        with pytest.raises(
            InvalidRequest, match=f"Invalid offset.* 'r' has {size} bytes, given bytes {at} to {at + take}"
        ):
            memory.view(Span("r", at, take))
        return
    assert bytes(memory.view(Span("r", at, take))) == bytes(segment.buf[offset + at : offset + at + take])


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        ".",
        "..",
        "/..",
        "../etc/passwd",
        "/../etc/passwd",
        "a/b",
        "//a",
        "a\0b",
        "x" * 300,
        "\udcff/",
        "\ud800",
    ],
)
def test_keys_that_are_no_names(key: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the name of shared memory"):
        SharedMemory().register("r", key, 0, 1)


def test_what_cannot_be_registered(segment: Segment) -> None:
    memory = SharedMemory()
    unopened = "region 'r': Unable to open shared memory region: '/sonic-absent': No such file"
    with pytest.raises(InvalidRequest, match=unopened):
        memory.register("r", "/sonic-absent", 0, 1)
    with pytest.raises(InvalidRequest, match="has a name, given ''"):
        memory.register("", segment.name, 0, 1)
    for offset, size in ((0, 0), (-1, 5), (0, -1)):
        with pytest.raises(InvalidRequest, match=f"given offset {offset} and byte size {size}"):
            memory.register("r", segment.name, offset, size)
    with pytest.raises(InvalidRequest, match=f"has {SIZE} bytes"):
        memory.register("r", segment.name, 2**63, 2**64 - 1)
    with pytest.raises(InvalidRequest, match="at most 255 characters"):
        memory.register("r" * 256, segment.name, 0, 1)
    memory.register("r", segment.name, 0, 1)
    with pytest.raises(RegionTaken, match="region 'r' already in manager"):
        memory.register("r", segment.name, 0, 1)


def test_there_are_not_countless_regions(segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharedmemory, "MAX_REGIONS", 2)
    memory = SharedMemory()
    for name in "ab":
        memory.register(name, segment.name, 0, 1)
    with pytest.raises(InvalidRequest, match="2 shared memory regions are registered already"):
        memory.register("c", segment.name, 0, 1)
    memory.unregister("a")
    memory.register("c", segment.name, 0, 1)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no folder of shared memory here")
def test_links_and_pipes_are_no_memory(tmp_path: Path) -> None:
    target = tmp_path / "secret"
    target.write_text("secret")
    for make in (lambda path: path.symlink_to(target), os.mkfifo):
        path = Path(f"/dev/shm/sonic-test-{os.getpid()}")
        make(path)
        try:
            with pytest.raises(InvalidRequest, match="region 'r': "):
                SharedMemory().register("r", path.name, 0, 6)
        finally:
            path.unlink()


def test_a_view_outlives_the_region_and_the_memory() -> None:
    made = Segment(create=True, size=4096)
    made.buf[:4] = b"abcd"
    memory = SharedMemory()
    memory.register("r", made.name, 0, 4096)
    made.close()
    made.unlink()  # the client is gone
    array = np.frombuffer(memory.view(Span("r", 0, 4)), np.uint8)
    mapped = weakref.ref(memory._regions["r"][1].obj)
    memory.unregister("r")
    with pytest.raises(RegionNotFound, match="Unable to find shared memory region: 'r'"):
        memory.view(Span("r", 0, 4))
    assert array.tobytes() == b"abcd"
    assert mapped() is not None
    del array
    gc.collect()
    assert mapped() is None


def test_unregister(segment: Segment) -> None:
    memory = SharedMemory()
    for name in "abc":
        memory.register(name, segment.name, 0, 10)
    memory.unregister("a")
    memory.unregister("a")
    assert [status.name for status in memory.status()] == ["b", "c"]
    memory.unregister()
    assert memory.status() == ()
    with pytest.raises(RegionNotFound):
        memory.status("b")


def test_who_may_use_it(segment: Segment) -> None:
    for peer, local in (
        ("", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False), ("somewhere", False),
    ):  # fmt: skip
        assert is_local(peer) is local, peer
        for allow, may in ((None, local), (True, True), (False, False)):
            memory = SharedMemory(allow)
            memory.register("r", segment.name, 0, 10)
            regions = PeerRegions(memory, peer)
            if may:
                assert len(regions.view(Span("r", 0, 3))) == 3
            else:
                with pytest.raises(Unsupported, match="allow-client-shm"):
                    regions.view(Span("r", 0, 3))


@pytest.fixture
def owned() -> Iterator[tuple[Path, int]]:
    path = FOLDER / f"{PREFIX}test-{os.getpid()}-{uuid4().hex}"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.ftruncate(lock, SIZE)
    assert own(lock)
    yield path, lock
    path.unlink(missing_ok=True)


def test_a_region_is_forgotten_once_its_owner_is_gone(owned: tuple[Path, int], segment: Segment) -> None:
    path, lock = owned
    memory = SharedMemory()
    memory.register("theirs", f"/{path.name}", 0, SIZE)
    memory.register("of nobody known", segment.name, 0, SIZE)
    assert memory.forget_abandoned() == ()
    view = memory.view(Span("theirs", 0, 10))
    os.close(lock)  # as the system does when a process ends
    assert memory.forget_abandoned() == ("theirs",)
    assert [status.name for status in memory.status()] == ["of nobody known"]
    assert not path.exists()
    assert bytes(view) == bytes(10), "a request that uses it ends first"


def test_a_region_that_its_owner_removed_is_forgotten(owned: tuple[Path, int]) -> None:
    path, lock = owned
    memory = SharedMemory()
    memory.register("theirs", path.name, 0, SIZE)
    path.unlink()
    assert memory.forget_abandoned() == ("theirs",)
    os.close(lock)


def test_owners_are_looked_after_without_being_asked(owned: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = owned
    looked = threading.Event()
    monkeypatch.setattr(sharedmemory, "LOOK_S", 0.001)
    monkeypatch.setattr(sharedmemory, "remove_abandoned", lambda _: looked.set() or True)
    memory = SharedMemory()
    memory.register("theirs", path.name, 0, SIZE)
    assert looked.wait(20)
    os.close(lock)
