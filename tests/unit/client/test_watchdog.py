from __future__ import annotations

import threading

from ganserve.client._transport.watchdog import Watchdog, watching

from .conftest import Connect
from .scripted import ScriptedServer


def test_what_takes_too_long_is_given_up() -> None:
    gave_up = threading.Event()
    with Watchdog().watching(0.05, gave_up.set) as watch:
        assert gave_up.wait(10)
    assert watch.late


def test_what_is_through_in_time_is_left_alone() -> None:
    dog, calls = Watchdog(), list[str]()
    with dog.watching(0.2, lambda: calls.append("first")) as watch:
        pass
    late = threading.Event()
    with dog.watching(0.4, late.set):
        assert late.wait(10)
    assert (calls, watch.late) == ([], False)


def test_a_shorter_wait_is_noticed_during_a_longer_one() -> None:
    dog, short = Watchdog(), threading.Event()
    with dog.watching(1e10, short.clear), dog.watching(0.05, short.set):
        assert short.wait(10)


def test_without_a_bound_nothing_is_started() -> None:
    before = set(threading.enumerate())
    with watching(None, lambda: None) as watch:
        assert set(threading.enumerate()) <= before
    assert not watch.late


def test_any_number_of_streams_need_one_thread(connect: Connect, server: ScriptedServer) -> None:
    before = set(threading.enumerate())
    client = connect(server.address)
    streams = [client.stream(400) for _ in range(4)]
    for stream in streams:
        next(stream)
    for _ in range(99):
        for stream in streams:
            next(stream)
    begun = set(threading.enumerate()) - before
    assert len([thread for thread in begun if "watchdog" in thread.name]) <= 1
    assert not [thread for thread in begun if isinstance(thread, threading.Timer)]
