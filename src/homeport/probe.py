"""Ask one address once, for the health checks of containers: `python -m homeport.probe http://127.0.0.1:5000/ready`.

Exit 0 on a 2xx answer (`tcp://HOST:PORT`: on a connection), else 1 with the reason on stdout, where `docker inspect`
keeps it. It runs every few seconds in every container, so it imports next to nothing.
"""

import socket
import sys

_SECONDS = 5.0
_MOST_READ, _MOST_SHOWN = 65536, 400
_USAGE = "usage: python -m homeport.probe http://HOST:PORT/PATH | tcp://HOST:PORT"


def probe(url: str, timeout: float = _SECONDS) -> str | None:
    """Ask once: None when all is well, else the reason in one line.

    Args:
        url: http://HOST:PORT/PATH or tcp://HOST:PORT.
        timeout: seconds for each of connecting and every piece of the answer.

    Raises:
        ValueError: when that is no such address.
    """
    scheme, address, path = split(url)
    try:
        with socket.create_connection(address, timeout) as connection:
            return None if scheme == "tcp" else _ask(connection, address, path)
    except TimeoutError:
        return f"no answer from {url} in {timeout:g} s"
    except OSError as error:
        return f"{url}: {error.strerror or error}"


def split(url: str) -> tuple[str, tuple[str, int], str]:
    """Scheme, (host, port) and path of an address.

    Raises:
        ValueError: when it is none.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.rpartition(":")
    if scheme not in {"http", "tcp"} or not (separator and colon and host) or not (port.isascii() and port.isdigit()):
        raise ValueError(_USAGE)
    if not (slash + path).isprintable() or " " in path:
        raise ValueError(_USAGE)
    return scheme, (host.strip("[]"), int(port)), f"/{path}"


def _ask(connection: socket.socket, address: tuple[str, int], path: str) -> str | None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    # HTTP/1.0: the answer is not chunked, and its end is the connection's.
    connection.sendall(
        f"GET {path} HTTP/1.0\r\nHost: {host}:{address[1]}\r\nUser-Agent: homeport-probe\r\n\r\n".encode()
    )
    answer = b""
    while len(answer) < _MOST_READ and (piece := connection.recv(_MOST_READ)):
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not status[0].startswith(b"HTTP/") or len(status) == 1:
        return f"GET {path} -> no HTTP: {_short(answer)}"
    if status[1].startswith(b"2") and len(status[1]) == 3:  # noqa: PLR2004 - digits of a status
        return None
    return f"GET {path} -> {status[1].decode('ascii', 'replace')}: {_short(body)}"


def _short(content: bytes) -> str:
    text = " ".join(content.decode("utf-8", "replace").split())
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"


def main(arguments: list[str]) -> int:
    """The program: its exit code."""
    if len(arguments) != 1:
        print(_USAGE)  # noqa: T201 - its output is what it is for
        return 1
    try:
        reason = probe(arguments[0])
    except ValueError as error:
        reason = str(error)
    if reason is None:
        return 0
    print(reason.encode("ascii", "backslashreplace").decode())  # noqa: T201 - as above
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
