"""Asking over TLS: the address that was checked is called, the name in the address must be in the certificate."""

import asyncio
import datetime as dt
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from events import addresses
from plugins.fetching import FetchFailed, Question, fetch


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"host": "%s"}' % self.headers["Host"].encode())

    def log_message(self, *_):
        pass


def certificate_for(name, folder):
    """The path of a self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    return str(path)


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serves TLS with a certificate for a name, which we trust; the port."""
    servers = []

    def start(name):
        path = certificate_for(name, tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", path)
        addresses._trusted.cache_clear()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Hello)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    addresses._trusted.cache_clear()


def test_the_certificate_is_checked_for_the_name_though_the_address_is_called(serve):
    port = serve("localhost")
    answer = asyncio.run(fetch(Question(f"https://localhost:{port}/")))
    assert answer.json_object() == {"host": f"localhost:{port}"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_for_another_name_is_not_accepted(serve, host):
    port = serve("elsewhere.example")
    with pytest.raises(FetchFailed):
        asyncio.run(fetch(Question(f"https://{host}:{port}/")))
