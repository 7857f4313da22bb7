"""How a stream ends: what the API said last counts, not what becomes of the connection; and what weir cannot read is passed on as
it comes, and never taken for missing. The provider is a socket that says what a test tells it to."""
import gzip
import json
import queue
import socket
import struct
import threading

import pytest
from rig import Client, bearer, configuration, eventually, query, request, run_client

TEXT = b'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n'
STOP = b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
START = b'data: {"type":"message_start","message":{"id":"m1","usage":{"input_tokens":5,"output_tokens":1}}}\n\n'
APIS = {  # path, request, a stream that is whole, the error event that the API has for a stream
    "messages": ("/anthropic/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
                 START + b'data: {"type":"message_stop"}\n\n',
                 b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n'),
    "chat": ("/openai/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}},
             TEXT + STOP + USAGE + DONE, b'data: {"error":{"message":"busy","code":"server_is_overloaded"}}\n\n'),
    "responses": ("/openai/v1/responses", {"input": "hi"},
                  b'data: {"type":"response.created","response":{"id":"r1"}}\n\n'
                  b'data: {"type":"response.completed","response":{"id":"r1","usage":{"input_tokens":5,"output_tokens":1}}}\n\n',
                  b'event: error\ndata: {"type":"error","code":"server_is_overloaded","message":"busy"}\n\n'),
}


class Provider:
    """One answer for each connection: the pieces that say() is given, until end() says how the connection ends."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.said, self.heads, self.bodies = queue.Queue(), [], []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                head = b"".join(iter(lambda file=file: file.readline(), b"\r\n"))
                size = next(int(l.split(b":")[1]) for l in head.splitlines() if l.lower().startswith(b"content-length:"))
                self.heads.append(head.decode("latin-1"))
                self.bodies.append(file.read(size))
                while isinstance(piece := self.said.get(), bytes):
                    connection.sendall(piece)
                if piece == "reset":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def head(self, *headers, chunked=True):
        lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", *headers] + ["Transfer-Encoding: chunked"] * chunked
        self.said.put("\r\n".join(lines).encode() + b"\r\n\r\n")

    def say(self, *bodies):
        for body in bodies:
            self.said.put(b"%x\r\n%s\r\n" % (len(body), body))

    def end(self, how):
        """"order": the end of the framing; "close", "reset": without it."""
        if how == "order":
            self.said.put(b"0\r\n\r\n")
        self.said.put(how)


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.listener.close()


@pytest.fixture
def gateway(start, provider):
    gateway = start(configuration(provider.port))
    gateway.token = gateway.add_key()
    return gateway


def call(gateway, api, headers=(), **more):
    path, document, _, _ = APIS[api]
    body = json.dumps({"model": "m", "stream": True, **document, **more}).encode()
    client = Client(gateway.address)
    client.send(request("POST", path, [*bearer(gateway.token), *headers], body))
    return client


def whole_answer(gateway, api, **more):
    with call(gateway, api, **more) as client:
        return client.answer()


def check_row(gateway, outcome, error_type, usage):
    row = gateway.only_row()
    assert (row["outcome"], row["error_type"] or "") == (outcome, error_type), row
    rows = query(gateway.database, "SELECT * FROM token_usages")
    assert len(rows) == usage, rows
    return row


@pytest.mark.parametrize("ending", ["order", "close", "reset"])
@pytest.mark.parametrize("api", APIS)
def test_a_stream_whose_last_event_came_is_whole(gateway, provider, api, ending):
    stream = APIS[api][2]
    provider.head()
    provider.say(stream)
    provider.end(ending)
    answer = whole_answer(gateway, api)
    assert (answer.body, answer.complete) == (stream, True)
    check_row(gateway, "completed", "", 1)


@pytest.mark.parametrize("missing", [1, 2])
@pytest.mark.parametrize("api", APIS)
def test_a_last_event_without_its_blank_line_gets_it_where_the_connection_broke(gateway, provider, api, missing):
    stream = APIS[api][2]
    provider.head()
    provider.say(stream[:-missing])
    provider.end("reset")
    answer = whole_answer(gateway, api)
    assert (answer.body, answer.complete) == (stream, True)
    check_row(gateway, "completed", "", 1)


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_said_that_it_failed_is_told_so_once(gateway, provider, api):
    stream = APIS[api][3]
    provider.head()
    provider.say(stream)
    provider.end("reset")
    answer = whole_answer(gateway, api)
    assert (answer.body, answer.complete) == (stream, True)
    row = check_row(gateway, "upstream_error", "overloaded", 0)
    assert row["error_message"] == "busy"


@pytest.mark.parametrize("ending", ["order", "close", "reset"])
@pytest.mark.parametrize("api", APIS)
def test_a_stream_without_its_last_event_ends_with_an_error(gateway, provider, api, ending):
    sent = APIS[api][2].split(b"\n\n")[0] + b"\n\n"
    provider.head()
    provider.say(sent)
    provider.end(ending)
    answer = whole_answer(gateway, api)
    assert answer.complete and answer.body.startswith(sent)
    assert answer.body[len(sent):].count(b"data: ") == 1 and b'"error"' in answer.body[len(sent):]
    check_row(gateway, "upstream_error", "network", api == "messages")


def broken_response(provider):
    sent = b'data: {"type":"response.created","response":{"id":"r1"}}\n\n'
    provider.head()
    provider.say(sent)
    provider.end("reset")
    return sent


def test_codex_hears_of_a_stream_that_broke_off_by_a_failed_response(gateway, provider):
    sent = broken_response(provider)
    with call(gateway, "responses", [("User-Agent", "codex_cli_rs/0.169.0")]) as client:
        answer = client.answer()
    assert answer.complete and answer.body.startswith(sent + b"event: response.failed\ndata: ")
    event = json.loads(answer.body[len(sent):].partition(b"data: ")[2])
    assert event["type"] == "response.failed" and event["response"]["status"] == "failed"
    assert event["response"]["error"] == {"code": "upstream_error", "message": "the connection to the provider was lost"}
    check_row(gateway, "upstream_error", "network", 0)


def test_codex_shows_why_its_stream_broke_off(gateway, provider, tmp_path):
    """Of the event `error` it says nothing but "stream closed before response.completed". It asks again in both cases."""
    broken_response(provider)
    settings = [f"base_url={gateway.url}/openai/v1", "name=weir", "wire_api=responses", "env_key=TOKEN", "stream_max_retries=0"]
    flags = [part for setting in settings for part in ("-c", f"model_providers.weir.{setting}")]
    done = run_client("codex", tmp_path, "exec", "--skip-git-repo-check", "-c", "model_provider=weir", *flags, "hi",
                      TOKEN=gateway.token)
    assert "the connection to the provider was lost" in done.stderr, done
    check_row(gateway, "upstream_error", "network", 0)


@pytest.mark.parametrize("framing", ["chunked", "until the connection ends"])
def test_chat_that_ends_in_order_with_a_finish_reason_needs_no_mark(gateway, provider, framing):
    stream = TEXT + STOP + USAGE
    provider.head(chunked=framing == "chunked")
    if framing == "chunked":
        provider.say(stream)
        provider.end("order")
    else:
        provider.said.put(stream)
        provider.end("close")
    answer = whole_answer(gateway, "chat")
    assert (answer.body, answer.complete) == (stream, True)
    check_row(gateway, "completed", "", 1)


@pytest.mark.parametrize("done", [b"data:  [DONE] \t\n\n", USAGE[:-1] + b"data: [DONE]\n\n"], ids=["blanks", "one event with the usage"])
def test_the_mark_of_chat_is_seen(gateway, provider, done):
    provider.head()
    provider.say(TEXT + USAGE + done)
    provider.end("order")
    answer = whole_answer(gateway, "chat")
    assert (answer.body, answer.complete) == (TEXT + USAGE + done, True)
    check_row(gateway, "completed", "", 1)


UNREADABLE = [["Content-Encoding: deflate"], ["Content-Encoding: gzip, identity"], ["Content-Encoding: utf-8"], ["Content-Encoding: gzip"],
              ["Content-Encoding:  X-Snappy-Framed "], ["Content-Encoding: identity", "Content-Encoding: identity"]]


@pytest.mark.parametrize("headers", UNREADABLE, ids=str)
@pytest.mark.parametrize("ending", ["order", "reset"])
def test_a_stream_in_a_coding_that_is_not_read_ends_as_it_ended(gateway, provider, headers, ending):
    provider.head(*headers)
    provider.say(TEXT + DONE)
    provider.end(ending)
    answer = whole_answer(gateway, "chat", stream_options={})
    assert (answer.body, answer.complete) == (TEXT + DONE, ending == "order")
    if ending == "order":
        check_row(gateway, "completed", "unreadable", 0)
    else:
        check_row(gateway, "upstream_error", "network", 0)


@pytest.mark.parametrize("value", ["identity", "IDENTITY", ""])
def test_a_coding_that_is_none_is_read(gateway, provider, value):
    provider.head(f"Content-Encoding: {value}")
    provider.say(TEXT + USAGE + DONE)
    provider.end("order")
    answer = whole_answer(gateway, "chat", stream_options={})
    assert (answer.body, answer.complete) == (TEXT + DONE, True)
    check_row(gateway, "completed", "", 1)


def test_a_compressed_stream_that_ends_before_its_last_event_is_cut(gateway, provider):
    provider.head("Content-Encoding: gzip")
    provider.say(gzip.compress(TEXT))
    provider.end("order")
    answer = whole_answer(gateway, "chat")
    assert (answer.body, answer.complete) == (gzip.compress(TEXT), False)
    check_row(gateway, "upstream_error", "network", 0)


@pytest.mark.parametrize("event", [b"data: oops\n\n", b"data: " + b"[" * 1001 + b"]" * 1001 + b"\n\n"], ids=["no JSON", "too deep"])
@pytest.mark.parametrize("ending", ["order", "reset"])
def test_a_stream_with_an_event_that_is_not_read_ends_as_it_ended(gateway, provider, event, ending):
    provider.head()
    provider.say(TEXT + event, USAGE)  # it is read, and no longer withheld
    provider.end(ending)
    answer = whole_answer(gateway, "chat", stream_options={})
    assert (answer.body, answer.complete) == (TEXT + event + USAGE, ending == "order")
    if ending == "order":
        check_row(gateway, "completed", "unreadable", 1)
    else:
        check_row(gateway, "upstream_error", "network", 1)


def test_an_event_for_which_there_is_no_memory_is_passed_on_and_no_end(start, provider):
    gateway = start(configuration(provider.port, extra='[limits]\nevent_memory = "64KiB"'))
    gateway.token = gateway.add_key()
    last = b'data: {"type":"message_stop","x":"' + b"x" * 300_000 + b'"}\n\n'
    provider.head()
    provider.say(START, last)
    provider.end("order")
    answer = whole_answer(gateway, "messages")
    assert (answer.body, answer.complete) == (START + last, True)
    check_row(gateway, "completed", "unreadable", 1)


def test_heartbeats_do_not_wait_while_the_usage_is_withheld(gateway, provider):
    with call(gateway, "chat", stream_options=None) as client:
        provider.head()
        assert client.head()[0] == 200
        for line in (b": x\n", b"\n", b"retry: 10\n", b"\r\n", b":"):  # each before the next is sent
            provider.say(line)
            assert client.chunk() == line
        provider.say(b"x\n", TEXT, USAGE + b": y\n", DONE)
        provider.end("order")
        assert b"".join(iter(client.chunk, b"")) == b"x\n" + TEXT + b": y\n" + DONE
    assert json.loads(provider.bodies[0])["stream_options"] == {"include_usage": True}
    check_row(gateway, "completed", "", 1)


@pytest.mark.parametrize("flag", [False, True], ids=["file", "flag"])
def test_usage_is_not_asked_for_where_the_provider_refuses_it(start, provider, flag):
    text = configuration(provider.port)
    if not flag:
        text = text.replace('name = "openai"', 'name = "openai"\ninsert_usage = false')
    gateway = start(text, *(["--set", "provider.openai.insert_usage=false"] if flag else []))
    gateway.token = gateway.add_key()
    provider.head()
    provider.say(TEXT + USAGE + DONE)
    provider.end("order")
    assert whole_answer(gateway, "chat", stream_options=None).body == TEXT + USAGE + DONE
    assert json.loads(provider.bodies[0])["stream_options"] is None


@pytest.mark.parametrize("headers, body, session", [
    ([("X-Weir-Session-Id", "own"), ("session-id", "codex")], {"prompt_cache_key": "key"}, "own"),
    ([("session-id", "codex")], {"prompt_cache_key": "key"}, "codex"),
    ([], {"prompt_cache_key": " key "}, "key"),
    ([], {}, "")], ids=["X-Weir-Session-Id", "the client's header", "the body", "none"])
def test_where_the_session_comes_from(gateway, provider, headers, body, session):
    provider.head()
    provider.say(APIS["responses"][2])
    provider.end("order")
    with call(gateway, "responses", [("User-Agent", "codex_cli_rs/1"), *headers], **body) as client:
        assert client.answer().complete
    assert "x-weir" not in provider.heads[0].lower()
    row = eventually("the record", gateway.only_row)
    assert (row["session_id"] or "", row["client"]) == (session, "Codex")
