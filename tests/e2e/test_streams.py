"""Streams: nothing waits, nothing piles up, nobody is kept waiting for a client that left; many at once."""
import asyncio
import resource
import time

import pytest
import rig
from rig import (Client, MESSAGE_STREAM, ask, bearer, configuration, eventually, request)

ANTHROPIC = "/anthropic/v1/messages"


def stream(client, token, *controls):
    """The status; the body's chunks are still to be read."""
    return client.send(request("POST", ANTHROPIC, bearer(token) + list(controls), MESSAGE_STREAM)).head()[0]


def test_no_event_waits_for_another(gateway, mock):
    """The mock sends an event only after the client has the one before: one that is held back is a deadlock."""
    with Client(gateway.address) as client:
        assert stream(client, gateway.token, ("x-mock-step", "1"), ("x-mock-events", "5")) == 200
        got = []
        while not got or b"message_stop" not in got[-1]:
            mock.next()
            got.append(client.chunk())
        assert all(event.endswith(b"\n\n") for event in got)
        assert len(got) == 11  # start, block start, ping, 5 deltas, block stop, delta, stop
        assert client.chunk() == b""


@pytest.mark.parametrize("without", ["multishot-receive,multishot-accept,registered-ring",
                                     "multishot-receive,deferred-work,cooperative-work"])
def test_io_uring_s_features_can_be_done_without(start, mock, without):
    gateway = start(configuration(mock.port), "--ring-without", without, "--buffers", "16")
    assert f"ring_without={without}" in gateway.log()
    relay_streams_and_large_bodies(gateway)


def test_a_worker_that_polls_before_it_sleeps(start, mock):
    relay_streams_and_large_bodies(start(configuration(mock.port), "--busy-poll", "1ms"))


def relay_streams_and_large_bodies(gateway):
    token = gateway.add_key()
    for _ in range(2):
        with Client(gateway.address) as client:
            for _ in range(2):  # on a kept connection, and with a body that is received in many pieces
                body = MESSAGE_STREAM.replace(b'"messages"', b'"padding": "' + b"x" * 100_000 + b'", "messages"', 1)
                client.send(request("POST", ANTHROPIC, bearer(token) + [("x-mock-events", "200")], body))
                assert client.head()[0] == 200
                got = b"".join(iter(client.chunk, b""))
                assert got.count(b"content_block_delta\n") == 200 and b"message_stop" in got
    eventually("the records", lambda: len(gateway.rows("outcome = 'completed'")) == 4)


def test_a_client_that_leaves_ends_the_provider_s_work(gateway, mock):
    client = Client(gateway.address)
    assert stream(client, gateway.token, ("x-mock-step", "1")) == 200
    mock.next()
    assert b"message_start" in client.chunk()
    state = mock.state()  # other gateways keep idle connections to the same mock
    assert state["streams"] == 1
    client.close()
    eventually("the provider's connection is closed", lambda: mock.state()["connections"] < state["connections"], patience=1)
    assert mock.state()["broken_off"] == 1
    row = eventually("the record", lambda: gateway.rows("ended_at IS NOT NULL AND outcome = 'client_disconnected'"))[-1]
    assert row["upstream_status"] == 200


def test_a_client_that_leaves_before_the_answer_ends_it_too(gateway, mock):
    client = Client(gateway.address)
    client.send(request("POST", ANTHROPIC, bearer(gateway.token) + [("x-mock-ending", "hang")], MESSAGE_STREAM))
    eventually("the request is there", lambda: mock.state()["requests"] == 1)
    before = mock.state()["connections"]
    client.close()
    eventually("the provider's connection is closed", lambda: mock.state()["connections"] < before, patience=1)


