from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from typer.testing import CliRunner, Result

from xrain.cli import app
from xrain.errors import FetchError, ModelError
from xrain.models import download, store
from xrain.models.card import ModelCard
from xrain.models.export import save_model, save_tensors
from xrain.models.publish import check_package, package_models
from xrain.testing import tiny_model


def run(*args: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, args)])


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir() if not p.name.endswith(".lock")}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("XRAIN_CACHE_DIR", str(cache))
    monkeypatch.setattr(download, "_BACK_OFF", 0.01)
    return cache


@pytest.fixture
def trained(tmp_path: Path) -> list[Path]:
    """Two models on one trunk, as a training run leaves them."""
    tiny = tiny_model(seed=1)
    tensors = dict(tiny.network.state_dict())
    root = tmp_path / "run"
    trunk = save_tensors(root / "trunk-1.safetensors", tensors)
    last = list(tensors)[-1]
    folders = []
    for k, name in enumerate(("near", "far")):
        card = ModelCard.from_dict({**tiny.card.to_dict(), "name": name, "limits": ["Tiny."]})
        changed = {**tensors, last: tensors[last] + k}
        save_model(root / f"{name}-1", card, changed, trunk=trunk)
        folders.append(root / f"{name}-1")
    return folders


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    running = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def start(folder: Path) -> str:
        http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        running.append(http)
        return f"http://127.0.0.1:{http.server_port}"

    yield start
    for http in running:
        http.shutdown()
        http.server_close()


# ---- packages


