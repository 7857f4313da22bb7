"""Spec section 4, over a socket: bytes, framing, connections."""
import re

import pytest
from rig import (CHAT, Client, JSON, MESSAGE, MESSAGE_STREAM, RESPONSES, ask, bearer, configuration, request)

ANTHROPIC = "/anthropic/v1/messages"


def test_the_request_reaches_the_provider_byte_for_byte(gateway, mock):
    body = b'{ "model" : "m",\n "odd spacing": [1 , 2],"messages":[{"role":"user","content":"h\\u00e9llo"}] }'
    kept = [("Zz-First", "1"), ("aNTHROPIC-vERSION", "2023-06-01"), ("x-Stainless-Retry-Count", "0"), ("User-Agent", "t/1")]
    answer = ask(gateway.address, "POST", ANTHROPIC + "?beta=true&x=%2F", bearer(gateway.token) + kept + JSON, body)
    assert answer.status == 200, answer
    seen = mock.only_request()
    assert (seen.method, seen.target) == ("POST", "/v1/messages?beta=true&x=%2F")
    assert [h for h in seen.headers if h in kept + JSON] == kept + JSON
    assert seen.has_body(body)


def test_hop_by_hop_headers_and_those_it_names_are_dropped(gateway, mock):
    hop = [("Connection", "keep-alive, X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=5"), ("TE", "trailers"),
           ("Proxy-Authorization", "x"), ("Proxy-Connection", "keep-alive"), ("Accept-Encoding", "gzip"),
           ("X-Forwarded-For", "10.0.0.1")]
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) + hop, MESSAGE).status == 200
    names = {n.lower() for n, _ in mock.only_request().headers}
    assert not names & {"x-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection", "accept-encoding",
                        "x-forwarded-for"}


def test_passthrough_says_for_whom(gateway, mock):
    headers = bearer(gateway.token) + [("X-Forwarded-For", "10.0.0.1"), ("Accept-Encoding", "gzip")]
    assert ask(gateway.address, "GET", "/anthropic/v1/models?limit=5", headers).status == 200
    seen = mock.only_request()
    assert seen.target == "/v1/models?limit=5"
    assert seen.all("X-Forwarded-For") == ["10.0.0.1, 127.0.0.1"]
    assert seen.all("X-Forwarded-Host") == ["localhost"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("Accept-Encoding") == ["gzip"]


@pytest.mark.parametrize("prefix", ["", "/api/v2/ai-gateway", "/api/v2/aibridge"])
@pytest.mark.parametrize("method, path, target", [
    ("GET", "/anthropic/v1/models/claude-opus-4-8", "/v1/models/claude-opus-4-8"),
    ("POST", "/anthropic/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ("GET", "/openai/v1/models", "/v1/models"),
    ("GET", "/openai/v1/responses/resp_1", "/v1/responses/resp_1"),
    ("POST", "/openai/v1/embeddings", "/v1/embeddings"),
])
def test_passthrough_routes_lead_where_they_should(gateway, mock, prefix, method, path, target):
    answer = ask(gateway.address, method, prefix + path, bearer(gateway.token), b"{}" if method == "POST" else None)
    seen = mock.only_request()
    assert (seen.method, seen.target) == (method, target)
    assert answer.interception is None, "no record, no id"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("path, body", [(ANTHROPIC, MESSAGE), (ANTHROPIC, MESSAGE_STREAM), ("/openai/v1/responses", RESPONSES)])
def test_answers_come_back_byte_for_byte_in_any_framing(gateway, mock, framing, path, body):
    controls = [("x-mock-framing", framing), ("x-mock-interim", "1")]
    through = ask(gateway.address, "POST", path, bearer(gateway.token) + controls, body)
    mock.reset()  # ids count requests
    target = mock.address, "POST", "/v1" + path.partition("/v1")[2]
    direct = ask(*target, controls, body)
    assert (through.status, through.reason) == (200, "OK")
    assert through.complete
    strip = lambda text: re.sub(rb"mock[0-9a-f]{16}", b"mock", text)  # noqa: E731
    assert strip(through.body) == strip(direct.body)
    mine = ("content-length", "transfer-encoding", "connection", "x-weir-interception-id", "request-id", "x-request-id")
    assert [h for h in through.headers if h[0].lower() not in mine] == [h for h in direct.headers if h[0].lower() not in mine]


def test_a_large_answer_and_a_large_request_pass(gateway, mock):
    body = b'{"model":"m","messages":[{"role":"user","content":"' + b"x" * (3 << 20) + b'"}]}'
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) +
                 [("x-mock-events", "1000"), ("x-mock-bytes", "4000")], body)
    assert answer.complete and len(answer.body) > 4_000_000
    assert mock.only_request().has_body(body)
    row = gateway.row(answer.interception)
    assert (row["request_bytes"], row["response_bytes"]) == (len(body), len(answer.body))


