"""Files, registries and servers of others: what they may not do."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from xrain.cli import app
from xrain.errors import FetchError, ModelError
from xrain.models import download, store, transport
from xrain.models.card import ModelCard
from xrain.models.export import save_model
from xrain.models.registry import Registry, add_to_registry
from xrain.models.transport import TransferError, read_url, require_safe
from xrain.models.trunk import UNetConfig
from xrain.models.unet import ConstellationUNet
from xrain.retrieval.dataset import retrieve
from xrain.testing import fake_swath

CONFIG = UNetConfig(width=4, dilations=(1, 2), hidden=8, pixel=8, pixel_blocks=1, pixel_hidden=8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XRAIN_CACHE_DIR", str(cache))
    monkeypatch.setattr(download, "_BACK_OFF", 0.01)
    return cache


def make_model(folder: Path, name: str = "mine", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    card = ModelCard(name, 1, "A model of others.", CONFIG.to_dict(), CONFIG.edges)
    save_model(folder, card, dict(ConstellationUNet(CONFIG).state_dict()))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "mine")


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change weights, and let the card name their hash."""
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    rehash(folder)


def rehash(folder: Path) -> None:
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    edit(folder, lambda card: card.update(sha256s={"weights.safetensors": digest}))


def edit(folder: Path, change: Callable[[dict], None]) -> None:
    card = json.loads((folder / "card.json").read_text())
    change(card)
    (folder / "card.json").write_text(json.dumps(card))


# ---- weights


def first(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name, t in tensors.items() if t.ndim > 1)


def poison(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    return lambda t: t[first(t)].view(-1)[:1].fill_(value)


def integers(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        tensors[name] = (tensor * 10).long()


def overflowing(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        tensors[name] = torch.full(tensor.shape, 3e38)


def transposed(tensors: dict[str, torch.Tensor]) -> None:
    name = next(n for n, t in tensors.items() if t.ndim == 2 and t.shape[0] != t.shape[1])
    tensors[name] = tensors[name].T.contiguous()


def swapped(tensors: dict[str, torch.Tensor]) -> None:
    """Exchange two tensors of different shapes."""
    a = first(tensors)
    b = next(n for n, t in tensors.items() if t.shape != tensors[a].shape)
    tensors[a], tensors[b] = tensors[b], tensors[a]


def complex_numbers(tensors: dict[str, torch.Tensor]) -> None:
    name = first(tensors)
    tensors[name] = tensors[name].to(torch.complex64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (poison(np.nan), "not finite"),
        (poison(np.inf), "not finite"),
        (poison(-np.inf), "not finite"),
        (overflowing, "no numbers for ordinary"),
        (integers, "no floating-point numbers"),
        (complex_numbers, "not finite|no floating-point"),
        (transposed, "other names or shapes"),
        (swapped, "other names or shapes"),
        (lambda t: t.pop(first(t)), "other names or shapes"),
        (lambda t: t.update(more=torch.zeros(3)), "other names or shapes"),
        (lambda t: t.clear(), "other names or shapes"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_weights_that_cannot_make_rain_are_refused(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], None], message: str
) -> None:
    store.load_model(folder)
    rewrite(folder, change)
    with pytest.raises(ModelError, match=message):
        store.load_model(folder)


def flip(blob: bytes) -> bytes:
    return blob[:-5] + bytes([blob[-5] ^ 4]) + blob[-4:]


@pytest.mark.parametrize("spoil", [flip, lambda b: b[:-7], lambda b: b + b"x", lambda b: b""])
def test_tampered_and_truncated_weights_are_refused(
    folder: Path, spoil: Callable[[bytes], bytes]
) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ModelError, match="SHA-256 differs"):
        store.load_model(folder)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("kind", ["pickle", "torch", "header", "long header", "text"])
def test_what_only_is_called_safetensors_is_refused_and_nothing_runs(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    mark, path = tmp_path / "it-ran", folder / "weights.safetensors"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark)))
    elif kind == "torch":
        torch.save(Bomb(mark), path)
    elif kind == "header":
        header = json.dumps({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}})
        path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + bytes(4))
    elif kind == "long header":
        path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    else:
        path.write_text("no weights")
    rehash(folder)
    with pytest.raises(ModelError, match="no readable weights"):
        store.load_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_file_is_no_weights_and_does_not_hang(folder: Path, kind: str) -> None:
    path = folder / "weights.safetensors"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    begun = time.monotonic()
    with pytest.raises(ModelError, match="no readable weights"):
        store.load_model(folder)
    assert time.monotonic() - begun < 5


