"""A client that sends many requests at once, without any that kazoo does for each."""

from __future__ import annotations

import socket
import struct


class Raw:
    """One session, by the bytes of the protocol."""

    def __init__(self, port: int, timeout_ms: int = 30_000) -> None:
        """Opens a session."""
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.received = b""
        self.xid = 0
        hello = struct.pack(">iqiqi16s", 0, 0, timeout_ms, 0, 16, bytes(16))
        self.socket.sendall(struct.pack(">i", len(hello)) + hello)
        self._frame()

    def _frame(self) -> bytes:
        while True:
            if len(self.received) >= 4:
                length = struct.unpack(">i", self.received[:4])[0]
                if len(self.received) >= 4 + length:
                    frame = self.received[4 : 4 + length]
                    self.received = self.received[4 + length :]
                    return frame
            more = self.socket.recv(1 << 16)
            assert more, "the server has closed the connection"
            self.received += more

    def get(self, path: str, times: int) -> list[int]:
        """Reads a znode this many times, all sent at once; returns the error codes."""
        name = path.encode()
        body = struct.pack(">i", 4) + struct.pack(">i", len(name)) + name + b"\0"
        requests = b""
        for _ in range(times):
            self.xid += 1
            frame = struct.pack(">i", self.xid) + body
            requests += struct.pack(">i", len(frame)) + frame
        self.socket.sendall(requests)
        first, codes = self.xid - times + 1, []
        for expected in range(first, self.xid + 1):
            xid, _, code = struct.unpack(">iqi", self._frame()[:16])
            assert xid == expected, "replies come in the order of the requests"
            codes.append(code)
        return codes

    def close(self) -> None:
        """Ends the connection."""
        self.socket.close()
