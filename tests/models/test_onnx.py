"""A network as ONNX gives the same rain in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import xrain
from xrain.cli import app
from xrain.errors import InputError, MissingPackageError, ModelError
from xrain.io.open import open_l1c
from xrain.models.onnx_export import export_onnx
from xrain.models.store import Model
from xrain.retrieval.engine import Engine
from xrain.retrieval.estimates import Pixels
from xrain.sensors import get_sensor
from xrain.testing import tiny_model

DEMO = Path(xrain.__file__).parent / "data" / "demo.HDF5"
QUANTILES = (0.05, 0.5, 0.95)

needed = pytest.mark.skipif(
    any(not __import__("importlib.util").util.find_spec(n)
        for n in ("onnx", "onnxruntime", "onnxscript")),
    reason="the extra 'onnx' is not installed",
)  # fmt: skip


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    """Temperatures over real-looking rain, some of them missing."""
    with open_l1c(DEMO) as ds:
        tb = ds["tb"].values[60:110].astype("f4")
        angle = ds["earth_incidence_angle"].values[60:110].astype("f4")
    angle = angle[..., 0] if angle.ndim == 3 else angle
    tb[10:14, 30:60, 2:5] = np.nan
    tb[30] = np.nan
    land = np.linspace(0, 1, angle.size, dtype="f4").reshape(angle.shape)
    land[:, 5] = np.nan
    return Pixels(tb, np.ascontiguousarray(angle), land, np.zeros(angle.shape, bool))


def run(path: Path, pixels: Pixels, rows: slice = slice(None)) -> list[np.ndarray]:
    from onnxruntime import InferenceSession

    session = InferenceSession(str(path), providers=["CPUExecutionProvider"])
    fields = (pixels.tb, pixels.incidence, pixels.land)
    names = [i.name for i in session.get_inputs()]
    assert names == ["tb", "earth_incidence_angle", "land_fraction"]
    out: list[np.ndarray] = session.run(
        None, {n: np.ascontiguousarray(f[rows]) for n, f in zip(names, fields, strict=True)}
    )
    return out


def require_same(model: Model, path: Path, pixels: Pixels) -> None:
    engine = Engine(model.network, get_sensor("gmi").channels, QUANTILES)
    (wanted,) = engine.swath(pixels)
    assert wanted.mean.max() > 1
    mean, probability, quantiles = run(path, pixels)
    np.testing.assert_allclose(mean, wanted.mean, atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(probability, wanted.probability, atol=1e-4)
    np.testing.assert_allclose(quantiles, wanted.quantiles, atol=1e-2, rtol=1e-3)


@needed
@pytest.mark.slow
def test_the_packaged_network_gives_the_same_rain(tmp_path: Path, pixels: Pixels) -> None:
    import onnx

    path = tmp_path / "gmi.onnx"
    done = CliRunner().invoke(app, ["models", "export", "gmi-unet", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == str(path)
    model = xrain.load_model("gmi-unet")
    require_same(model, path, pixels)
    other = run(path, pixels, slice(0, 7))  # a swath of another size
    assert other[2].shape == (3, 7, pixels.tb.shape[1])
    facts = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert facts["model"] == model.card.id
    assert facts["channels"].split(", ") == list(model.card.channels)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("words", "message"), [
    (("constellation-unet",), "--sensor"), (("gmi-unet", "--format", "pdf"), "only onnx"),
])  # fmt: skip
def test_what_cannot_be_exported_is_told(
    words: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.onnx"
    done = CliRunner().invoke(app, ["models", "export", *words, "-o", str(path)])
    assert done.exit_code == 2
    assert message in done.stderr
    assert not path.exists()


@needed
def test_quantiles_must_be_in_range(tmp_path: Path) -> None:
    for wrong in ((), (0.5, 1.0)):
        with pytest.raises(InputError, match="between 0 and 1"):
            export_onnx(tiny_model("GMI"), tmp_path / "a", get_sensor("gmi").channels, wrong)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xrain.extras.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="extra 'onnx'"):
        export_onnx(tiny_model("GMI"), tmp_path / "a", get_sensor("gmi").channels, QUANTILES)


@needed
def test_only_networks_are_exported(tmp_path: Path, fold_nothing: Callable[[], Any]) -> None:
    with pytest.raises(ModelError, match="only networks"):
        export_onnx(fold_nothing(), tmp_path / "a", get_sensor("gmi").channels, QUANTILES)


@pytest.fixture
def fold_nothing() -> Callable[[], Any]:
    """A model that is made ready for channels as something else than a network."""
    import dataclasses
    from types import SimpleNamespace

    model = tiny_model("GMI")
    other = SimpleNamespace(fold=lambda channels: object())
    return lambda: dataclasses.replace(model, network=other)
