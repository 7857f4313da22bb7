"""TLS on both sides, with a certificate authority of the tests' own."""
import os
import shutil
import signal
import socket
import ssl
import threading

import pytest
import test_ca
from rig import (PATIENCE, Client, MESSAGE, MESSAGE_STREAM, ask, bearer, configuration, eventually, request)
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


CA, NOT_CA, SIGNS = "basicConstraints=critical,CA:TRUE", "basicConstraints=critical,CA:FALSE", "keyUsage=keyCertSign"
ROOT, LEAF = ("root", None, [CA, SIGNS]), ("leaf", "root", [NOT_CA])
BETWEEN, BELOW = ("between", "root", [CA]), ("leaf", "between", [NOT_CA])
SERVER, BY_SERVER = ("server", "root", [NOT_CA]), ("leaf", "server", [NOT_CA])
CHAINS = {  # what is issued (the last is the server's), what is trusted, whether it is accepted
    "signed by a root": ([ROOT, LEAF], ["root"], True),
    "through an intermediate": ([ROOT, BETWEEN, BELOW], ["root"], True),
    "by a trusted intermediate": ([ROOT, BETWEEN, BELOW], ["between"], True),
    "pinned": ([ROOT, LEAF], ["leaf"], True),
    "pinned, self-signed": ([("leaf", None, [NOT_CA])], ["leaf"], True),
    "by a pinned server": ([ROOT, SERVER, BY_SERVER], ["server"], False),
    "by a pinned server, its root trusted": ([ROOT, SERVER, BY_SERVER], ["root", "server"], False),
    "by a pinned self-signed server": ([("server", None, [NOT_CA]), BY_SERVER], ["server"], False),
    "by one without basicConstraints": ([("root", None, []), LEAF], ["root"], False),
    "through one without basicConstraints": ([ROOT, ("between", "root", []), BELOW], ["root"], False),
    "by a root that must not sign": ([("root", None, [CA, "keyUsage=digitalSignature"]), LEAF], ["root"], False),
    "by a path that is too long": ([("root", None, [CA + ",pathlen:0", SIGNS]), BETWEEN, BELOW], ["root"], False),
}


def python_accepts(chain, key, trusted):
    """The verdict of OpenSSL, told to accept what is pinned."""
    here, there = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_verify_locations(trusted)
    here.verify_flags |= ssl.VerifyFlags(0x80000)  # X509_V_FLAG_PARTIAL_CHAIN
    there.load_cert_chain(chain, key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = here.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = there.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
    return True


def certificates_of(folder, issued, trusted):
    """(the server's chain, its key, what is trusted)"""
    folder.mkdir()
    test_ca.issue_chain(folder, issued)
    for name, parts in (("trusted.pem", trusted), ("chain.pem", [part[0] for part in reversed(issued)])):
        (folder / name).write_text("".join((folder / f"{part}.pem").read_text() for part in parts))
    return folder / "chain.pem", folder / "leaf.key", folder / "trusted.pem"


@pytest.mark.parametrize("issued, trusted, accepted", CHAINS.values(), ids=CHAINS)
def test_only_authorities_sign_and_python_says_the_same(start, mock, tmp_path, issued, trusted, accepted):
    chain, key, anchors = certificates_of(tmp_path / "chain", issued, trusted)
    assert python_accepts(chain, key, anchors) == accepted
    provider = TlsFront(mock.port, chain, key)
    gateway = start(behind_tls(provider, anchors))
    answer = ask(gateway.address, "POST", ANTHROPIC, bearer(gateway.add_key()), MESSAGE)
    assert answer.status == (200 if accepted else 502), answer
    if not accepted:
        assert mock.requests() == [], "the operator's key has gone to nobody"
    provider.close()


def test_the_authorizers_service_is_judged_the_same_way(start, mock, tmp_path):
    chain, key, anchors = certificates_of(tmp_path / "chain", *CHAINS["by a pinned self-signed server"][:2])
    service = TlsFront(mock.port, chain, key)
    gateway = start(configuration(mock.port, extra='[authorizer]\nkind = "http"\n'
                                                   f'url = "https://localhost:{service.port}/"\nca_file = "{anchors}"'))
    assert ask(gateway.address, "POST", ANTHROPIC, bearer("a-token"), MESSAGE).status == 503
    assert "no authority" in gateway.log_line("authorizer_unreachable")
    assert mock.requests() == [], "the token has gone to nobody"
    service.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("certificate, reason", [("self_signed", "UNKNOWN_CA"), ("expired", "CERTIFICATE_EXPIRED"),
                                                 ("wrong_host", "BAD_CERTIFICATE")])
def test_a_provider_hears_why_its_certificate_is_refused(start, certificates, version, certificate, reason):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(certificates[f"{certificate}.pem"], certificates[f"{certificate}.key"])
    reasons = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)

        def serve():
            for _ in range(5):
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    try:
                        context.wrap_socket(connection, server_side=True)
                        reasons.append("accepted")
                    except OSError as error:
                        reasons.append(getattr(error, "reason", str(error)))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        class Place:
            port = listening.getsockname()[1]

        gateway = start(behind_tls(Place, certificates["ca.pem"]))
        token = gateway.add_key()
        for _ in range(5):
            assert ask(gateway.address, "POST", ANTHROPIC, bearer(token), MESSAGE).status == 502
        thread.join(PATIENCE)
    assert len(reasons) == 5 and all(heard.endswith(f"ALERT_{reason}") for heard in reasons), reasons


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


