"""Frames between a service and the process of an isolated model: eight bytes of length, then a pickle.

Both ends are ours, on a socket pair that nobody else holds.
"""

from __future__ import annotations

import pickle
import socket
import struct
import threading
from typing import Any

_LENGTH = struct.Struct("!Q")


class Channel:
    """One end. One thread reads, any thread may write."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writing = threading.Lock()

    def send(self, message: Any) -> None:  # noqa: ANN401 - whatever can be pickled
        """Write one frame.

        Raises:
            OSError: the other end is gone.
        """
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        with self._writing:
            self._end.sendall(_LENGTH.pack(len(body)))
            self._end.sendall(body)

    def receive(self) -> Any:  # noqa: ANN401 - whatever was sent
        """Read one frame.

        Raises:
            EOFError: the other end is gone.
        """
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))  # noqa: S301 - our own process wrote it

    def close(self) -> None:
        """End it for both ends, and wake up who reads."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        finally:
            self._end.close()

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            try:
                count = self._end.recv_into(view[done:])
            except OSError as error:
                raise EOFError from error
            if not count:
                raise EOFError
            done += count
        return data
