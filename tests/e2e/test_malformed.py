"""Request smuggling: what is not strictly HTTP gets 400 and a closed connection, and nothing of it reaches the provider.

Each is sent with a good token and, where the shape allows it, with a second request hidden behind it.
"""
import socket
import threading

import pytest
import rig
from rig import Client, MESSAGE, ask, bearer

POST = b"POST /anthropic/v1/messages HTTP/1.1\r\n"
HOST = b"Host: a\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(MESSAGE)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
BODY = MESSAGE
HIDDEN = b"GET /anthropic/v1/models HTTP/1.1\r\nHost: hidden\r\nAuthorization: Bearer TOKEN\r\n\r\n"


def head(*lines):
    """A request with the token, these lines, and the end of the head."""
    return POST + HOST + b"Authorization: Bearer TOKEN\r\n" + b"".join(lines) + b"\r\n"


def chunks(*parts):
    return head(CHUNKED) + b"".join(parts)


MALFORMED = {
    # two lengths
    "two equal lengths": head(LENGTH, LENGTH) + BODY,
    "two different lengths": head(LENGTH, b"Content-Length: 0\r\n") + BODY,
    "two lengths, other case": head(LENGTH, b"content-length: 5\r\n") + BODY,
    "a list of equal lengths": head(b"Content-Length: 5, 5\r\n") + BODY,
    "a list of different lengths": head(b"Content-Length: 5, 6\r\n") + BODY,
    "a list with an empty member": head(b"Content-Length: 5,\r\n") + BODY,
    # length with chunked
    "length with chunked": head(LENGTH, CHUNKED) + b"0\r\n\r\n" + HIDDEN,
    "chunked with length": head(CHUNKED, LENGTH) + b"0\r\n\r\n" + HIDDEN,
    "length 0 with chunked": head(b"Content-Length: 0\r\n", CHUNKED) + b"0\r\n\r\n" + HIDDEN,
    # bad lengths
    "length with a sign": head(b"Content-Length: +5\r\n") + BODY,
    "negative length": head(b"Content-Length: -5\r\n") + BODY,
    "hexadecimal length": head(b"Content-Length: 0x5\r\n") + BODY,
    "length with a blank inside": head(b"Content-Length: 1 0\r\n") + BODY,
    "length with a fraction": head(b"Content-Length: 5.0\r\n") + BODY,
    "empty length": head(b"Content-Length:\r\n") + BODY,
    "length that overflows 64 bits": head(b"Content-Length: 18446744073709551617\r\n") + BODY,
    "length over 2^63": head(b"Content-Length: 9223372036854775808\r\n") + BODY,
    "length with other digits": head("Content-Length: ٥\r\n".encode()) + BODY,
    # transfer codings
    "unknown coding": head(b"Transfer-Encoding: gzip\r\n") + BODY,
    "gzip, chunked": head(b"Transfer-Encoding: gzip, chunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    "chunked, gzip": head(b"Transfer-Encoding: chunked, gzip\r\n") + b"0\r\n\r\n" + HIDDEN,
    "chunked twice": head(b"Transfer-Encoding: chunked, chunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    "two fields of chunked": head(CHUNKED, CHUNKED) + b"0\r\n\r\n" + HIDDEN,
    "chunked, identity": head(CHUNKED, b"Transfer-Encoding: identity\r\n") + b"0\r\n\r\n" + HIDDEN,
    "identity": head(b"Transfer-Encoding: identity\r\n", LENGTH) + BODY,
    "xchunked": head(b"Transfer-Encoding: xchunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    "chunked with a vertical tab": head(b"Transfer-Encoding: \x0bchunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    "chunked in quotes": head(b'Transfer-Encoding: "chunked"\r\n') + b"0\r\n\r\n" + HIDDEN,
    "chunked with a parameter": head(b"Transfer-Encoding: chunked;q=1\r\n") + b"0\r\n\r\n" + HIDDEN,
    "empty coding": head(b"Transfer-Encoding:\r\n", LENGTH) + BODY,
    "chunked in HTTP/1.0": head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n" + HIDDEN,
    # white space and folding
    "blank before the colon": head(b"Content-Length : 5\r\n") + BODY,
    "tab before the colon": head(b"Transfer-Encoding\t: chunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    "obsolete folding with a blank": head(b"X-A: 1\r\n 2\r\n", LENGTH) + BODY,
    "obsolete folding with a tab": head(b"X-A: 1\r\n\t2\r\n", LENGTH) + BODY,
    "folding as the first line": POST + b" X: 1\r\n" + HOST + LENGTH + b"\r\n" + BODY,
    "folded coding": head(b"Transfer-Encoding:\r\n chunked\r\n") + b"0\r\n\r\n" + HIDDEN,
    # line ends
    "bare LF after the request line": head(LENGTH).replace(b"HTTP/1.1\r\n", b"HTTP/1.1\n") + BODY,
    "bare LF after a header": head(b"X-A: 1\n", LENGTH) + BODY,
    "bare LFs throughout": head(LENGTH).replace(b"\r\n", b"\n") + BODY,
    "bare CR in a value": head(b"X-A: 1\r2\r\n", LENGTH) + BODY,
    "bare CR instead of a line end": head(b"X-A: 1\rX-B: 2\r\n", LENGTH) + BODY,
    "CR CR LF": head(b"X-A: 1\r\r\n", LENGTH) + BODY,
    "LF CR": head(b"X-A: 1\n\r", LENGTH) + BODY,
    "bare LF as the empty line": head(LENGTH)[:-2] + b"\n" + BODY,
    # names and values
    "NUL in a name": head(b"X-\x00A: 1\r\n", LENGTH) + BODY,
    "NUL in a value": head(b"X-A: 1\x002\r\n", LENGTH) + BODY,
    "control byte in a value": head(b"X-A: \x01\r\n", LENGTH) + BODY,
    "DEL in a value": head(b"X-A: \x7f\r\n", LENGTH) + BODY,
    "a line without a colon": head(b"X-A\r\n", LENGTH) + BODY,
    "an empty name": head(b": 1\r\n", LENGTH) + BODY,
    "a blank in a name": head(b"X A: 1\r\n", LENGTH) + BODY,
    "a slash in a name": head(b"X/A: 1\r\n", LENGTH) + BODY,
    "a byte over 127 in a name": head(b"X-\xc3\xa9: 1\r\n", LENGTH) + BODY,
    "a line that is a request": head(b"GET / HTTP/1.1\r\n", LENGTH) + BODY,
    # host
    "no host": head(LENGTH).replace(HOST, b"") + BODY,
    "two hosts": head(HOST, LENGTH) + BODY,
    "a host with a blank": head(LENGTH).replace(HOST, b"Host: a b\r\n") + BODY,
    "a host with a user": head(LENGTH).replace(HOST, b"Host: a@b\r\n") + BODY,
    "a host with a path": head(LENGTH).replace(HOST, b"Host: a/b\r\n") + BODY,
    # request line
    "no version": head(LENGTH).replace(b" HTTP/1.1", b"") + BODY,
    "two blanks before the target": head(LENGTH).replace(b"POST ", b"POST  ") + BODY,
    "a tab before the target": head(LENGTH).replace(b"POST ", b"POST\t") + BODY,
    "two blanks before the version": head(LENGTH).replace(b" HTTP", b"  HTTP") + BODY,
    "a blank at the end of the line": head(LENGTH).replace(b"HTTP/1.1\r\n", b"HTTP/1.1 \r\n", 1) + BODY,
    "lower-case http": head(LENGTH).replace(b"HTTP/1.1", b"http/1.1") + BODY,
    "a version with two digits": head(LENGTH).replace(b"HTTP/1.1", b"HTTP/1.10") + BODY,
    "a method with a colon": head(LENGTH).replace(b"POST ", b"PO:ST ") + BODY,
    "an empty method": head(LENGTH).replace(b"POST ", b" ") + BODY,
    "a blank before the method": b" " + head(LENGTH) + BODY,
    "a control byte in the target": head(LENGTH).replace(b"/v1/", b"/v1\x01/") + BODY,
    "a byte over 127 in the target": head(LENGTH).replace(b"/v1/", b"/v1\xff/") + BODY,
    "a fragment in the target": head(LENGTH).replace(b"messages", b"messages#x") + BODY,
    "a target without a slash": head(LENGTH).replace(b"/anthropic", b"anthropic") + BODY,
    "an asterisk as the target of POST": head(LENGTH).replace(b"/anthropic/v1/messages", b"*") + BODY,
    # chunks
    "chunk size with 0x": chunks(b"0x5\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size with a sign": chunks(b"+5\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "negative chunk size": chunks(b"-5\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size with a blank before": chunks(b" 5\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size with a blank behind": chunks(b"5 \r\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size that overflows": chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "empty chunk size": chunks(b"\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "no hexadecimal chunk size": chunks(b"g\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size ended by LF": chunks(b"5\nhello\r\n0\r\n\r\n", HIDDEN),
    "chunk size ended by CR": chunks(b"5\rhello\r\n0\r\n\r\n", HIDDEN),
    "chunk data ended by LF": chunks(b"5\r\nhello\n0\r\n\r\n", HIDDEN),
    "chunk data longer than its size": chunks(b"5\r\nhello!\r\n0\r\n\r\n", HIDDEN),
    "chunk extension with a bare LF": chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n", HIDDEN),
    "last chunk ended by LF": chunks(b"5\r\nhello\r\n0\n\r\n", HIDDEN),
    "trailers ended by LF": chunks(b"5\r\nhello\r\n0\r\nX: 1\n\r\n", HIDDEN),
}


def test_there_are_enough_of_them():
    assert len(MALFORMED) >= 60


@pytest.mark.parametrize("what", MALFORMED, ids=list(MALFORMED))
def test_malformed(gateway, mock, what):
    with Client(gateway.address) as client:
        client.send(MALFORMED[what].replace(b"TOKEN", gateway.token.encode()))
        answer = client.answer()
        assert answer.status == 400, answer
        assert answer.get("Connection") == "close"
        assert client.ended(), "nothing more is answered on this connection"
    assert mock.requests() == []
    assert mock.state()["requests"] == 0


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/3.0"])
def test_other_versions_are_not_supported(gateway, mock, version):
    with Client(gateway.address) as client:
        client.send(head(LENGTH).replace(b"HTTP/1.1", version).replace(b"TOKEN", gateway.token.encode()) + BODY)
        assert client.answer().status in (400, 505)
        assert client.ended()
    assert mock.state()["requests"] == 0


ANSWERS = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length with chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    "a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n{}",
    "a bare CR": b"HTTP/1.1 200 OK\r\nX: 1\r2\r\nContent-Length: 2\r\n\r\n{}",
    "obsolete folding": b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 2\r\n\r\n{}",
    "blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}",
    "other protocol": b"ICY 200 OK\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 2\r\n\r\n{}",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
}


@pytest.mark.parametrize("what", ANSWERS, ids=list(ANSWERS))
def test_malformed_answers_of_a_provider_are_502(raw_provider, raw_gateway, what):
    raw_provider.answer = ANSWERS[what]
    answer = ask(raw_gateway.address, "POST", "/anthropic/v1/messages", bearer(raw_gateway.token), MESSAGE)
    assert answer.status == 502, answer
    assert answer.json()["error"]["type"] == "api_error"


@pytest.fixture(scope="module")
def raw_provider():
    class Raw:
        answer = b""

        def __init__(self):
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            threading.Thread(target=self.serve, daemon=True).start()

        def serve(self):
            while True:
                try:
                    connection, _ = self.listener.accept()
                except OSError:
                    return
                received = b""
                while not received.endswith(MESSAGE) and (piece := connection.recv(65536)):
                    received += piece
                connection.sendall(self.answer)
                connection.close()

    raw = Raw()
    yield raw
    raw.listener.close()


@pytest.fixture(scope="module")
def raw_gateway(raw_provider, tmp_path_factory):
    process = rig.Weir(tmp_path_factory.mktemp("raw"), rig.configuration(raw_provider.port))
    process.token = process.add_key()
    yield process
    assert process.stop() == 0, process.log()