def test_the_command_packages_and_a_new_process_loads_it(
    trained: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XRAIN_OFFLINE", "1")  # the stranger has none of the user's settings
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    result = run("package", *trained, "-o", tmp_path / "out", "--name", "lab-{name}")
    assert result.exit_code == 0, result.output
    assert "lab-near@1" in result.stdout
    assert "lab-far@1" in result.stdout
    assert "a new process with an empty cache loads all" in result.stderr
    found = names(tmp_path / "out")
    trunk = next(n for n in found if n.startswith("trunk-1-"))
    assert found == {
        "registry.json", "SHA256SUMS", "README.md", "lab-near-1.json", "lab-far-1.json",
        "lab-far-1.safetensors", trunk,
    }  # fmt: skip
    sums = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    subprocess.run(sums, cwd=tmp_path / "out", check=True, capture_output=True)
    assert "## lab-far@1" in (tmp_path / "out" / "README.md").read_text()
    assert "lab-near" not in store.list_models()


def test_the_check_finds_what_a_stranger_would(trained: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    package_models(trained[1:], out)
    weights = out / "far-1.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="a stranger could not load it"):
        check_package(out)


def test_a_package_grows_and_never_changes(trained: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    package_models(trained[:1], out)
    package_models(trained, out)
    package_models(trained[1:], out, name="near", version=2)
    content = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(ModelError, match="near@1: already the name of another"):
        package_models(trained[1:], out, name="near")
    with pytest.raises(ModelError, match="gmi-unet@1: already the name of another"):
        package_models(trained[1:], out, name="gmi-unet", version=1)
    with pytest.raises(ModelError, match="one@1: already"):
        package_models(trained, out, name="one")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == content
    models = json.loads(content["registry.json"])["models"]
    assert {k: list(v) for k, v in models.items()} == {"near": ["1", "2"], "far": ["1"]}


@pytest.mark.parametrize("name", ["a/b", "a b", ""])
def test_a_name_must_be_one(trained: list[Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is no name"):
        package_models(trained, tmp_path / "out", name=name)


def test_a_broken_model_is_not_packaged(trained: list[Path], tmp_path: Path) -> None:
    (trained[0].parent / "trunk-1.safetensors").write_bytes(b"?")
    result = run("package", *trained, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "SHA-256 differs" in result.stderr
    assert not (tmp_path / "out").exists()
    assert run("package", tmp_path, "-o", tmp_path / "out").exit_code == 2


# ---- adding


def test_a_model_is_added_from_a_server_and_then_works_offline(
    trained: list[Path], tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    package_models(trained, out, name="lab-{name}")
    url = serve(out)
    for source in (url, f"{url}/", f"{url}/registry.json"):
        result = run("add", source)
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == ["lab-far@1", "lab-near@1"]
    assert "lab-far@1" in run("list").stdout
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    assert store.load_model("lab-far").reference == "lab-far@1"
    assert store.find_model("lab-far").source == url


def test_lost_files_come_again_from_where_they_were_added(
    trained: list[Path], tmp_path: Path, serve, own_cache: Path
) -> None:
    out = tmp_path / "out"
    package_models(trained, out)
    store.add_models(serve(out))
    (own_cache / "far-1.safetensors").unlink()
    assert not store.is_at_hand(store.find_model("far"))
    assert store.load_model("far").card.name == "far"


def test_a_folder_is_added_by_copying(
    trained: list[Path], tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    package_models(trained, out)
    monkeypatch.setenv("XRAIN_OFFLINE", "1")
    assert run("add", out).exit_code == 0
    (own_cache / "far-1.safetensors").write_bytes(b"damaged")
    assert store.load_model("far").card.name == "far"
    (own_cache / "far-1.safetensors").unlink()
    (out / "far-1.safetensors").unlink()
    with pytest.raises(FetchError, match="No such file"):
        store.load_model("far")


def test_a_doi_is_resolved_and_its_files_fetched(
    trained: list[Path], tmp_path: Path, serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    package_models(trained, out)
    url, asked = serve(out), []

    class Record:  # what pooch makes of a DOI after asking doi.org and the archive
        def __init__(self, doi: str, **_: object) -> None:
            asked.append(doi)

        def download_url(self, file_name: str) -> str:
            if not (out / file_name).exists():
                raise ValueError(f"File '{file_name}' not found in data archive")
            return f"{url}/{file_name}"

    monkeypatch.setattr(pooch.downloaders, "doi_to_repository", Record)
    assert run("add", "https://doi.org/10.5281/zenodo.1234567").exit_code == 0
    assert set(asked) == {"10.5281/zenodo.1234567"}
    assert store.find_model("far").source == "doi:10.5281/zenodo.1234567"
    (out / "registry.json").unlink()
    result = run("add", "doi:10.5281/zenodo.1234567")
    assert result.exit_code == 2
    assert "not found in data archive" in result.stderr


def test_what_cannot_be_added_is_told_and_leaves_no_trace(
    trained: list[Path], tmp_path: Path, serve, own_cache: Path
) -> None:
    out = tmp_path / "out"
    package_models(trained, out)
    (out / "far-1.safetensors").write_bytes(b"other")
    with pytest.raises(FetchError, match="SHA-256 than"):
        store.add_models(serve(out))
    with pytest.raises(FetchError, match="SHA-256 than"):
        store.add_models(out)
    with pytest.raises(FetchError, match="404"):
        store.add_models(serve(tmp_path))
    with pytest.raises(ModelError, match=r"holds no registry\.json"):
        store.add_models(trained[0])
    assert not (own_cache / "added.json").exists()
    assert "far" not in store.list_models()


def test_another_model_of_a_known_name_is_refused(trained: list[Path], tmp_path: Path) -> None:
    package_models(trained[:1], tmp_path / "one", name="same")
    package_models(trained[1:], tmp_path / "two", name="same")
    store.add_models(tmp_path / "one")
    with pytest.raises(ModelError, match="already known as same@1"):
        store.add_models(tmp_path / "two")


def test_packages_of_two_makers_share_a_cache(trained: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    tiny = tiny_model(seed=2)
    tensors = dict(tiny.network.state_dict())
    trunk = save_tensors(other / "trunk-1.safetensors", tensors)
    save_model(other / "x-1", tiny.card, tensors, trunk=trunk)
    package_models(trained, tmp_path / "one")
    package_models([other / "x-1"], tmp_path / "two", name="x")
    store.add_models(tmp_path / "one")
    store.add_models(tmp_path / "two")
    assert all(store.is_at_hand(store.find_model(n)) for n in ("far", "near", "x"))
