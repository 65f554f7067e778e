"""The loopback network, the only one that the emulator uses: its address and ports."""

import socket

LOOPBACK = "127.0.0.1"


class PortTaken(OSError):
    """A requested port cannot be used; the message says which and why."""


def free_port() -> int:
    """Return an unused port that the system assigns to no other program for the next minute.

    The side that closes a connection first keeps its port in TIME_WAIT: a program that requests any free port gets
    another one, a program that names this port (with SO_REUSEADDR, as servers do) gets it.
    """
    with socket.create_server((LOOPBACK, 0)) as server:
        port = int(server.getsockname()[1])
        with socket.create_connection((LOOPBACK, port)):
            server.accept()[0].close()
    return port


def listen(port: int) -> socket.socket:
    """Return a socket bound to `port`, or to a free one for 0. Raises `PortTaken`."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"port {port} cannot be used ({error.strerror}): choose another port, or 0 for a free one "
            "(make supabase: ARGS='--port 0')"
        ) from None
    return listening


def free_or_other(preferred: int) -> int:
    """Return `preferred` if it is free, else a free port."""
    try:
        listen(preferred).close()
    except PortTaken:
        return free_port()
    return preferred
