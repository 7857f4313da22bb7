"""TLS on both sides, with a certificate authority of the tests' own."""
import os
import shutil
import signal
import ssl

import pytest
from rig import (Client, MESSAGE, MESSAGE_STREAM, ask, bearer, configuration, eventually, request)
from tls_front import TlsFront

ANTHROPIC = "/anthropic/v1/messages"


@pytest.fixture
def front(mock, certificates):
    made = []

    def maker(name="valid"):
        made.append(TlsFront(mock.port, certificates[f"{name}.pem"], certificates[f"{name}.key"]))
        return made[-1]

    yield maker
    for one in made:
        one.close()


def behind_tls(front, ca_file, host="localhost"):
    return configuration(1).replace(
        'base_url = "http://127.0.0.1:1"\nkey = { env = "WEIR_TEST_ANTHROPIC" }',
        f'base_url = "https://{host}:{front.port}"\nca_file = "{ca_file}"\nkey = {{ env = "WEIR_TEST_ANTHROPIC" }}')


def trusting(certificates, **settings):
    context = ssl.create_default_context(cafile=str(certificates["ca.pem"]))
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def with_tls(mock_port, certificate, key, workers=1):
    return configuration(mock_port, workers, listeners=f"""[[listener]]
name = "public"
address = "127.0.0.1:0"
tls = {{ certificate = "{certificate}", key = "{key}" }}
""")


# --- towards the provider ---

def test_a_provider_behind_tls(start, mock, front, certificates):
    provider = front()
    gateway = start(behind_tls(provider, certificates["ca.pem"]))
    token = gateway.add_key()
    for body in (MESSAGE, MESSAGE_STREAM):
        answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), body)
        assert answer.status == 200 and answer.complete, answer
        assert gateway.row(answer.interception)["outcome"] == "completed"
    assert provider.names == ["localhost"]
    assert provider.handshakes == 1, "the connection is kept"
    assert all("localhost" in seen.all("Host")[0] for seen in mock.requests())


def test_sessions_are_resumed(start, front, certificates):
    provider = front()
    gateway = start(behind_tls(provider, certificates["ca.pem"]))
    token = gateway.add_key()
    for _ in range(3):  # each on a connection of its own
        answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token) + [("x-mock-framing", "close")], MESSAGE)
        assert answer.status == 200 and answer.complete
    assert (provider.handshakes, provider.resumed) == (3, 2)


@pytest.mark.parametrize("certificate, ca, host, why", [
    ("wrong_host", "ca", "localhost", "name|host"),
    ("expired", "ca", "localhost", "expired"),
    ("self_signed", "ca", "localhost", "self.signed|issuer|trust"),
    ("valid", "self_signed", "localhost", "issuer|trust|unknown"),
])
def test_a_provider_that_cannot_be_trusted_is_502(start, mock, front, certificates, certificate, ca, host, why):
    provider = front(certificate)
    gateway = start(behind_tls(provider, certificates[f"{ca}.pem"], host))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 502, answer
    assert answer.json()["error"]["type"] == "api_error"
    line = gateway.log_line(f"(?i)provider=anthropic.*({why})|({why}).*provider=anthropic")
    assert "127.0.0.1" in line or "localhost" in line, line
    row = gateway.row(answer.interception)
    assert (row["outcome"], row["error_type"], row["upstream_status"]) == ("upstream_error", "network", None)
    assert mock.requests() == []


def test_a_provider_without_tls_behind_https_is_502(start, mock, certificates):
    gateway = start(behind_tls(mock, certificates["ca.pem"]))
    token = gateway.add_key()
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE)
    assert answer.status == 502, answer


# --- towards the client ---

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_listener_with_a_certificate(start, mock, certificates, version, workers):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"], workers))
    context = trusting(certificates, minimum_version=version, maximum_version=version)
    context.set_alpn_protocols(["http/1.1"])
    token = gateway.run("key", "add", "--user", "alice").strip()
    with Client(gateway.address, context) as client:
        def accepted():
            client.send(request("POST", ANTHROPIC, bearer(token), MESSAGE_STREAM))
            answer = client.answer()
            return answer if answer.status == 200 else None
        answer = eventually("the token is accepted", accepted)
        assert client.socket.selected_alpn_protocol() == "http/1.1"
        assert answer.body.endswith(b'{"type":"message_stop"}\n\n')
        large = b'{"model":"m","messages":"' + b"x" * (1 << 20) + b'"}'
        assert client.send(request("POST", ANTHROPIC, bearer(token), large)).answer().status == 200


def test_plaintext_on_a_tls_listener_ends_without_an_answer_from_the_provider(start, mock, certificates):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]))
    with Client(gateway.address) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        while client.file.read1(4096):  # at most a TLS alert
            pass
    assert mock.requests() == []


def test_old_tls_is_refused(start, mock, certificates):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]))
    context = trusting(certificates, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(gateway.address, context)


def test_certificates_are_read_again_at_reload(start, mock, certificates, tmp_path):
    for name, path in (("node.pem", certificates["expired.pem"]), ("node.key", certificates["expired.key"])):
        shutil.copy(path, tmp_path / name)
    gateway = start(with_tls(mock.port, "node.pem", "node.key"))
    with pytest.raises(ssl.SSLCertVerificationError):
        Client(gateway.address, trusting(certificates))
    for name, path in (("node.pem", certificates["valid.pem"]), ("node.key", certificates["valid.key"])):
        shutil.copy(path, tmp_path / f"{name}.new")
        os.replace(tmp_path / f"{name}.new", tmp_path / name)
    gateway.signal(signal.SIGHUP)
    gateway.log_line("configuration reloaded")
    Client(gateway.address, trusting(certificates)).close()


def test_a_certificate_that_cannot_be_read_stops_the_start(start, mock, certificates):
    with pytest.raises(AssertionError) as failed:
        start(with_tls(mock.port, "missing.pem", certificates["valid.key"]))
    assert "missing.pem" in str(failed.value)
