from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from xrain.errors import FetchError, ModelError, OutputError
from xrain.models import download, store
from xrain.models.card import ModelCard
from xrain.models.export import save_model, save_tensors
from xrain.models.registry import Registry, add_to_registry
from xrain.models.trunk import UNetConfig
from xrain.models.unet import ConstellationUNet

CONFIG = UNetConfig(4, (1, 2), hidden=8)


def make_card(name: str, version: int = 1) -> ModelCard:
    architecture = {"kind": "constellation-unet", **CONFIG.to_dict()}
    return ModelCard(name, version, "A tiny model for tests.", architecture, CONFIG.edges)


def make_tensors(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(ConstellationUNet(CONFIG).state_dict())


@dataclass
class Server:
    """A real server on the loopback interface, with faults on demand."""

    root: Path
    url: str = ""
    faults: dict[str, list[str]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    delay: float = 0.0


def make_handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            server.seen.append(name)
            time.sleep(server.delay)
            faults = server.faults.get(name, [])
            fault = faults.pop(0) if faults else ""
            file = server.root / self.path.lstrip("/")
            if fault.isdigit() or not file.is_file():
                self.send_error(int(fault or 404))
                return
            body = file.read_bytes()
            if fault == "damaged":
                body = body[:-1] + bytes([body[-1] ^ 1])
            self.send_response(200)
            if fault != "silently cut":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if "cut" in fault else body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[object]:
    """Start servers; each publishes far@1, far@2 and near@1, all on one trunk, under a folder."""
    running = []

    def start(name: str = "server") -> Server:
        server = Server(tmp_path / name)
        trunk = save_tensors(server.root / "trunk-1.safetensors", make_tensors(0))
        for model, version in (("far", 1), ("far", 2), ("near", 1)):
            tensors = make_tensors(0)
            last = list(tensors)[-1]
            tensors[last] = tensors[last] + version
            folder = server.root / f"{model}-{version}"
            save_model(folder, make_card(model, version), tensors, trunk=trunk)
            add_to_registry(server.root / "registry.json", server.root, folder)
        http = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(server))
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        running.append(http)
        return server

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


@pytest.fixture
def server(new_server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """One server, set as the only one, whose registry this package knows."""
    server = new_server()
    monkeypatch.setattr(store, "REGISTRY_FILE", server.root / "registry.json")
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", server.url)
    return server


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XRAIN_CACHE_DIR", str(cache))
    monkeypatch.setattr(store, "PACKAGED", tmp_path / "packaged")
    monkeypatch.setattr(download, "_BACK_OFF", 0.01)
    return cache


def files_below(folder: Path) -> set[str]:
    paths = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock")
    return {p.relative_to(folder).as_posix() for p in paths}


# ---- what the package itself holds


def test_the_packaged_registry_and_its_files_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    registry = Registry.read(store.REGISTRY_FILE)
    for entry in registry.entries.values():
        assert store.is_at_hand(entry), entry.id
        assert store.load_card(entry.id).id == entry.id
    total = sum(p.stat().st_size for p in store.PACKAGED.rglob("*") if p.is_file())
    assert total <= 60e6


# ---- a good server


def test_a_model_is_fetched_once_and_verified(server: Server, own_cache: Path) -> None:
    files = store.fetch_model("far@1")
    assert files.card == own_cache / "far-1" / "card.json"
    for path in (files.card, *files.weights):
        assert path.read_bytes() == (server.root / path.relative_to(own_cache)).read_bytes()
    assert len(server.seen) == 3
    store.fetch_model("far@1")
    assert len(server.seen) == 3


def test_a_shared_trunk_is_fetched_once_for_two_models(server: Server) -> None:
    store.fetch_model("far")
    store.fetch_model("near")
    assert server.seen.count("trunk-1.safetensors") == 1


def test_the_newest_version_is_taken_unless_one_is_named(server: Server) -> None:
    assert store.load_model("far").card.version == 2
    assert store.load_model("far@1").card.version == 1
    assert store.list_models() == ["far", "near"]


def test_the_network_has_the_weights_that_were_saved(server: Server) -> None:
    model = store.load_model("far@2")
    expected = make_tensors(0)
    last = list(expected)[-1]
    expected[last] = expected[last] + 2
    state = model.network.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor.half().float(), rtol=0, atol=0)
    assert model.reference == "far@2"


def test_packaged_files_need_no_server(
    server: Server, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PACKAGED", server.root)
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    monkeypatch.delenv("XRAIN_WEIGHTS_URL")
    assert store.load_model("near").card.name == "near"
    assert server.seen == []
    assert files_below(own_cache) == set()


def test_a_damaged_cache_is_fetched_again(server: Server) -> None:
    path = store.fetch_model("near").weights[-1]
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    assert not store.is_at_hand(store.find_model("near"))
    assert store.fetch_model("near").weights[-1].read_bytes() == good


def test_progress_is_drawn_on_standard_error(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    store.fetch_model("near", progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "near@1 weights.safetensors" in err


# ---- faults


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("damaged", "SHA-256 than published"),
        ("cut", "broke off|no connection|SHA-256"),
        ("silently cut", "SHA-256 than published"),
        ("404", "404 Not Found"),
        ("403", "403 Forbidden"),
        ("503", "503 Service Unavailable"),
    ],
)
def test_a_fault_that_stays_is_told_and_leaves_nothing(
    server: Server, own_cache: Path, fault: str, message: str
) -> None:
    server.faults["weights.safetensors"] = [fault] * 9
    with pytest.raises(FetchError, match=message) as error:
        store.fetch_model("far@1")
    assert f"{server.url}/far-1/weights.safetensors" in str(error.value)
    assert "XRAIN_WEIGHTS_URL" in str(error.value)
    assert files_below(own_cache) == {"far-1/card.json", "trunk-1.safetensors"}


@pytest.mark.parametrize("fault", ["damaged", "cut", "silently cut", "503"])
def test_a_fault_that_passes_is_overcome(server: Server, fault: str) -> None:
    server.faults["weights.safetensors"] = [fault, fault]
    assert store.load_model("far@1").card.id == "far@1"
    assert server.seen.count("weights.safetensors") == 3


def test_what_is_not_found_is_not_asked_for_again(server: Server) -> None:
    server.faults["card.json"] = ["404"] * 9
    with pytest.raises(FetchError):
        store.fetch_model("far")
    assert server.seen == ["card.json"]


def test_a_server_that_is_not_there_is_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", "http://127.0.0.1:1")
    with pytest.raises(FetchError, match="no connection to the server"):
        store.fetch_model("far")


def test_without_a_server_the_setting_is_named(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XRAIN_WEIGHTS_URL")
    with pytest.raises(FetchError, match="set XRAIN_WEIGHTS_URL"):
        store.fetch_model("far")


def test_offline_forbids_every_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    with pytest.raises(FetchError, match="XRAIN_OFFLINE forbids"):
        store.fetch_model("far")
    with pytest.raises(ModelError, match="unknown model 'other'"):
        store.fetch_model("other")
    assert server.seen == []


def test_another_protocol_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", "ftp://127.0.0.1/weights")
    with pytest.raises(FetchError, match="http://"):
        store.fetch_model("far")


def test_a_cache_that_cannot_be_written_is_told(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XRAIN_CACHE_DIR", str(blocked))
    with pytest.raises(FetchError, match="set XRAIN_CACHE_DIR"):
        store.fetch_model("far")


def test_the_next_mirror_steps_in(new_server, server: Server, monkeypatch) -> None:
    other = new_server("other")
    urls = f"http://127.0.0.1:1, {server.url}/, {other.url}"
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", urls)
    server.faults["weights.safetensors"] = ["404"]
    assert store.load_model("far@1").card.id == "far@1"
    assert server.seen == ["card.json", "trunk-1.safetensors", "weights.safetensors"]
    assert other.seen == ["weights.safetensors"]


# ---- models that this version of the package does not know


def test_a_newer_model_is_found_on_the_server_and_then_works_offline(
    new_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_server()
    empty = tmp_path / "empty.json"
    empty.write_text(Registry({}).to_json())
    monkeypatch.setattr(store, "REGISTRY_FILE", empty)
    with pytest.raises(ModelError, match="unknown model 'far'; known are none"):
        store.load_model("far")
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", server.url)
    assert store.list_models() == []
    monkeypatch.setattr(store, "REGISTRY_FILE", empty.with_name("registry.json"))
    empty.rename(empty.with_name("registry.json"))
    assert store.list_models(remote=True) == ["far", "near"]
    assert store.load_model("far").card.version == 2
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    assert store.load_model("far").card.version == 2


def test_a_broken_registry_on_the_server_is_told(
    new_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = new_server()
    (server.root / "registry.json").write_text('{"format": 7}')
    monkeypatch.setenv("XRAIN_WEIGHTS_URL", server.url)
    with pytest.raises(FetchError, match="format is 7"):
        store.load_model("nowhere-unet")


ODD_PATHS = [
    "../up.json", "/etc/passwd", "a\\b", "", "a/../../b", "a//b", "./a", ".a.json.lock", "a\0b",
    "C:x", "registry.json", "added.json", "ADDED.JSON", "a\nb", "a b", "x" * 200,
]  # fmt: skip


@pytest.mark.parametrize("path", ODD_PATHS)
def test_a_registry_cannot_lead_out_of_the_cache(tmp_path: Path, path: str) -> None:
    artefact = {"path": path, "sha256": "0" * 64, "size": 1}
    good = {"path": "x/card.json", "sha256": "0" * 64, "size": 1}
    values = {"format": 1, "models": {"x": {"1": {"card": good, "weights": [artefact]}}}}
    with pytest.raises(ModelError, match=r"path .* (leaves its folder|is the name)"):
        Registry.from_json(json.dumps(values), "test")


# ---- several processes


def test_processes_that_fetch_at_once_share_one_download(
    server: Server, tmp_path: Path, own_cache: Path
) -> None:
    server.delay = 0.3
    code = (
        "import sys, pathlib; from xrain.models import store\n"
        f"store.REGISTRY_FILE = pathlib.Path({str(store.REGISTRY_FILE)!r})\n"
        f"store.PACKAGED = pathlib.Path({str(tmp_path / 'packaged')!r})\n"
        "print(store.fetch_model('far@1').weights[-1])"
    )
    env = {**os.environ, "XRAIN_WEIGHTS_URL": server.url, "XRAIN_CACHE_DIR": str(own_cache)}
    runs = [
        subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said == [str(own_cache / "far-1" / "weights.safetensors")] * 2
    assert sorted(server.seen) == ["card.json", "trunk-1.safetensors", "weights.safetensors"]


# ---- folders


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    card = save_model(folder, make_card("mine"), make_tensors(3), half=False)
    for name in (folder, str(folder), str(folder / "card.json")):
        model = store.load_model(name)
        assert model.card == card
        assert model.reference == str(folder)
    for name, tensor in make_tensors(3).items():
        assert torch.equal(model.network.state_dict()[name], tensor)


def test_a_folder_named_like_nothing_published_needs_no_slash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "mine", make_card("mine"), make_tensors(3))
    monkeypatch.chdir(tmp_path)
    assert store.load_card("mine").name == "mine"


def test_changed_weights_in_a_folder_are_refused(tmp_path: Path) -> None:
    save_model(tmp_path, make_card("mine"), make_tensors(3))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        store.load_model(tmp_path)


def test_a_folder_without_card_or_weights_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"card\.json"):
        store.load_model(tmp_path)
    save_model(tmp_path, make_card("mine"), make_tensors(3))
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="no readable weights"):
        store.load_model(tmp_path)


def test_weights_that_do_not_fit_the_card_are_refused(tmp_path: Path) -> None:
    tensors = make_tensors(3)
    tensors.popitem()
    save_model(tmp_path, make_card("mine"), tensors)
    with pytest.raises(ModelError, match=r"mine@1.*do not fit"):
        store.load_model(tmp_path)


def test_only_what_differs_from_the_trunk_is_stored(tmp_path: Path) -> None:
    tensors = make_tensors(0)
    trunk = save_tensors(tmp_path / "trunk.safetensors", tensors)
    same = save_model(tmp_path / "same", make_card("same"), tensors, trunk=trunk)
    assert list(same.sha256s) == ["../trunk.safetensors"]
    assert store.load_model(tmp_path / "same").card.id == "same@1"
    name = next(iter(tensors))
    changed = {**tensors, name: tensors[name] + 1}
    save_model(tmp_path / "other", make_card("other"), changed, trunk=trunk)
    from safetensors import safe_open

    with safe_open(tmp_path / "other" / "weights.safetensors", "pt") as file:
        assert list(file.keys()) == [name]


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_cannot_be_stored_are_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ModelError, match="'w' holds numbers that are not finite"):
        save_tensors(tmp_path / "w.safetensors", {"w": torch.full((2,), value)})
    assert files_below(tmp_path) == set()


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_model(tmp_path / "file", make_card("mine"), make_tensors(3))


def test_a_model_outside_the_published_folder_cannot_be_entered(tmp_path: Path) -> None:
    save_model(tmp_path / "mine", make_card("mine"), make_tensors(3))
    with pytest.raises(ModelError, match="cannot be entered"):
        add_to_registry(tmp_path / "r.json", tmp_path / "elsewhere", tmp_path / "mine")
