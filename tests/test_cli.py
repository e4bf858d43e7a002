from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner, Result

from xrain.cli import app, card_text
from xrain.conventions import QUALITY_FLAGS
from xrain.models import store
from xrain.models.card import ModelCard
from xrain.models.export import save_model
from xrain.models.registry import add_to_registry
from xrain.retrieval import batch_granule as files
from xrain.testing import tiny_model, write_fake_l1c

XRAIN = Path(sys.executable).with_name("xrain")


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


def run_process(*args: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(XRAIN), *map(str, args)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model that takes any channels."""
    tiny = tiny_model(seed=1)
    folder = tmp_path_factory.mktemp("models") / "tiny-1"
    save_model(folder, tiny.card, tiny.network.state_dict())
    return folder


@pytest.fixture(scope="module")
def granule(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake_l1c(tmp_path_factory.mktemp("granules") / "1C.TEST.GMI.HDF5", "gmi", scans=24)


def test_help_names_every_command_and_the_version_is_told() -> None:
    text = run("--help").output
    assert all(c in text for c in ("info", "retrieve", "plot", "models", "demo"))
    assert run().output.split() == text.split()
    assert run("--version").output.startswith("xrain ")


# ---- info


def test_info_tells_instrument_channels_and_what_is_there(granule: Path) -> None:
    result = run("info", granule)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["sensor", "GMI"] in lines
    with xr.open_dataset(granule, engine="gpm-l1c") as ds:
        for k, name in enumerate(ds["channel"].values):
            row = next(line for line in lines if line[:1] == [name])
            tb = ds["tb"].isel(channel=k)
            assert row[2] == f"{float(tb.notnull().mean()):.1%}"
            assert row[4] == f"{float(np.nanmedian(tb)):.1f}"


def test_info_of_a_granule_without_any_value(tmp_path: Path) -> None:
    path = write_fake_l1c(tmp_path / "a.HDF5", "mhs", scans=8, missing="all")
    result = run("info", path)
    assert result.exit_code == 0
    assert "latitude   missing" in result.stdout
    assert "0.0%" in result.stdout


def test_info_of_a_rain_file_names_the_model_and_the_flags(
    granule: Path, model: Path, tmp_path: Path
) -> None:
    path = Path(run("retrieve", granule, "-o", tmp_path, "-m", model).stdout.strip())
    result = run("info", path)
    assert result.exit_code == 0
    assert "tiny@1" in result.stdout
    assert "surface_precip" in result.stdout
    assert "flags" in result.stdout


# ---- retrieve


def test_a_granule_becomes_a_cf_file_named_after_it(
    granule: Path, model: Path, tmp_path: Path
) -> None:
    result = run("retrieve", granule, "--output", tmp_path / "new", "--model", model)
    assert result.exit_code == 0
    path = tmp_path / "new" / "1C.TEST.GMI.rain.nc"
    assert result.stdout == f"{path}\n"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with xr.open_dataset(path, engine="h5netcdf") as rain:
        assert rain.attrs["model"] == "tiny"
        assert rain.attrs["model_sha256"] == store.load_card(model).sha256
        assert rain.attrs["Conventions"].startswith("CF-")
        assert rain["surface_precip"].notnull().any()
        with xr.open_dataset(granule, engine="gpm-l1c") as ds:
            direct = ds.rain.retrieve(str(model))
            np.testing.assert_array_equal(rain["surface_precip"], direct["surface_precip"])


def test_every_granule_becomes_a_file(archive_granule: Path, model: Path, tmp_path: Path) -> None:
    result = run("retrieve", archive_granule, "-o", tmp_path, "-m", model)
    assert result.exit_code == 0, result.stderr
    with (
        xr.open_dataset(result.stdout.strip(), engine="h5netcdf") as rain,
        xr.open_dataset(archive_granule, engine="gpm-l1c") as ds,
    ):
        assert rain["surface_precip"].shape == ds["tb"].shape[:2]
        usable = ds["tb"].notnull().any("channel") & ds["latitude"].notnull()
        np.testing.assert_array_equal(rain["surface_precip"].notnull(), usable)


def test_a_granule_without_any_value_gives_a_flagged_file(model: Path, tmp_path: Path) -> None:
    path = write_fake_l1c(tmp_path / "a.HDF5", "gmi", scans=8, missing="tb")
    result = run("retrieve", path, "-o", tmp_path, "-m", model)
    assert result.exit_code == 0
    with xr.open_dataset(result.stdout.strip(), engine="h5netcdf") as rain:
        assert rain["surface_precip"].isnull().all()
        flags = rain["retrieval_quality"].values.astype(int)
        assert (flags & QUALITY_FLAGS["no_usable_channel"]).all()


def test_in_a_batch_the_others_go_on_and_the_exit_status_tells(
    granule: Path, model: Path, tmp_path: Path
) -> None:
    (bad := tmp_path / "bad.HDF5").write_text("no HDF5")
    (cut := tmp_path / "cut.HDF5").write_bytes(granule.read_bytes()[:20_000])
    second = write_fake_l1c(tmp_path / "second.nc", "mhs", scans=8)
    out = tmp_path / "out"
    sources = (bad, granule, tmp_path / "absent.HDF5", cut, second)
    done = run_process("retrieve", *sources, "-o", out, "-m", model)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout.split() == [str(out / "1C.TEST.GMI.rain.nc"), str(out / "second.rain.nc")]
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert [name in line for name, line in zip(("bad", "absent", "cut"), errors, strict=True)]
    assert "2 of 5 files done" in done.stderr


def test_an_error_in_xrain_itself_is_told_apart_and_stops_nothing(
    granule: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files.retrieve

    def fail(ds: xr.Dataset, *args: object, **kwargs: object) -> xr.Dataset:
        if ds.attrs["sensor"] == "GMI":
            raise ZeroDivisionError("a bug")
        return real(ds, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "retrieve", fail)
    other = write_fake_l1c(tmp_path / "other.HDF5", "mhs", scans=8)
    result = run("retrieve", granule, other, "-o", tmp_path, "-m", model)
    assert result.exit_code == 1
    assert "unexpected ZeroDivisionError: a bug" in result.stderr
    assert result.stdout.split() == [str(tmp_path / "other.rain.nc")]


def test_outputs_of_one_name_are_refused_before_anything_is_done(
    granule: Path, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    same = write_fake_l1c(tmp_path / "in" / "1C.TEST.GMI.nc", "gmi", scans=8)
    result = run("retrieve", granule, same, "-o", tmp_path / "out", "-m", model)
    assert result.exit_code == 2
    assert "would all be written to" in result.stderr
    assert not (tmp_path / "out").exists()


def test_an_unknown_model_is_told_once(granule: Path, tmp_path: Path) -> None:
    result = run("retrieve", granule, granule, "-o", tmp_path, "-m", "no-such-unet")
    assert result.exit_code == 2
    assert result.stderr.count("unknown model 'no-such-unet'") == 1


def test_a_place_that_cannot_be_written_is_told(granule: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_process("retrieve", granule, "-o", tmp_path / "file", "-m", model)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_device_is_told(granule: Path, model: Path, tmp_path: Path) -> None:
    result = run("retrieve", granule, "-o", tmp_path, "-m", model, "--device", "abacus")
    assert result.exit_code == 2
    assert "abacus" in result.stderr


# ---- pictures


def colours(path: Path) -> int:
    import matplotlib.image

    pixels = matplotlib.image.imread(path)
    return len(np.unique((pixels[..., :3] * 255).astype(int).reshape(-1, 3), axis=0))


def test_retrieve_draws_a_map_beside_the_file(granule: Path, model: Path, tmp_path: Path) -> None:
    result = run("retrieve", granule, "-o", tmp_path, "-m", model, "--plot")
    assert result.exit_code == 0, result.stderr
    netcdf, picture = map(Path, result.stdout.split())
    assert picture == netcdf.with_suffix(".png")
    assert colours(picture) > 10


def test_plot_draws_rain_files_and_granules(granule: Path, model: Path, tmp_path: Path) -> None:
    rain = run("retrieve", granule, "-o", tmp_path, "-m", model).stdout.strip()
    for args in (
        (rain, "--panels"),
        (rain, "--variable", "probability_of_precip"),
        (granule, "-c", "36.64V"),
    ):
        result = run("plot", *args, "-o", tmp_path / "a.png")
        assert result.exit_code == 0, result.stderr
        assert colours(tmp_path / "a.png") > 10
        (tmp_path / "a.png").unlink()


def test_plot_tells_what_it_cannot_draw(granule: Path, tmp_path: Path) -> None:
    for args, message in (
        (("-c", "1.4V"), "1.4V"),
        (("-o", tmp_path / "a.abc"), "unknown kind of picture"),
    ):
        result = run("plot", granule, *args)
        assert result.exit_code == 2
        assert message in result.stderr


# ---- models


@pytest.fixture
def published(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """A package that holds the small model alone."""
    add_to_registry(tmp_path / "registry.json", model.parent, model)
    monkeypatch.setattr(store, "REGISTRY_FILE", tmp_path / "registry.json")
    monkeypatch.setattr(store, "PACKAGED", model.parent)
    return store.load_card("tiny")


def test_models_that_must_be_fetched_are_marked(
    published: ModelCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    line = run("models", "list").stdout.splitlines()[-1]
    assert line.split()[:2] == ["tiny@1", "any"]
    assert "to fetch" not in line
    monkeypatch.setattr(store, "PACKAGED", tmp_path / "nowhere")
    assert "to fetch" in run("models", "list").stdout


def test_the_list_tells_which_model_is_used_and_how_good_it_is() -> None:
    lines = {line.split()[0]: line for line in run("models", "list").stdout.splitlines()}
    for name in ("gmi-unet", "mhs-unet", "constellation-unet", "gmi-brain", "gmi-drain"):
        (line,) = (text for key, text in lines.items() if key.partition("@")[0] == name)
        assert ("default" in line) == (name not in ("gmi-brain", "gmi-drain"))
        card = store.load_card(name)
        assert line.split()[1] == (card.sensor or "any")
        expected = card_text.correlation(card, "kept_apart", "simulated")
        assert f"{expected:.2f}" in line


def test_a_card_is_shown_for_people_and_for_programs(published: ModelCard) -> None:
    text = run("models", "show", "tiny").stdout
    assert published.summary in text
    assert f"licence: {published.licence}" in text
    card = ModelCard.from_dict(json.loads(run("models", "show", "tiny@1", "--json").stdout))
    assert card == published


@pytest.mark.parametrize("name", ["gmi-unet", "gmi-brain", "gmi-drain", "mhs-unet"])
def test_scores_are_shown_rounded_and_explained(name: str) -> None:
    text = run("models", "show", name).stdout
    assert not re.search(r"\d\.\d{5,}", text)
    card = store.load_card(name)
    for metric, meaning in card_text.used_metrics(card).items():
        assert f"  {metric}: {meaning}" in text
    told = {line.split()[0] for line in text.splitlines() if line.startswith("  ") and line.split()}
    text_of_scores = json.dumps(card.scores)
    while "[" in text_of_scores:
        text_of_scores = re.sub(r"\[[^][]*\]", "0", text_of_scores)
    keys = set(re.findall(r'"([\w.]+)": -?[\d.]+[,}]', text_of_scores))
    assert {k for k in keys if not k.endswith("_interval")} <= told
    assert all(limit in text for limit in card.limits)


def test_models_are_named_or_all_are_fetched() -> None:
    result = run("models", "fetch", "gmi-unet", "--all")
    assert result.exit_code == 2
    assert "not both" in result.stderr


def test_fetched_files_are_named(published: ModelCard, model: Path) -> None:
    result = run("models", "fetch", "tiny")
    assert result.stdout.split() == [
        str(model / "card.json"),
        str(model / "weights.safetensors"),
    ]
    assert run("models", "fetch").exit_code == 2


def test_without_a_server_the_user_is_told_what_to_set(published: ModelCard) -> None:
    result = run("models", "fetch", "--all")
    assert result.exit_code == 2
    assert "XRAIN_WEIGHTS_URL" in result.stderr


# ---- the demonstration


def test_the_demo_retrieves_the_packaged_granule(tmp_path: Path) -> None:
    done = run_process("demo", "-o", tmp_path, XRAIN_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert "simulated" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} == {
        "granule.HDF5",
        "granule.truth.nc",
        "rain.nc",
        "rain.png",
    }
    assert all(str(tmp_path / n) in done.stdout for n in ("rain.nc", "rain.png"))
    assert colours(tmp_path / "rain.png") > 10
    with (
        xr.open_dataset(tmp_path / "rain.nc", engine="h5netcdf") as rain,
        xr.open_dataset(tmp_path / "granule.truth.nc", engine="h5netcdf") as truth,
    ):
        got, true = rain["surface_precip"].values, truth["surface_precip"].values
        both = np.isfinite(got) & np.isfinite(true)
        # in logarithms: the heavy cores of simulated storms lack the ice of real ones
        got, true = (np.log(np.maximum(x[both], 0.05)) for x in (got, true))
        assert np.corrcoef(got, true)[0, 1] > 0.8


def test_animate_makes_a_film_of_rain_files(granule: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("retrieve", granule, "-o", out, "-m", model).exit_code == 0
    rain = out / "1C.TEST.GMI.rain.nc"
    result = run("animate", rain, rain, "-o", tmp_path / "film.gif", "--fps", "4")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").read_bytes()[:6] == b"GIF89a"
    refused = run("animate", granule, "-o", tmp_path / "no.gif")
    assert refused.exit_code == 2
    assert "retrieve it first" in refused.stderr