@pytest.mark.parametrize("sent", [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"secret-0815" * 90909,
    b"DELETE /secret-0815 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"CONNECT secret-0815:443 HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
], ids=lambda sent: sent.split(b" ")[0].decode())
@pytest.mark.parametrize("piece", [1 << 20, 1], ids=["whole", "byte by byte"])
def test_plain_http_on_a_tls_listener_is_told_so(start, mock, certificates, sent, piece):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]), "--admin", "127.0.0.1:0")
    with Client(gateway.address) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(sent[:40]) if piece == 1 else len(sent), piece):
            client.send(sent[at:at + piece])
        answer = client.answer()
        assert (answer.status, answer.message()) == (400, "this port speaks TLS: use https://")
        assert answer.get("Connection") == "close" and answer.get("Content-Type") == "application/json"
        assert b"secret-0815" not in answer.body and client.ended()
    assert gateway.metric('weir_refusals_total{reason="plain_http",status="400"}') == 1
    assert gateway.log_line("plain_http") and "secret-0815" not in gateway.log()
    assert mock.requests() == []


@pytest.mark.parametrize("sent", [b"SSH-2.0-x\r\n", b"\0" * 64, b"\x16\x03\x01\x00\x05hello", b"GE", b"get / http\r\n\r\n"])
def test_what_is_neither_tls_nor_http_gets_no_http(start, mock, certificates, sent):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]))
    with Client(gateway.address) as client:
        client.send(sent).socket.shutdown(socket.SHUT_WR)
        said = client.file.read()
        assert len(said) in (0, 7) and said[:1] in (b"", b"\x15"), "nothing, or an alert"


def refused(gateway, context):
    """The reason of the alert that a client hears."""
    with pytest.raises(ssl.SSLError) as error:
        Client(gateway.address, context)
    return error.value.reason or str(error.value)


def test_a_client_hears_why_it_is_refused(start, mock, certificates):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]))
    old = trusting(certificates, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    cipher = trusting(certificates, maximum_version=ssl.TLSVersion.TLSv1_2)
    cipher.set_ciphers("AES128-SHA")
    protocol = trusting(certificates)
    protocol.set_alpn_protocols(["h2"])
    for _ in range(10):  # the alert must not depend on who is quicker
        assert refused(gateway, old) == "TLSV1_ALERT_PROTOCOL_VERSION"
        assert refused(gateway, cipher) in ("SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV1_ALERT_HANDSHAKE_FAILURE")
        heard = refused(gateway, protocol).lower().replace("_", " ")
        assert "alert no application protocol" in heard or "1120" in heard, heard  # the library has a name for it, or none


def test_a_client_hears_of_an_altered_record(start, mock, certificates):
    gateway = start(with_tls(mock.port, certificates["valid.pem"], certificates["valid.key"]))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting(certificates).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with Client(gateway.address) as plain:
        def until_done(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    plain.send(outgoing.read())
                    received = plain.socket.recv(65536)
                    assert received, "the connection ended without an alert"
                    incoming.write(received)

        until_done(client.do_handshake)
        client.write(request("GET", "/anthropic/v1/models"))
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        plain.send(bytes(record))
        with pytest.raises(ssl.SSLError) as error:
            until_done(lambda: client.read(100))
    assert error.value.reason.endswith("ALERT_BAD_RECORD_MAC")


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
