"""Google Cloud Storage in memory, for TensorFlow's own ``gs://`` client.

TensorFlow's client knows one address and takes no other. So this is a proxy: it ends the TLS of every host with a
certificate that the client is told to trust, and answers the JSON API itself.
"""

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import pathlib
import re
import socketserver
import ssl
import threading
import urllib.parse
from collections.abc import Iterator

import google_crc32c
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOSTS = ("www.googleapis.com", "storage.googleapis.com", "oauth2.googleapis.com")


class Bucket:
    """The objects of every bucket together.

    Attributes:
      objects: content by name.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.lock = threading.Lock()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: Bucket
    context: ssl.SSLContext

    def log_message(self, *_) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

    def handle_expect_100(self) -> bool:
        told = super().handle_expect_100()
        self.wfile.flush()
        return told

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def _send(self, code: int, value: object = None, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value or {}).encode()
        self.send_response(code)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _about(self, name: str) -> dict[str, str]:
        size = str(len(self.bucket.objects[name]))
        checksum = base64.b64encode(google_crc32c.value(self.bucket.objects[name]).to_bytes(4, "big")).decode()
        about = {"name": name, "size": size, "generation": "1", "updated": "2024-01-01T00:00:00.000Z"}
        return {**about, "crc32c": checksum}

    def _answer(self) -> None:
        url, data = urllib.parse.urlsplit(self.path), self._body()
        asked = dict(urllib.parse.parse_qsl(url.query))
        with self.bucket.lock:
            if self.command in ("POST", "PUT"):
                self._write(asked, data)
            elif url.path.startswith("/storage/v1/") and "/o/" not in url.path:
                self._send(200, self._listing(asked.get("prefix", ""), asked.get("delimiter")))
            else:
                _, _, name = url.path.partition("/o/") if "/o/" in url.path else url.path[1:].partition("/")
                self._read(urllib.parse.unquote(name), about=url.path.startswith("/storage/v1/"))

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _write(self, asked: dict[str, str], data: bytes) -> None:
        if self.command == "POST" and asked["uploadType"] == "resumable":
            self.bucket.uploads.append(asked["name"])
            place = f"https://{_HOSTS[0]}/upload/?upload_id={len(self.bucket.uploads) - 1}"
            return self._send(200, Location=place)
        name = self.bucket.uploads[int(asked["upload_id"])] if self.command == "PUT" else asked["name"]
        if asked.get("ifGenerationMatch") == "0" and name in self.bucket.objects:
            return self._send(412)
        self.bucket.objects[name] = data
        return self._send(200)

    def _listing(self, prefix: str, delimiter: str | None) -> dict[str, list]:
        names = [name for name in sorted(self.bucket.objects) if name.startswith(prefix)]
        rests = [name.removeprefix(prefix) for name in names]
        deep = [bool(delimiter) and delimiter in rest for rest in rests]
        items = [self._about(name) for name, below in zip(names, deep, strict=True) if not below]
        folders = {rest.partition("/")[0] for rest, below in zip(rests, deep, strict=True) if below}
        return {"items": items, "prefixes": [f"{prefix}{folder}/" for folder in sorted(folders)]}

    def _read(self, name: str, *, about: bool) -> None:
        if name not in self.bucket.objects:
            return self._send(404)
        if self.command == "DELETE":
            del self.bucket.objects[name]
            return self._send(204, b"")
        if about:
            return self._send(200, self._about(name))
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["range"]).groups())
        part = self.bucket.objects[name][first : last + 1]
        return self._send(206 if part else 416, part)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def emulated() -> Iterator[tuple[Bucket, dict[str, str]]]:
    """A bucket without objects, and the environment that leads Google's own client, and so Beam, to it."""
    handler = type("Handler", (_Handler,), {"bucket": Bucket()})
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            yield handler.bucket, {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true", "NO_PROXY": "127.0.0.1"}
        finally:
            server.shutdown()


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[tuple[Bucket, dict[str, str]]]:
    """A bucket without objects, and the environment that leads TensorFlow to it.

    Args:
      folder: for the certificate.
    """
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "storage")])
    hosts = [*map(x509.DNSName, _HOSTS), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    (folder / "authority.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(*pem) + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "key.pem")
    handler = type("Handler", (_Handler,), {"bucket": Bucket(), "context": context})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    variables = {
        "HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}",
        "CURL_CA_BUNDLE": str(folder / "authority.pem"),
        "NO_GCE_CHECK": "true",  # else it asks the metadata server of Google's machines who it is
        "NO_PROXY": "",
        "no_proxy": "",
    }
    try:
        yield handler.bucket, variables | {"https_proxy": variables["HTTPS_PROXY"]}
    finally:
        server.shutdown()
        server.server_close()
