"""What providers may not send, or send at the wrong time: none of it reaches another request, and nothing of weir's own is put
where no body is announced."""
import signal
import socket
import ssl
import threading
import time

import pytest
from raw_provider import RawProvider, always, head, whole
from rig import MESSAGE, MESSAGE_STREAM, Client, bearer, configuration, eventually, request

MESSAGES = "/anthropic/v1/messages"
MODELS = "/anthropic/v1/models"
STREAM = "Content-Type: text/event-stream"


@pytest.fixture
def before(start):
    """before(provider): a gateway of one worker in front of it, with a token."""
    def starter(provider, *options, **settings):
        gateway = start(configuration(provider.port, **settings), "--admin", "127.0.0.1:0", *options)
        gateway.token = gateway.add_key()
        return gateway

    return starter


def next_answer(client, gateway, provider):
    """On the same client connection, so of the same worker: whatever came before, this one is answered by its own."""
    own = whole(b'{"its":"own"}')
    if isinstance(provider.play, always):
        provider.play.answer = own  # on a connection that was kept too
    provider.play = always(own)
    return client.send(request("GET", MODELS, bearer(gateway.token))).answer()


@pytest.mark.parametrize("status", [204, 205, 304])
@pytest.mark.parametrize("declared", [[], ["Content-Length: 0"], ["Content-Length: 9"], ["Transfer-Encoding: chunked"]],
                         ids=["nothing", "length 0", "length 9", "chunked"])
def test_a_bodiless_answer_is_never_a_stream(before, status, declared):
    with RawProvider(always(head(status, STREAM, *declared))) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            client.send(request("POST", MESSAGES, bearer(gateway.token), MESSAGE_STREAM))
            found, _, headers = client.head()
            assert found == status, headers
            lengths = [value for name, value in headers if name.lower() == "content-length"]
            assert "transfer-encoding" not in {name.lower() for name, _ in headers}
            # A client reads the body of a 205 by its framing; a 204 has no length at all; that of a 304 is the entity's.
            assert lengths == {204: [], 205: ["0"], 304: [line.split()[1] for line in declared if "Length" in line]}[status]
            # Nothing follows but the next answer, on the same connection.
            answer = next_answer(client, gateway, provider)
            assert (answer.status, answer.body) == (200, b'{"its":"own"}'), answer
        row = gateway.only_row()
        assert (row["outcome"], row["error_type"] or "", row["upstream_status"]) == ("completed", "", status)


def test_a_stream_that_announces_to_be_empty_stays_so(before):
    with RawProvider(always(head(200, STREAM, "Content-Length: 0"))) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            answer = client.send(request("POST", MESSAGES, bearer(gateway.token), MESSAGE_STREAM)).answer()
            assert (answer.status, answer.get("Content-Length"), answer.get("Transfer-Encoding")) == (200, "0", None)
            assert next_answer(client, gateway, provider).body == b'{"its":"own"}'
        row = gateway.only_row()
        assert (row["outcome"], row["error_type"]) == ("upstream_error", "network")