def test_a_pipe_is_no_card(folder: Path) -> None:
    (folder / "card.json").unlink()
    os.mkfifo(folder / "card.json")
    with pytest.raises(ModelError, match="no regular file"):
        store.load_card(folder)


@pytest.mark.parametrize("file", ["/dev/zero", "/etc/passwd", "../../x", "a/../../x", ".hidden"])
def test_a_card_names_no_file_outside_its_folder(folder: Path, file: str) -> None:
    edit(folder, lambda card: card.update(sha256s={file: "0" * 64}))
    with pytest.raises(ModelError, match="leaves its folder"):
        store.load_card(folder)


# ---- cards


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", float("inf")),
        ("version", 10**30),
        ("version", True and -1),
        ("name", "../x"),
        ("name", 5),
        ("summary", ["x"]),
        ("sensor", 5),
        ("outliers", "x"),
        ("outliers", {"GMI": {"channels": ["a"], "components": []}}),
        ("outliers", {"GMI": {"channels": ["a"], "components": [{"mean": [1.0]}]}}),
        ("outliers", {"GMI": "x"}),
        ("rates", []),
        ("rates", [0.1, float("nan")]),
        ("rates", [0.1, float("inf")]),
        ("rates", "x"),
        ("rates", [-1.0, 1.0]),
        ("prior", [0.5]),
        ("prior", [-0.5] * 32),
        ("halo", -1),
        ("halo", 10**9),
        ("stride", 10**9),
        ("threshold", float("nan")),
        ("ranges", {"10.65V": [300.0, 100.0]}),
        ("frequency_range", [200.0]),
        ("channels", [{"name": "10.65V", "frequency": "x"}]),
        ("channels", [{"name": "10.65V", "frequency": -3.0}]),
        ("channels", [{"name": "10.65V", "frequency": 10.0, "footprint": [1.0]}]),
        ("channels", 5),
        ("architecture", {"kind": "constellation-unet"}),
        ("architecture", {**CONFIG.to_dict(), "dilations": []}),
        ("architecture", {**CONFIG.to_dict(), "width": 200_000}),
        ("architecture", {**CONFIG.to_dict(), "width": 4096}),
        ("architecture", {**CONFIG.to_dict(), "dilations": [10**9]}),
        ("architecture", {**CONFIG.to_dict(), "pixel_blocks": 10**9}),
        ("architecture", {**CONFIG.to_dict(), "edges": "x"}),
        ("architecture", {"kind": "bayesian-inversion", "errors": {}}),
        ("architecture", {"kind": "of-tomorrow"}),
        ("architecture", [1]),
        ("sha256s", {"weights.safetensors": "short"}),
        ("sha256s", {"a": "0" * 64, "b": "0" * 64}),
    ],
)
def test_no_value_of_a_card_does_harm(folder: Path, key: str, value: object) -> None:
    edit(folder, lambda card: card.update({key: value}))
    begun = time.process_time()
    with pytest.raises(ModelError):
        store.load_model(folder)
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "{" + '"a":{' * 100_000, "1", '{"version": ' + "9" * 5000 + "}", "\xff"]
)
def test_no_text_of_a_card_does_harm(folder: Path, text: str) -> None:
    (folder / "card.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"card\.json"):
        store.load_card(folder)


def test_a_card_too_large_is_refused(folder: Path) -> None:
    edit(folder, lambda card: card.update(extra="x" * (5 << 20)))
    with pytest.raises(ModelError, match="larger than"):
        store.load_card(folder)


# ---- names of the cache's registries, and damaged ones


@pytest.mark.parametrize("name", ["added.json", "registry.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"[]", b"{" * 10_000, b'{"format": 1}', b"x" * 100, b"null"],
)
def test_a_damaged_registry_in_the_cache_stops_nobody(
    own_cache: Path, name: str, content: bytes
) -> None:
    own_cache.mkdir()
    (own_cache / name).write_bytes(content)
    with pytest.warns(RuntimeWarning, match=f"{name}.*its models are left out"):
        names = store.list_models()
    assert "gmi-unet" in names
    assert store.load_card("gmi-unet").sensor == "GMI"


def test_a_pipe_in_the_cache_stops_nobody(own_cache: Path) -> None:
    own_cache.mkdir()
    os.mkfifo(own_cache / "added.json")
    with pytest.warns(RuntimeWarning, match="no regular file"):
        assert "gmi-unet" in store.list_models()


@pytest.mark.parametrize(
    "entry",
    [
        {"card": "x", "weights": []},
        {"card": {"path": "c", "sha256": "0" * 64, "size": -1}, "weights": []},
        {"card": {"path": "c", "sha256": "0" * 64, "size": 1 << 60}, "weights": []},
        {"card": {"path": "c", "sha256": "0" * 64, "size": 1}, "weights": 5},
    ],
)
@pytest.mark.parametrize(("name", "version"), [("x", "1"), ("x y", "1"), ("x", "0"), ("x", "-1")])
def test_a_bad_entry_is_refused(entry: dict, name: str, version: str) -> None:
    values = {"format": 1, "models": {name: {version: entry}}}
    with pytest.raises(ModelError, match="broken"):
        Registry.from_json(json.dumps(values), "test")


# ---- servers


@dataclasses.dataclass
class Answer:
    """What a server does with every request."""

    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    parts: Callable[[], Iterator[bytes]] = lambda: iter([b"good"])


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    running = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                try:
                    for part in answer.parts():
                        self.wfile.write(part)
                        self.wfile.flush()
                except OSError:
                    pass  # the client has had enough

            def log_message(self, *_: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        running.append(http)
        return f"http://127.0.0.1:{http.server_port}"

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


def forever(part: bytes, pause: float) -> Callable[[], Iterator[bytes]]:
    def parts() -> Iterator[bytes]:
        begun = time.monotonic()
        while time.monotonic() - begun < 20:
            yield part
            time.sleep(pause)

    return parts


def read(url: str, most: int = 1000) -> bytes:
    out: list[bytes] = []
    read_url(url, out.append, most)
    return b"".join(out)


def test_a_good_answer_is_read(serve) -> None:
    assert read(serve(Answer())) == b"good"


def test_an_endless_answer_is_broken_off(serve) -> None:
    url = serve(Answer(parts=forever(b"x" * 65536, 0.0)))
    with pytest.raises(TransferError, match="more than 1000 bytes"):
        read(url)


def test_a_compressed_answer_counts_as_what_it_becomes(serve) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    url = serve(Answer(headers={"Content-Encoding": "gzip"}, parts=lambda: iter([bomb])))
    with pytest.raises(TransferError, match="more than 1000 bytes"):
        read(url)


def test_an_answer_of_single_bytes_is_too_slow(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PATIENCE", 0.5)
    url = serve(Answer(parts=forever(b"x", 0.02)))
    begun = time.monotonic()
    with pytest.raises(TransferError, match="too slow"):
        read(url)
    assert time.monotonic() - begun < 5


def test_a_server_that_never_begins_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        begun = time.monotonic()
        with pytest.raises(TransferError, match="too slow"):
            read(f"http://127.0.0.1:{mute.getsockname()[1]}/x")
    assert time.monotonic() - begun < 5


def test_redirections_end_and_stay_safe(serve) -> None:
    good = serve(Answer())
    assert read(serve(Answer(302, {"Location": good}))) == b"good"
    with pytest.raises(TransferError, match="redirects without end"):
        read(serve(Answer(302, {"Location": "/again"})))
    for elsewhere in ("http://weights.example.org/x", "file:///etc/passwd", "ftp://127.0.0.1/x"):
        with pytest.raises(TransferError, match=r"not encrypted|neither https"):
            read(serve(Answer(302, {"Location": elsewhere})))


def test_plain_http_is_for_this_machine_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        "https://a.org/x",
        "http://127.0.0.1:8000/x",
        "http://localhost/x",
        "http://[::1]/",
    ):
        require_safe(url)
    for url in ("http://a.org/x", "http://127.0.0.1.a.org/", "http://localhost.a.org", "http://2/"):
        with pytest.raises(TransferError, match="XRAIN_ALLOW_HTTP"):
            require_safe(url)
    with pytest.raises(FetchError, match="not encrypted"):
        store.add_models("http://weights.example.org/xrain")
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", "http://weights.example.org/xrain")
    with pytest.raises(FetchError, match="not encrypted"):
        store.find_model("nowhere-unet")
    monkeypatch.setenv("XRAIN_ALLOW_HTTP", "1")
    require_safe("http://a.org/x")


@pytest.mark.parametrize("value", ["1", "true", "YES", "on", "2", "y", "anything", " 1 "])
def test_offline_fails_closed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("XRAIN_OFFLINE", value)
    assert download.is_offline()


@pytest.mark.parametrize("value", ["", "0", "false", "No", "OFF", " 0 "])
def test_only_a_clear_no_is_online(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("XRAIN_OFFLINE", value)
    assert not download.is_offline()


@pytest.mark.parametrize("size", [-1, 1])
def test_a_wrong_size_in_a_registry_is_told(tmp_path: Path, size: int) -> None:
    root = tmp_path / "published"
    make_model(root / "far-1", "far")
    add_to_registry(root / "registry.json", root, root / "far-1")
    values = json.loads((root / "registry.json").read_text())
    values["models"]["far"]["1"]["weights"][0]["size"] += size
    (root / "registry.json").write_text(json.dumps(values))
    with pytest.raises(FetchError, match="another size"):
        store.add_models(root)
    assert "far" not in store.list_models()


# ---- processes that end in the middle


def test_a_kill_in_mid_download_leaves_a_good_cache(tmp_path: Path, own_cache: Path, serve) -> None:
    root = tmp_path / "published"
    make_model(root / "far-1", "far")
    add_to_registry(root / "registry.json", root, root / "far-1")
    blob = (root / "far-1" / "weights.safetensors").read_bytes()
    waiting = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (root / self.path.lstrip("/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.path.endswith("safetensors") and not waiting.is_set():
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                waiting.set()
                time.sleep(20)
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{http.server_port}"
        code = f"from xrain.models.store import add_models; add_models({url!r})"
        run = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ))
        assert waiting.wait(60)
        time.sleep(0.3)
        run.send_signal(signal.SIGKILL)
        run.wait()
        assert not (own_cache / "far-1" / "weights.safetensors").exists()
        assert "far" not in store.list_models()
        store.add_models(url)
        http.shutdown()
    assert (own_cache / "far-1" / "weights.safetensors").read_bytes() == blob
    left = {p.name for p in own_cache.rglob("*") if p.is_file() and p.suffix != ".lock"}
    assert left == {"added.json", "card.json", "weights.safetensors"}
    assert store.load_model("far").card.id == "far@1"


# ---- an accepted model makes rain


def test_a_model_that_is_accepted_gives_numbers(folder: Path) -> None:
    ds = fake_swath("SSMI", 12, 10)
    rain = retrieve(ds, str(folder))
    assert isinstance(rain, xr.Dataset)
    assert np.isfinite(rain["surface_precip"]).all()


# ---- what a terminal would obey

EVIL = "\x1b]52;c;ZXZpbA==\x07 \x9b31m \x08\r [/nope] [bold red]x[/] \u202etxt.exe"


def run_cli(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_cards_of_others_say_nothing_to_a_terminal(tmp_path: Path) -> None:
    root = tmp_path / "published"
    make_model(root / "far-1", "far")
    change = {"summary": EVIL, "limits": [EVIL], "licence": EVIL, "training": {EVIL: EVIL}}
    edit(root / "far-1", lambda card: card.update(change))
    add_to_registry(root / "registry.json", root, root / "far-1")
    said = run_cli("models", "add", str(root)) + run_cli("models", "list")
    said += run_cli("models", "show", "far") + run_cli("models", "show", "far", "--json")
    assert "[/nope] [bold red]x[/]" in said
    assert not set("\x1b\x9b\x07\x08\r\u202e") & set(said)


def test_headers_of_granules_say_nothing_to_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "evil.nc"
    ds = fake_swath("SSMI", 8, 6)
    ds = retrieve(ds, str(make_model(tmp_path / "mine"))).assign_attrs(granule=EVIL, sensor=EVIL)
    ds.to_netcdf(path, engine="h5netcdf")
    said = run_cli("info", str(path))
    assert "[/nope]" in said
    assert not set("\x1b\x9b\x07\x08\r\u202e") & set(said)
