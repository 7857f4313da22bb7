"""A provider that answers with the bytes that a test gives it: for answers that no honest server makes."""
import contextlib
import re
import socket
import struct
import threading


class RawConnection:
    """One connection as the provider sees it. `number` counts from 0."""

    def __init__(self, accepted, number):
        self.socket, self.number = accepted, number
        self.requests = []  # (head, body)
        self.waiting = b""

    def request(self):
        """The next request as (head, body); None when the other side has ended."""
        while (end := self.waiting.find(b"\r\n\r\n")) < 0:
            if not self.more():
                return None
        head, self.waiting = self.waiting[:end + 4], self.waiting[end + 4:]
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.I)
        size = int(length[1]) if length else 0
        while len(self.waiting) < size:
            if not self.more():
                return None
        body, self.waiting = self.waiting[:size], self.waiting[size:]
        self.requests.append((head, body))
        return self.requests[-1]

    def more(self):
        try:
            received = self.socket.recv(65536)
        except ConnectionError:
            return False
        self.waiting += received
        return bool(received)

    def send(self, data):
        """False: the other side has gone."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            return False
        return True

    def ended(self):
        """Waits until the other side has ended; what it says meanwhile is kept as `waiting`."""
        while self.more():
            pass
        return True

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class RawProvider:
    """Each connection is played by play(RawConnection) on a thread of its own; it is closed when that returns."""

    def __init__(self, play, host="127.0.0.1", port=0, receive_buffer=None):
        self.play = play
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.port = self.listener.getsockname()[1]
        self.connections, self.mistakes = [], []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(RawConnection(accepted, len(self.connections)))
            threading.Thread(target=self.run, args=(self.connections[-1],), daemon=True).start()

    def run(self, connection):
        try:
            self.play(connection)
        except Exception as mistake:  # of the test's own; shown when it ends
            self.mistakes.append(mistake)
        finally:
            connection.socket.close()

    @property
    def requests(self):
        """Of all connections: (number of the connection, head, body)."""
        return [(connection.number, *request) for connection in self.connections for request in connection.requests]

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()
        assert failure[0] is not None or self.mistakes == []


def head(status, *lines):
    return "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode()


def whole(body=b"{}", status=200):
    return head(status, "Content-Type: application/json", f"Content-Length: {len(body)}") + body


class always:
    """For RawProvider: the same answer to every request; it may be changed."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, connection):
        while connection.request():
            connection.send(self.answer)