LEFTOVER = whole(b'{"not":"yours"}')
FORBIDDEN = {  # method, path, the client's body, the answer's head, and what comes behind it
    "204 with a length": ("GET", MODELS, None, head(204, f"Content-Length: {len(LEFTOVER)}"), LEFTOVER),
    "204 in chunks": ("GET", MODELS, None, head(204, "Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n"),
    "205 with a length": ("GET", MODELS, None, head(205, "Content-Length: 5"), b"hello"),
    "205 without a length": ("GET", MODELS, None, head(205), LEFTOVER),
    "304 with a length": ("GET", MODELS, None, head(304, f"Content-Length: {len(LEFTOVER)}"), LEFTOVER),
    "HEAD with a length": ("HEAD", MODELS, None, head(200, f"Content-Length: {len(LEFTOVER)}"), LEFTOVER),
    "HEAD in chunks": ("HEAD", MODELS, None, head(200, "Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("what", FORBIDDEN, ids=list(FORBIDDEN))
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
def test_no_connection_is_used_again_that_may_carry_a_forbidden_body(before, what, late):
    method, path, body, answer_head, behind = FORBIDDEN[what]
    next_is_asked = threading.Event()

    def play(connection):
        connection.request()
        connection.send(answer_head if late else answer_head + behind)
        if late:
            next_is_asked.wait(10)
            connection.send(behind)
        connection.ended()

    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            first = client.send(request(method, path, bearer(gateway.token), body)).answer("HEAD")
            assert first.status == int(answer_head.split()[1]), first
            next_is_asked.set()
            answer = next_answer(client, gateway, provider)
            assert (answer.status, answer.body) == (200, b'{"its":"own"}'), answer
        assert [number for number, *_ in provider.requests] == [0, 1], "the second request came on a connection of its own"
        assert gateway.metric('weir_upstream_connections_closed_total{reason="forbidden_body"}') == 1


UNASKED = {"length 0": whole(b""), "a length": whole(), "chunks": head(200, "Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
           "204": head(204)}


@pytest.mark.parametrize("what", UNASKED, ids=list(UNASKED))
@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "apart"])
def test_a_connection_on_which_more_comes_than_was_asked_for_is_closed(before, what, together):
    def play(connection):
        connection.request()
        connection.send(UNASKED[what] + LEFTOVER if together else UNASKED[what])
        if not together:
            first_is_answered.wait(10)
            connection.send(LEFTOVER)
        connection.ended()
        closed.set()

    first_is_answered, closed = threading.Event(), threading.Event()
    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            assert client.send(request("GET", MODELS, bearer(gateway.token))).answer().status in (200, 204)
            first_is_answered.set()
            assert closed.wait(10), "weir closes it without being asked for anything"
            answer = next_answer(client, gateway, provider)
            assert (answer.status, answer.body) == (200, b'{"its":"own"}'), answer
        assert gateway.metric('weir_upstream_connections_closed_total{reason="unasked_bytes"}') == 1


def test_a_sound_connection_is_kept(before):
    answers = [whole(), head(204), head(204, "Content-Length: 0"), head(205, "Content-Length: 0"), head(304), whole(b"")]

    def play(connection):
        for answer in answers:
            connection.request()
            connection.send(answer)
        always(whole())(connection)

    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            for _ in range(len(answers) + 1):
                client.send(request("GET", MODELS, bearer(gateway.token))).answer()
        assert {number for number, *_ in provider.requests} == {0}


# --- HTTP/1.0: only the connection's end tells that an answer is whole ---

def old_request(token, path=MODELS, body=None):
    method = "GET" if body is None else "POST"
    return (f"{method} {path} HTTP/1.0\r\nHost: weir.test\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {len(body or b'')}\r\n\r\n").encode() + (body or b"")


def read_to_the_end(client):
    """What came, and whether the connection ended in order."""
    received = b""
    try:
        while piece := client.socket.recv(65536):
            received += piece
    except (ConnectionResetError, ssl.SSLError):
        return received, False
    return received, True


EVENT = b'event: message_start\ndata: {"type":"message_start"}\n\n'
CUT = {  # what the provider sends before its end; the end of `chunks` and `until close` is a reset
    "a length": head(200, "Content-Type: text/plain", "Content-Length: 99") + b"front",
    "chunks": head(200, "Content-Type: text/plain", "Transfer-Encoding: chunked") + b"5\r\nfront\r\n",
    "until close": head(200, "Content-Type: text/plain") + b"front",
}


@pytest.mark.parametrize("what", CUT, ids=list(CUT))
def test_a_cut_answer_reaches_an_http_1_0_client_as_a_reset(before, what):
    def play(connection):
        connection.request()
        connection.send(CUT[what])
        forwarded.wait(10)
        connection.reset()

    forwarded = threading.Event()
    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            client.send(old_request(gateway.token))
            received = b""
            while not received.endswith(b"front"):
                received += client.socket.recv(65536)
            forwarded.set()
            assert read_to_the_end(client) == (b"", False)


def test_a_broken_stream_reaches_an_http_1_0_client_with_its_error_and_a_reset(before):
    def play(connection):
        connection.request()
        connection.send(head(200, STREAM, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(EVENT), EVENT))

    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            received, orderly = read_to_the_end(client.send(old_request(gateway.token, MESSAGES, MESSAGE_STREAM)))
            assert EVENT in received and received.count(b"event: error\n") == 1
            assert not orderly


def test_over_tls_there_is_no_close_notify(before, certificates):
    def play(connection):
        connection.request()
        connection.send(CUT["chunks"])

    listeners = (f'[[listener]]\nname = "public"\naddress = "127.0.0.1:0"\n[[listener]]\nname = "tls"\naddress = "127.0.0.1:0"\n'
                 f'tls = {{ certificate = "{certificates["valid.pem"]}", key = "{certificates["valid.key"]}" }}\n')
    with RawProvider(play) as provider:
        gateway = before(provider, listeners=listeners)
        context = ssl.create_default_context(cafile=certificates["ca.pem"])
        with Client(gateway.listening["tls"]) as client:
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
            received, orderly = read_to_the_end(client.send(old_request(gateway.token)))
            assert received.endswith(b"\r\n\r\nfront")
            assert not orderly
        provider.play = always(whole())
        with Client(gateway.listening["tls"]) as client:
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)
            received, orderly = read_to_the_end(client.send(old_request(gateway.token)))
            assert received.endswith(b"{}") and orderly


def test_a_whole_answer_ends_in_order_for_an_http_1_0_client(before):
    answers = [head(200) + b"whole", head(200, "Transfer-Encoding: chunked") + b"5\r\nwhole\r\n0\r\n\r\n"]
    with RawProvider(lambda connection: connection.request() and connection.send(answers.pop())) as provider:
        gateway = before(provider)
        for _ in range(2):
            with Client(gateway.address) as client:
                received, orderly = read_to_the_end(client.send(old_request(gateway.token)))
                assert received.endswith(b"\r\n\r\nwhole") and orderly


def test_an_http_1_0_client_that_has_shut_its_side_sees_the_cut_too(before):
    def play(connection):
        connection.request()
        connection.send(CUT["until close"])
        connection.ended()

    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            client.send(old_request(gateway.token))
            assert client.socket.recv(65536).startswith(b"HTTP/1.1 200")
            client.socket.shutdown(socket.SHUT_WR)
            assert not read_to_the_end(client)[1]


def test_what_is_cut_by_the_end_of_the_gateway_is_a_reset_too(before):
    def play(connection):
        connection.request()
        connection.send(CUT["until close"])
        connection.ended()

    with RawProvider(play) as provider:
        gateway = before(provider, "--drain-timeout", "300ms")
        with Client(gateway.address) as client:
            client.send(old_request(gateway.token))
            assert client.socket.recv(65536).startswith(b"HTTP/1.1 200")
            gateway.signal(signal.SIGTERM)
            assert not read_to_the_end(client)[1]


# --- sending again ---

def twice_on_one_connection(gateway, client, body=MESSAGE):
    """An exchange, so that its connection is kept, and the answer to a second."""
    assert client.send(request("POST", MESSAGES, bearer(gateway.token), MESSAGE)).answer().status == 200
    return client.send(request("POST", MESSAGES, bearer(gateway.token), body)).answer()


def keeping_once(connection, then):
    """Answers the first request of the first connection, plays `then` with the second; other connections are sound."""
    if connection.number > 0:
        return always(whole())(connection)
    connection.request()
    connection.send(whole())
    return then()


def test_a_request_that_was_worked_on_is_not_sent_again(before):
    def play(connection):
        def work_and_die():
            connection.request()
            time.sleep(1.2)  # longer than any round trip: the work that must not be paid for twice

        keeping_once(connection, work_and_die)

    with RawProvider(play) as provider:
        gateway = before(provider)
        with Client(gateway.address) as client:
            answer = twice_on_one_connection(gateway, client)
            assert answer.status == 502, answer
        assert [number for number, *_ in provider.requests] == [0, 0]
        row = gateway.row(answer.interception)
        assert (row["attempts"], row["outcome"], row["error_type"]) == (1, "upstream_error", "network")
        assert gateway.metric("weir_upstream_retries_total") == 0
        assert "sent again" not in gateway.log()


@pytest.mark.parametrize("by", ["close", "reset"])
def test_a_request_on_a_connection_that_was_being_ended_is_sent_again(before, by):
    def play(connection):
        def die():
            connection.request()
            if by == "reset":
                connection.reset()

        keeping_once(connection, die)

    with RawProvider(play) as provider:
        gateway = before(provider, "--log-level", "info")
        def sent_again():
            """The answer, if this machine was quick enough: to end 100 ms after the request is to have worked on it."""
            provider.connections.clear()  # the next is number 0 again
            with Client(gateway.address) as client:
                answer = twice_on_one_connection(gateway, client)
            assert answer.status in (200, 502), answer
            return answer if answer.status == 200 else None

        answer = eventually("a request that is sent again", sent_again)
        assert gateway.row(answer.interception)["attempts"] == 2
        line = gateway.log_line("sent again")
        assert f"interception_id={answer.interception}" in line and "provider=anthropic" in line and "reason=" in line
        assert gateway.metric("weir_upstream_retries_total") == 1


def test_a_request_that_was_not_sent_whole_is_sent_again(before):
    def play(connection):
        def read_little_and_die():
            connection.more()
            time.sleep(1.2)  # as above, but the provider cannot have understood the request

        keeping_once(connection, read_little_and_die)

    body = MESSAGE[:-1] + b',"x":"' + b"x" * (8 << 20) + b'"}'  # more than the sockets of both sides hold
    with RawProvider(play, receive_buffer=16 << 10) as provider:
        gateway = before(provider, "--log-level", "info")
        with Client(gateway.address) as client:
            answer = twice_on_one_connection(gateway, client, body)
            assert answer.status == 200, answer
        assert gateway.row(answer.interception)["attempts"] == 2
        assert "before all of the request was sent" in gateway.log_line("sent again")


def test_a_busy_connection_is_not_kept_for_ever(before):
    with RawProvider(always(whole())) as provider:
        gateway = before(provider, "--upstream-age", "2s")
        with Client(gateway.address) as client:
            eventually("a second connection", lambda: client.send(request("GET", MODELS, bearer(gateway.token))).answer() and
                       len(provider.connections) > 1)
        assert len(provider.connections[0].requests) > 1, "it was kept at first"
        assert gateway.metric('weir_upstream_connections_closed_total{reason="age"}') >= 1


# --- uploads ---

def steadily(client, body, rate, seconds):
    """Sends it at so many bytes a second, in many pieces, but no faster than so many seconds for all."""
    piece = max(1, int(rate / 50))
    began = time.monotonic()
    for offset in range(0, len(body), piece):
        if (ahead := offset / rate - (time.monotonic() - began)) > 0:
            time.sleep(ahead)
        client.send(body[offset:offset + piece])
    assert time.monotonic() - began >= seconds


@pytest.mark.parametrize("over", ["tcp", "unix"])
def test_an_upload_that_keeps_the_rate_is_never_cut(start, tmp_path, over):
    """20 times the rate, in receives that take longer than the body timeout each."""
    listeners = f'[[listener]]\nname = "public"\naddress = "127.0.0.1:0"\n[[listener]]\nname = "unix"\naddress = "unix:{tmp_path}/weir.sock"\n'
    with RawProvider(always(whole())) as provider:
        gateway = start(configuration(provider.port, listeners=listeners), "--body-timeout", "2s", "--body-rate", "1KiB")
        token = gateway.add_key()
        body = MESSAGE[:-1] + b',"x":"' + b"x" * 100_000 + b'"}'
        with Client(gateway.listening["public" if over == "tcp" else "unix"]) as client:
            client.send(request("POST", MESSAGES, bearer(token) + [("Content-Length", str(len(body)))]))
            steadily(client, body, 20 << 10, 4)
            assert client.answer().status == 200


def test_an_upload_that_stops_or_is_too_slow_is_still_cut(start):
    with RawProvider(always(whole())) as provider:
        gateway = start(configuration(provider.port), "--body-timeout", "500ms", "--body-rate", "20KiB", "--admin", "127.0.0.1:0")
        token = gateway.add_key()
        head_of = request("POST", MESSAGES, bearer(token) + [("Content-Length", "300000")])
        with Client(gateway.address) as client:
            client.send(head_of + b"x" * 50_000)  # 2.5 s of its rate; then silence
            began = time.monotonic()
            assert client.answer().status == 408
            assert 0.4 < time.monotonic() - began < 2
        with Client(gateway.address) as client:
            client.send(head_of)
            stopped = threading.Event()

            def drip():
                while not stopped.wait(0.05):
                    client.send(b"x" * 50)  # 1 KB/s

            dripping = threading.Thread(target=drip)
            dripping.start()
            assert client.answer().status == 408
            stopped.set()
            dripping.join()
        assert gateway.metric('weir_timeouts_total{kind="body"}') == 2
