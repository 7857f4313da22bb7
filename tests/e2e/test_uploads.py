"""Request bodies that come slowly, late or not at all: whose bytes reach whom."""
import json

import pytest
import rig
from rig import JSON, Client, bearer, configuration, request

SIZE = 200_000


def upload(user, fill):
    """A body of SIZE bytes: a prompt of one letter, of which each user has another."""
    frame = json.dumps({"model": "claude-opus-4-8", "max_tokens": 64, "messages": [{"role": "user", "content": ""}], "metadata": {"user_id": user}})
    return frame.replace('"content": ""', f'"content": "{fill * (SIZE - len(frame))}"').encode()


def taken_by(gateway):
    """Whether the gateway has taken all that its clients have sent: nothing waits in a receive queue or on its way there."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    port = f":{gateway.port:04X}"
    at_gateway = [row[4].split(":")[1] for row in rows if row[1].endswith(port) and row[3] != "0A"]  # to be received; no listener
    on_the_way = [row[4].split(":")[0] for row in rows if row[2].endswith(port)]
    return bool(at_gateway) and all(int(size, 16) == 0 for size in at_gateway + on_the_way)


@pytest.fixture
def one_worker(start, mock):
    gateway = start(configuration(mock.port), "--body-timeout", "1s")
    gateway.token = gateway.add_key()
    return gateway


@pytest.mark.parametrize("late", [SIZE - 3000, 100_000, 17_000, 1], ids=lambda size: f"{size}bytes")
def test_what_is_sent_after_a_refusal_reaches_nobody(one_worker, mock, late):
    """A body that stops coming is refused with 408. What its client sends then must not be in the next user's request."""
    mine, other = upload("mallory", "M"), upload("ann", "A")
    head = [*bearer(one_worker.token), *JSON]
    with Client(one_worker.address) as slow, Client(one_worker.address) as next_user:
        slow.send(request("POST", "/anthropic/v1/messages", head, mine)[:-late])
        assert slow.answer().status == 408
        # All but the end: what is written over it from now on stays.
        whole = request("POST", "/anthropic/v1/messages", head, other)
        next_user.send(whole[:-1])
        rig.eventually("the other's body is being received", lambda: taken_by(one_worker))
        slow.send(mine[-late:])
        rig.eventually("what came late was taken too", lambda: taken_by(one_worker))
        next_user.send(whole[-1:])
        answer = next_user.answer()
    assert answer.status == 200, answer
    assert mock.only_request().has_body(other)
    row = one_worker.row(answer.interception)
    prompts = rig.query(one_worker.database, "SELECT prompt FROM user_prompts WHERE interception_id = ?", row["id"])
    assert set(prompts[0]["prompt"]) == {"A"}


def test_a_client_that_leaves_inside_its_body_leaves_nothing_behind(one_worker, mock):
    """Each goes while the kernel may still write what it has sent into its body."""
    head = [*bearer(one_worker.token), *JSON]
    body = upload("ann", "A")
    for size in range(20_000, SIZE, 20_000):
        with Client(one_worker.address) as leaving:
            leaving.send(request("POST", "/anthropic/v1/messages", head, upload("mallory", "M"))[:size])
    for _ in range(4):
        with Client(one_worker.address) as client:
            assert client.send(request("POST", "/anthropic/v1/messages", head, body)).answer().status == 200
    assert all(seen.has_body(body) for seen in mock.requests())


def test_a_drain_inside_a_body_ends_it(start, mock):
    """The shutdown's deadline passes while the kernel waits for a body: nothing is written to memory that was given back."""
    gateway = start(configuration(mock.port), "--drain-timeout", "1s")
    gateway.token = gateway.add_key()
    head = [*bearer(gateway.token), *JSON]
    with Client(gateway.address) as client:
        client.send(request("POST", "/anthropic/v1/messages", head, upload("ann", "A"))[:50_000])
        rig.eventually("the body is being received", lambda: taken_by(gateway))
        assert gateway.stop() == 0, gateway.log()
        client.send(b"A" * 100_000)
    assert mock.requests() == []
