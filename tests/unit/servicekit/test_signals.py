"""In processes of their own: signals are for the main thread, and some of these end it."""

import signal
import subprocess
import sys

import pytest

_START = """
import os, random, signal, threading
from servicekit.signals import stop_asked
def send(number):
    os.kill(os.getpid(), number)
"""


def _run(script: str) -> tuple[int, str]:
    command = [sys.executable, "-c", _START + script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_asks_to_stop(name: str) -> None:
    script = f"""
with stop_asked() as stop:
    assert not stop.is_set()
    send(signal.{name})
    stop.wait()
print("stopped")
"""
    assert _run(script) == (0, "stopped\n")


def test_a_signal_that_comes_while_the_main_thread_holds_the_event_s_lock_is_heard() -> None:
    script = """
with stop_asked() as stop:
    with stop._cond:  # as in the middle of stop.wait()
        send(signal.SIGTERM)
    stop.wait()
print("stopped")
"""
    assert _run(script) == (0, "stopped\n")


def test_a_signal_that_comes_at_any_moment_is_heard() -> None:
    script = """
def later(go):
    go.wait()
    for _ in range(random.randrange(200)):
        pass
    send(signal.SIGTERM)

for _ in range(500):
    with stop_asked() as stop:
        go = threading.Event()
        sender = threading.Thread(target=later, args=(go,))
        sender.start()
        go.set()
        stop.wait()
        sender.join()
print("stopped", threading.active_count() < 10)
"""
    assert _run(script) == (0, "stopped True\n")


def test_a_second_interrupt_ends_the_process_even_if_the_main_thread_is_stuck() -> None:
    script = """
with stop_asked() as stop:
    send(signal.SIGTERM)
    stop.wait()
    send(signal.SIGTERM)
    threading.Thread(target=send, args=(signal.SIGINT,)).start()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
"""
    assert _run(script) == (130, "")


def test_another_signal_asks_nothing_and_afterwards_all_is_as_before() -> None:
    script = """
signal.signal(signal.SIGUSR1, lambda *_: print("usr1", flush=True))
before = signal.getsignal(signal.SIGTERM)
with stop_asked() as stop:
    send(signal.SIGUSR1)
    assert not stop.wait(0)
    send(signal.SIGTERM)
    stop.wait()
assert signal.getsignal(signal.SIGTERM) == before
assert signal.set_wakeup_fd(-1) == -1
send(signal.SIGTERM)
"""
    assert _run(script) == (-signal.SIGTERM, "usr1\n")