def test_a_chunked_request_arrives_whole(gateway, mock):
    with Client(gateway.address) as client:
        client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("Transfer-Encoding", "chunked")]))
        for at in range(0, len(MESSAGE), 7):
            piece = MESSAGE[at:at + 7]
            client.send(b"%X;ext=1\r\n" % len(piece) + piece + b"\r\n")
        client.send(b"0\r\nX-Trailer: dropped\r\n\r\n")
        assert client.answer().status == 200
    seen = mock.only_request()
    assert seen.has_body(MESSAGE)
    assert not seen.all("X-Trailer") and not seen.all("Transfer-Encoding")
    assert seen.all("Content-Length") == [str(len(MESSAGE))]


def test_requests_byte_by_byte_on_one_connection(gateway, mock):
    with Client(gateway.address) as client:
        for byte in request("POST", ANTHROPIC, bearer(gateway.token), MESSAGE) * 2:
            client.send(bytes([byte]))
        assert [client.answer().status for _ in range(2)] == [200, 200]


def test_pipelined_requests_are_answered_in_order(gateway, mock):
    with Client(gateway.address) as client:
        client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-delay", "50ms")], MESSAGE) +
                    request("GET", "/anthropic/v1/models", bearer(gateway.token)) +
                    request("GET", "/nowhere", bearer(gateway.token)) +
                    request("POST", "/openai/v1/chat/completions", bearer(gateway.token), CHAT))
        answers = [client.answer() for _ in range(4)]
    assert [a.status for a in answers] == [200, 200, 404, 200]
    assert answers[0].json()["type"] == "message"
    assert answers[3].json()["object"] == "chat.completion"


def test_expect_continue_is_answered_before_the_body(gateway, mock):
    with Client(gateway.address) as client:
        client.send(request("POST", ANTHROPIC, bearer(gateway.token) +
                            [("Expect", "100-continue"), ("Content-Length", str(len(MESSAGE)))]))
        assert client.head()[0] == 100
        assert client.send(MESSAGE).answer().status == 200
    assert not mock.only_request().all("Expect")


def test_http_1_0_clients_get_an_answer_that_ends_with_the_connection(gateway, mock):
    with Client(gateway.address) as client:
        client.send(b"POST /anthropic/v1/messages HTTP/1.0\r\nAuthorization: Bearer " + gateway.token.encode() +
                    b"\r\nContent-Length: %d\r\n\r\n" % len(MESSAGE_STREAM) + MESSAGE_STREAM)
        answer = client.answer()
        assert answer.status == 200
        assert answer.get("Transfer-Encoding") is None
        assert answer.body.endswith(b'{"type":"message_stop"}\n\n')
        assert client.ended()


def test_connection_close_is_obeyed(gateway):
    with Client(gateway.address) as client:
        answer = client.send(request("GET", "/anthropic/v1/models", bearer(gateway.token) + [("Connection", "close")])).answer()
        assert answer.status == 200
        assert answer.get("Connection") == "close"
        assert client.ended()


def test_head_has_the_head_alone(gateway, mock):
    with Client(gateway.address) as client:
        answer = client.send(request("HEAD", "/anthropic/v1/models", bearer(gateway.token))).answer("HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert client.send(request("GET", "/anthropic/v1/models", bearer(gateway.token))).answer().status == 200


def test_a_pooled_connection_that_died_is_retried_once(start, mock):
    of_others = mock.state()["connections"]
    gateway = start(configuration(mock.port))
    token = gateway.add_key()
    assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 200
    mock.script({"ending": "drop"}, {})
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 200, answer
    assert gateway.row(answer.interception)["attempts"] == 2
    assert mock.state()["connections"] <= of_others + 1


@pytest.mark.parametrize("cut", [0, 1, 30, 400])
def test_a_stream_that_dies_ends_with_one_error_event(gateway, mock, cut):
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-cut", str(cut))], MESSAGE_STREAM)
    assert answer.status == 200
    assert answer.complete
    assert answer.body.count(b"event: error\ndata: ") == 1
    assert answer.body.rstrip().splitlines()[-2] == b"event: error"
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"]) == ("upstream_error", "network")


def test_a_whole_answer_cut_short_stays_recognisable(gateway, mock):
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-cut", "50")], MESSAGE)
    assert answer.status == 200
    assert not answer.complete


def test_rules_of_ones_own_apply(start, mock):
    gateway = start(configuration(mock.port, extra="""[[rule]]
name = "tag the team's traffic"
when = { provider = "anthropic", route = "bridged", auth = "centralized" }
strip = ["x-internal-*"]
set = { "x-team" = "{initiator.username}", "x-for" = "{client.address}" }
[[rule]]
name = "hide"
on = "response"
strip = ["request-id"]
"""))
    token = gateway.add_key("carol")
    headers = bearer(token) + [("X-Internal-Secret", "1"), ("x-team", "forged")]
    answer = ask(gateway.address, "POST", ANTHROPIC, headers, MESSAGE)
    seen = mock.only_request()
    assert (seen.all("x-team"), seen.all("x-for"), seen.all("x-internal-secret")) == (["carol"], ["127.0.0.1"], [])
    assert answer.get("request-id") is None
    mock.reset()
    assert ask(gateway.address, "GET", "/anthropic/v1/models", headers).status == 200
    assert mock.only_request().all("x-team") == ["forged"]