def test_a_slow_client_does_not_grow_memory(start, mock):
    """The provider would send 400 MB; the client reads nothing for a while."""
    gateway = start(configuration(mock.port), binary=rig.WEIR_RELEASE)
    token = gateway.add_key()
    before = gateway.resident_bytes()
    with Client(gateway.address, receive_buffer=16384) as client:
        assert stream(client, token, ("x-mock-events", "100000"), ("x-mock-bytes", "4000")) == 200
        # All of it is at rest once the provider can send no more: its memory is bounded by its own limit, ours is looked at.
        highest, still = 0, time.monotonic() + 2
        while time.monotonic() < still:
            highest = max(highest, gateway.resident_bytes())
            time.sleep(0.05)
        assert highest - before < 16 << 20, f"{(highest - before) >> 20} MiB"
        read = 0
        while piece := client.chunk():
            read += len(piece)
        assert read > 400_000_000
    assert gateway.resident_bytes() - before < 16 << 20


def test_a_client_that_never_reads_is_given_up(start, mock):
    gateway = start(configuration(mock.port, extra='[timeouts]\nsend = "500ms"'))
    token = gateway.add_key()
    with Client(gateway.address, receive_buffer=4096) as client:
        assert stream(client, token, ("x-mock-events", "100000"), ("x-mock-bytes", "4000")) == 200
        eventually("the provider's connection is closed", lambda: mock.state()["streams"] == 0)


class Streams:
    """Many streams at once: `open` counts those that have had an event, `whole` those that ended as they should."""

    def __init__(self, address, token, controls):
        self.host, _, self.port = address.rpartition(":")
        self.bytes = request("POST", ANTHROPIC, bearer(token) + controls, MESSAGE_STREAM)
        self.open, self.whole, self.wrong = 0, 0, []

    async def one(self):
        try:
            reader, writer = await asyncio.open_connection(self.host, int(self.port))
            writer.write(self.bytes)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                self.wrong.append(head[:200])
                return
            await reader.readuntil(b"\n\n")
            self.open += 1
            rest = await reader.readuntil(b"\r\n0\r\n\r\n")
            if b"event: message_stop" in rest:
                self.whole += 1
            else:
                self.wrong.append(rest[-200:])
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            self.wrong.append(repr(error))

    async def run(self, count, at_once):
        """Starts them all; calls at_once() when every one is open."""
        tasks = [asyncio.create_task(self.one()) for _ in range(count)]
        while self.open + len(self.wrong) < count:
            await asyncio.sleep(0.05)
        await asyncio.to_thread(at_once)
        await asyncio.gather(*tasks)


def test_2000_streams_at_once_on_one_worker(start, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 10000:
        pytest.skip(f"the limit of open files is {hard}; 10000 are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    mock = rig.Mock(tmp_path, "--keep", "0", binary=rig.WEIR_RELEASE)
    # 2000 starts within a turn or two of the recorder: more than the rig's small journal takes.
    text = configuration(mock.port).replace('size = "1MiB"', 'size = "16MiB"')
    gateway = start(text, binary=rig.WEIR_RELEASE)
    token = gateway.add_key()
    streams = Streams(gateway.address, token, [("x-mock-step", "1"), ("x-mock-events", "20")])
    count, events = 2000, 26
    mock.next(count)  # the first event of each

    def all_open():
        assert mock.state()["streams"] == count
        mock.next(count * (events - 1))

    asyncio.run(streams.run(count, all_open))
    assert streams.wrong == []
    assert streams.whole == count
    rows = eventually("every record", lambda: (
        rows if len(rows := gateway.rows("ended_at IS NOT NULL")) == count else None))
    assert {row["outcome"] for row in rows} == {"completed"}
    assert mock.stop() == 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_streams_survive_a_mixed_load_on_two_workers(start, mock):
    gateway = start(configuration(mock.port, workers=2))
    token = gateway.add_key()
    streams = Streams(gateway.address, token, [("x-mock-gap", "2ms"), ("x-mock-events", "30")])
    asyncio.run(streams.run(100, lambda: None))
    assert (streams.whole, streams.wrong) == (100, [])
    assert ask(gateway.address, "GET", "/nowhere", bearer(token)).status == 404
