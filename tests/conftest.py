"""Shared by all tests: small dumps, the reference data where it is, a file server that misbehaves."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from dualtail.outputs import Outputs, OutputsHeader

# Machines differ in speed, and a test that fails must fail again: no deadlines, fixed examples.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that does not come with the project."""
    if not SHARED.is_dir():
        pytest.skip("the reference data (../shared) is not here")
    return SHARED


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process runs; one that is dead and that nobody has waited for does not."""

    def is_alive(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    return is_alive


@pytest.fixture
def make_outputs() -> Callable[..., Outputs]:
    """Build a dump of noisy logits around the true class."""

    def make(
        n: int = 40, c: int = 5, d: int | None = 3, seed: int = 0, **header: object
    ) -> Outputs:
        rng = np.random.default_rng(seed)
        labels = np.arange(n, dtype=np.int64) % c
        logits = rng.normal(size=(n, c)) + 2 * (labels[:, None] == np.arange(c))
        identity: dict[str, object] = {
            "kind": "tuned",
            "dataset": "toy",
            "split": "test",
            "split_hash": "h",
            "class_names": [f"class {i}" for i in range(c)],
            "members": ["clip"],
            "peft": "adaptformer",
            "loss": "la",
            "seed": 0,
        }
        return Outputs(
            header=OutputsHeader.model_validate(identity | header),
            logits=logits.astype(np.float16),
            labels=labels,
            image_index=np.arange(n, dtype=np.int64),
            features=None if d is None else rng.normal(size=(n, d)).astype(np.float16),
        )

    return make


Act = Callable[[Any], None]


@dataclass
class FileServer:
    """Serves `content` under every path of loopback; `acts` are done first, one a request.

    Attributes:
        content: The file.
        files: Path -> its own content instead; with any, other paths are 404.
        etag: Its validator; "" for none.
        ranges: Whether Range is honored.
        acts: What the next requests meet instead of the file.
        requests: (path, Range, If-Range) of every request.
        sent: Bytes of bodies sent, one entry a request.
        headers: Sent with every file.
    """

    content: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"v1"'
    ranges: bool = True
    acts: list[Act] = field(default_factory=list)
    requests: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    port: int = 0

    def url(self, path: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_GET(self) -> None:
        self.files.requests.append(
            (self.path, self.headers.get("Range"), self.headers.get("If-Range"))
        )
        self.files.sent.append(0)
        if self.files.acts:
            self.files.acts.pop(0)(self)
        elif self.files.files:
            found = self.files.files.get(self.path)
            self.status(404) if found is None else self.serve(found)
        else:
            self.serve(self.files.content)

    def serve(self, content: bytes, *, cut: int | None = None, claim: int | None = None) -> None:
        """Answer as a good server would; `cut` closes the connection after so many bytes."""
        files = self.files
        start = 0
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked and files.ranges and condition in (None, files.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body) if claim is None else claim))
        if files.etag:
            self.send_header("ETag", files.etag)
        for name, value in files.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        files.sent[-1] = len(body[:cut])
        if cut is not None:
            self.hang_up()

    def status(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    files = FileServer()
    handler = type("BoundHandler", (Handler,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        files.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield files
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Lanes flush subnormal numbers to zero in their process; the next test has them again."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
