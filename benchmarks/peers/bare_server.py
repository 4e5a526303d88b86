"""The bare application in as many processes as asked for, one socket each: `bare_server.py PORT WORKERS`."""

import os
import socket
import sys

import uvicorn

if __name__ == "__main__":
    port, workers = int(sys.argv[1]), int(sys.argv[2])
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    sys.path.insert(0, os.path.dirname(__file__))  # noqa: PTH120 - a peer needs nothing of ours
    config = uvicorn.Config("bare_app:app", http="httptools", loop="uvloop", log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
