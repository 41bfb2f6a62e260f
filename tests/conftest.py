"""Shared by all tests: verbs as they are typed, small dumps and models, the reference data where it is,
a file server, a cache of the hub."""

import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from dualtail.cli.program import program
from dualtail.outputs import Outputs, OutputsHeader

# Machines differ in speed, and a test that fails must fail again: no deadlines, fixed examples.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
NO_SHARED = "the reference data (../shared) is not here"


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference data that does not come with the project; required if DUALTAIL_REQUIRE names shared."""
    if not SHARED.is_dir():
        if "shared" in os.environ.get("DUALTAIL_REQUIRE", "").split(","):
            pytest.fail(f"required, but {NO_SHARED}")
        pytest.skip(NO_SHARED)
    return SHARED


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What is not compared with the reference data is no dot among dots."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_SHARED in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("NOT TESTED", red=True, bold=True)
        terminalreporter.line(f"{count} tests were skipped: {NO_SHARED}", red=True)


@pytest.fixture(scope="session")
def dualtail() -> Callable[..., Result]:
    """Type a verb: it must pass, or fail with a message."""

    def invoke(*words: object, fails: bool = False) -> Result:
        result = CliRunner().invoke(program, [str(word) for word in words])
        assert (result.exit_code != 0) == fails, result.output
        if fails:
            assert isinstance(result.exception, SystemExit), result.exception
            assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture(scope="session")
def world_clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write weights of the world's small CLIP, random by a seed; `world-vit-8,FILE` names it."""
    folder = tmp_path_factory.mktemp("weights")

    def written(seed: int = 0) -> Path:
        from safetensors.torch import save_file

        from dualtail.foundation.pretraining import build_model
        from dualtail.foundation.spec import ARCHITECTURES

        path = folder / f"random{seed}.safetensors"
        if not path.exists():
            architecture = json.loads((ARCHITECTURES / "world-vit-8.json").read_text())
            state = build_model(architecture, seed).state_dict()
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
        return path

    return written


@pytest.fixture(scope="session")
def make_open_clip() -> Callable[..., Any]:
    """Build open_clip's tower, small, with random weights; for references."""
    import torch
    from open_clip.model import CLIP

    sizes = {"image_size": 8, "patch_size": 4, "width": 16, "layers": 3}
    text = {"width": 8, "heads": 1, "layers": 1, "context_length": 4, "vocab_size": 10}

    def make(quick_gelu: bool = False, seed: int = 0, **changes: object) -> Any:
        vision = {**sizes, "head_width": 8, "mlp_ratio": 2.0, **changes}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            visual = CLIP(6, vision, text, quick_gelu=quick_gelu).visual
            # Fresh towers have zero biases and unit norms, which hide mistakes.
            with torch.no_grad():
                for parameter in visual.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return visual.eval()

    return make


@pytest.fixture(scope="session")
def make_visual(make_open_clip: Callable[..., Any]) -> Callable[..., Any]:
    """Build the same tower as ours."""
    from dualtail.foundation.open_clip_tower import from_open_clip

    return lambda *args, **changes: from_open_clip(make_open_clip(*args, **changes))


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


@pytest.fixture(scope="session")
def outputs_of() -> Callable[..., Outputs]:
    """Make a dump of logits and labels: zero-shot outputs, unless its header is to say something else."""

    def make(logits: np.ndarray, labels: np.ndarray, **header: object) -> Outputs:
        identity: dict[str, object] = {
            "kind": "zero-shot",
            "dataset": "toy",
            "split": "test",
            "split_hash": "h",
            "class_names": [f"class {i}" for i in range(logits.shape[1])],
            "members": ["clip"],
        }
        whole = OutputsHeader.model_validate(identity | header)
        return Outputs(whole, logits, labels, np.arange(len(labels), dtype=np.int64))

    return make


@pytest.fixture
def make_outputs(outputs_of: Callable[..., Outputs]) -> Callable[..., Outputs]:
    """Build a dump of noisy logits around the true class."""

    def make(
        n: int = 40, c: int = 5, d: int | None = 3, seed: int = 0, **header: object
    ) -> Outputs:
        rng = np.random.default_rng(seed)
        labels = np.arange(n, dtype=np.int64) % c
        logits = rng.normal(size=(n, c)) + 2 * (labels[:, None] == np.arange(c))
        tuned = {"kind": "tuned", "peft": "adaptformer", "loss": "la", "seed": 0}
        dump = outputs_of(logits.astype(np.float16), labels, **(tuned | header))
        features = None if d is None else rng.normal(size=(n, d)).astype(np.float16)
        return replace(dump, features=features)

    return make


@dataclass
class FileServer:
    """Serves files on loopback, with the headers of a hub.

    Attributes:
        files: Path -> content; other paths are 404.
        stated: Path -> the SHA-256 that is said of it, where that is a lie.
        requests: Paths of every GET.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    stated: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    port: int = 0

    def url(self, path: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: FileServer

    def do_HEAD(self) -> None:
        content = self.files.files.get(self.path, b"")
        if self.path in self.files.files:
            self.send_response(200)
            stated = self.files.stated.get(self.path, hashlib.sha256(content).hexdigest())
            self.send_header("ETag", f'"{stated}"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()

    def do_GET(self) -> None:
        self.files.requests.append(self.path)
        self.do_HEAD()
        self.wfile.write(self.files.files.get(self.path, b""))

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = FileServer()
    handler = type("BoundHandler", (Handler,), {"files": files})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        files.port = running.server_address[1]
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield files
        running.shutdown()
        thread.join()


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An empty cache of the hub; called, it puts a file there as the hub's library would."""
    import huggingface_hub.constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))

    def put(repository: str, file: str, content: bytes, stated: str = "") -> Path:
        folder = cache / f"models--{repository.replace('/', '--')}"
        blob = folder / "blobs" / (stated or hashlib.sha256(content).hexdigest())
        path = folder / "snapshots" / ("0" * 40) / file
        for parent in (blob.parent, path.parent, folder / "refs"):
            parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs/main").write_text("0" * 40)
        blob.write_bytes(content)
        path.unlink(missing_ok=True)
        path.symlink_to(blob)
        return path

    return put


@pytest.fixture(autouse=True)
def subnormal_numbers() -> Iterator[None]:
    """Lanes flush subnormal numbers to zero in their process; the next test has them again."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)
