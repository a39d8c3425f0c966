from __future__ import annotations

import socket
import threading

import awkward as ak
import numpy as np
import pytest

from sonic.framework import EventRange
from sonic.framework.finished import Finished
from sonic.framework.processes.channel import CONTROL, Channel

TIMEOUT_S = 20.0


@pytest.fixture
def ends():
    here, there = socket.socketpair()
    for end in (here, there):
        end.settimeout(TIMEOUT_S)
    a, b = Channel(here), Channel(there)
    try:
        yield a, b
    finally:
        a.close()
        b.close()


def test_objects_arrive_as_they_were(ends):
    a, b = ends
    for message in ({"a": 1}, None, [b"x" * 1000], "text"):
        a.send(message)
        packed = b.receive()
        assert (packed.tag, packed.open()) == (CONTROL, message)


def test_a_chunk_arrives_with_its_columns_and_no_more_than_they_show(ends):
    a, b = ends
    many = ak.Array([[1.0], [2.0, 3.0], []] * 100_000)
    columns = {
        "x": ak.to_layout(np.arange(300_000.0))[3:6],
        "Jet_pt": many.layout[3:6],
        "s": ak.to_layout(["a", "b", "c"]),
    }
    finished = Finished(EventRange(7, "f.root", 3, 6), None, {"n": 3}, (columns, {}), (3, 3))
    a.send(finished, tag=7)
    packed = b.receive()
    got = packed.open()
    assert packed.tag == 7
    assert len(packed._data) < 10_000
    assert (got.where, got.results, got.events, list(got.columns[1])) == (finished.where, {"n": 3}, (3, 3), [])
    assert {name: ak.to_list(column) for name, column in got.columns[0].items()} == {
        "x": [3, 4, 5],
        "Jet_pt": [[1.0], [2.0, 3.0], []],
        "s": ["a", "b", "c"],
    }


def test_more_than_the_socket_holds(ends):
    a, b = ends
    array = np.arange(5_000_000)
    sender = threading.Thread(target=a.send, args=({"a": array, "b": array[::2].copy()},))
    sender.start()
    try:
        got = b.receive().open()
    finally:
        sender.join(TIMEOUT_S)
    np.testing.assert_array_equal(got["a"], array)
    np.testing.assert_array_equal(got["b"], array[::2])
    assert got["b"].ctypes.data % 16 == 0


def test_messages_of_several_threads_do_not_mix(ends):
    a, b = ends
    threads = [threading.Thread(target=lambda i=i: [a.send(bytes([i]) * 50_000) for _ in range(20)]) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        got = [b.receive().open() for _ in range(80)]
    finally:
        for thread in threads:
            thread.join(TIMEOUT_S)
    assert all(len(set(message)) == 1 for message in got)
    assert sorted(message[0] for message in got) == sorted([0, 1, 2, 3] * 20)


@pytest.mark.parametrize("sent", [b"", b"\x01", b"\x00" * 8 + b"\xff\x00\x00\x00" + b"\x00" * 4 + b"half"])
def test_the_other_end_goes_perhaps_in_the_middle_of_a_message(sent):
    here, there = socket.socketpair()
    with there:
        channel = Channel(here)
        there.sendall(sent)
    with pytest.raises(EOFError):
        channel.receive()
    with pytest.raises(OSError, match="Broken pipe"):
        channel.send("nobody hears")
    channel.shut()
    channel.close()


def test_a_shut_channel_lets_go_of_who_waits_at_it(ends):
    a, b = ends
    ended = []

    def wait():
        try:
            b.receive()
        except EOFError:
            ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    a.shut()
    thread.join(TIMEOUT_S)
    assert ended == [True]


def test_what_cannot_be_pickled(ends):
    with pytest.raises((TypeError, AttributeError)):
        ends[0].send(threading.Lock())
