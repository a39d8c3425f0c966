from __future__ import annotations

import asyncio
import threading

import pytest

from sonic.server.eventloop import EventLoop, within


def test_coroutines_run_in_its_thread() -> None:
    async def where() -> str:
        return threading.current_thread().name

    loop = EventLoop("loop-of-a-test")
    try:
        assert loop.run(where()) == "loop-of-a-test"
    finally:
        loop.close()


def test_errors_reach_who_waits() -> None:
    async def fails() -> None:
        raise ValueError("so")

    loop = EventLoop()
    try:
        with pytest.raises(ValueError, match="so"):
            loop.run(fails())
    finally:
        loop.close()


def test_what_still_runs_is_cancelled_in_the_end() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def long() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    loop = EventLoop()
    asyncio.run_coroutine_threadsafe(long(), loop.loop)
    assert begun.wait(10)
    loop.close()
    assert ended.is_set()
    loop.close()


def test_who_is_in_the_loop_knows_it() -> None:
    loop = EventLoop()
    try:

        async def inside() -> bool:
            return within(loop.loop)

        assert loop.run(inside())
        assert not within(loop.loop)
    finally:
        loop.close()
