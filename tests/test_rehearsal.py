"""The way from an archive to better weights, by its commands, in a small form."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from xrain.collocation.store import list_groups
from xrain.models.store import load_card

SCRIPT = Path(__file__).parents[1] / "tools" / "rehearse.py"


@pytest.fixture(scope="module")
def rehearse():
    spec = importlib.util.spec_from_file_location("rehearse", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look their own module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_share_that_is_closed(rehearse):
    def score(r, rmse):
        return rehearse.told({"correlation": r, "rmse": rmse})

    found = {"shipped": score(0.8, 1.0), "tuned": score(0.9, 0.7), "ceiling": score(1.0, 0.5)}
    share = rehearse.closed(found)
    assert list(share) == ["tuned"]
    assert share["tuned"]["unexplained"] == pytest.approx((0.36 - 0.19) / 0.36)
    assert share["tuned"]["rmse"] == pytest.approx(0.6)
    nothing = rehearse.closed(
        {"shipped": score(0.8, 1.0), "a": score(0.8, 1), "ceiling": score(0.8, 1)}
    )
    assert nothing["a"] == {"unexplained": None, "rmse": None}


@pytest.mark.slow
def test_the_whole_chain_in_a_small_form(rehearse, tmp_path, capsys):
    chain = rehearse.Rehearsal(tmp_path, rehearse.SMALL, "constellation-unet")
    report = chain.run()
    radar = list_groups(tmp_path / "gmi-radar.zarr")
    assert len(radar) == 6
    assert {p.split for p in radar} == {"train", "validation"}
    assert sum(p.attrs["raining_pixels"] for p in radar) > 0
    teacher = list_groups(tmp_path / "ssmis-teacher.zarr")
    assert sum(p.attrs["matched_pixels"] for p in teacher) > 0
    assert len(list((tmp_path / "rain").glob("gmi-*.rain.nc"))) == 6
    for name in ("gmi-radar", "gmi-truth"):
        assert load_card(str(tmp_path / "runs" / name / "models" / "gmi-unet-1")).training["stores"]
    both = load_card(str(tmp_path / "runs" / "ssmis-both" / "models" / "ssmis-unet-1")).training
    seen = rehearse.SMALL.orbits + rehearse.SMALL.more
    assert both["aligned"] == {"granules": seen, "sensors": ["SSMIS"]}
    assert both["stores"][0]["reference"] == "constellation-unet"
    for sensor, found in report["scores"].items():
        for name, told in found.items():
            stored = json.loads((tmp_path / "scores" / f"{sensor}-{name}.json").read_text())["all"]
            assert told["correlation"] == stored["correlation"]
            assert told["rmse"] == stored["rmse"]
            assert f"{stored['correlation']:.3f}" in rehearse.table(report)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    made = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.suffix in {".HDF5", ".nc"}}
    capsys.readouterr()
    assert chain.run() == report
    assert "xrain" not in capsys.readouterr().out  # nothing is done twice
    assert made == {p: p.stat().st_mtime_ns for p in made}
