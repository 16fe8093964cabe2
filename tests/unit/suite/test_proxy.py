"""The proxy that other tests trust: what it passes on, cuts, and holds back."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.proxy import Proxy


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=[connection], daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1024):
                    connection.sendall(data)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def _has_ended(connection: socket.socket) -> bool:
    """Waits for the end of the connection, whichever way it comes."""
    try:
        return not connection.recv(1)
    except ConnectionError:
        return True


def test_what_is_sent_arrives_both_ways(echo: str) -> None:
    with Proxy(echo) as proxy, _connect(proxy.address) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5, socket.MSG_WAITALL) == b"hello"


def test_a_target_may_be_the_path_of_a_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        with Proxy(str(tmp_path / "socket")) as proxy, _connect(proxy.address) as connection:
            connection.sendall(b"hello")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(5, socket.MSG_WAITALL) == b"hello"


def test_a_cut_breaks_connections_and_new_ones_can_be_made(echo: str) -> None:
    with Proxy(echo) as proxy, _connect(proxy.address) as connection:
        connection.sendall(b"hello")
        connection.recv(5, socket.MSG_WAITALL)
        proxy.cut()
        assert _has_ended(connection)
        with _connect(proxy.address) as again:
            again.sendall(b"again")
            assert again.recv(5, socket.MSG_WAITALL) == b"again"


def test_nothing_passes_while_it_holds(echo: str) -> None:
    with Proxy(echo) as proxy, _connect(proxy.address) as connection:
        proxy.hold()
        connection.sendall(b"hello")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.release()
        connection.settimeout(30)
        assert connection.recv(5, socket.MSG_WAITALL) == b"hello"


def test_a_target_that_is_not_there_breaks_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    with Proxy(nobody) as proxy, _connect(proxy.address) as connection:
        assert _has_ended(connection)
