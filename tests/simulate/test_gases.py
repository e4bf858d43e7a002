"""Gas absorption against the line-by-line model it was tabulated from, and its limits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from xrain.errors import UnknownChannelError
from xrain.sensors import Channel, get_sensor
from xrain.simulate.gases import GasAbsorption, pass_band


def channel(frequency, offsets=(), bandwidth=100.0):
    return Channel("x", frequency, offsets, "V", bandwidth, (5.0, 5.0), 0.5, 52.8, "S1")


STATES = [(1000.0, 295.0, 15.0), (850.0, 280.0, 6.0), (500.0, 255.0, 0.8), (250.0, 225.0, 0.03)]


@pytest.mark.parametrize("frequency", [6.925, 10.65, 22.235, 36.64, 54.94, 89.0, 150.0, 166.0])
@pytest.mark.parametrize("state", STATES)
def test_agrees_with_pyrtlib(frequency, state):
    pytest.importorskip("pyrtlib")
    from pyrtlib.absorption_model import H2OAbsModel, N2AbsModel, O2AbsModel
    from pyrtlib.rt_equation import RTEquation

    H2OAbsModel.model = "R22SD"
    O2AbsModel.model = N2AbsModel.model = "R22"
    H2OAbsModel.set_ll()
    O2AbsModel.set_ll()
    pressure, temperature, vapour = state
    e = vapour * temperature / 216.68
    wet, dry = RTEquation.clearsky_absorption(
        *(np.array([v]) for v in (pressure + e, temperature, e)), frequency
    )
    ours = GasAbsorption([channel(frequency, bandwidth=1.0)])(
        *(torch.tensor([v]) for v in (pressure, temperature, vapour))
    )
    assert float(ours) == pytest.approx(float(wet[0] + dry[0]), rel=0.03, abs=2e-5)


def test_both_sidebands_are_averaged():
    """A pair at 183.31 ± 3 GHz absorbs between what its two halves absorb."""
    state = [torch.tensor([v]) for v in (500.0, 255.0, 0.8)]
    pair, low, high = (
        float(GasAbsorption([c])(*state))
        for c in (channel(183.31, (3.0,)), channel(180.31), channel(186.31))
    )
    assert min(low, high) <= pair <= max(low, high)
    assert pair == pytest.approx(np.sqrt(low * high), rel=0.01)


def test_pass_band_of_two_offsets_has_four_bands():
    found = pass_band(channel(57.29, (0.3222, 0.048), 4.0), points=1)
    expected = [57.29 + a + b for a in (-0.3222, 0.3222) for b in (-0.048, 0.048)]
    np.testing.assert_allclose(np.sort(found), np.sort(expected))


def test_absorption_grows_with_vapour_and_pressure():
    gases = GasAbsorption([get_sensor("gmi").channel("23.8V")])
    vapour = gases(torch.full((5,), 900.0), torch.full((5,), 285.0), torch.linspace(0, 15, 5))
    pressure = gases(torch.linspace(200, 1000, 5), torch.full((5,), 280.0), torch.zeros(5))
    assert (vapour[:, 0].diff() > 0).all()
    assert (pressure[:, 0].diff() > 0).all()


def test_absorption_is_smooth_beyond_the_183_ghz_line():
    """Falls off the line to 205 GHz, then the continuum of vapour rises with frequency."""
    gases = GasAbsorption([channel(f) for f in (195.0, 200.0, 201.5, 203.0, 215.0, 229.0)])
    warm = torch.tensor([900.0]), torch.tensor([285.0]), torch.tensor([8.0])
    found = gases(*warm)[0]
    assert (found[:4].diff() < 0).all()
    assert found[4] < found[5]
    assert abs(float(found[1] + found[3] - 2 * found[2]) / float(found[2])) < 0.02
    assert found[5] > GasAbsorption([channel(166.0)])(*warm)[0, 0]


@pytest.mark.parametrize("frequency", [1.4, 243.0])
def test_frequency_outside_the_table_is_refused(frequency):
    with pytest.raises(UnknownChannelError, match=r"6–235 GHz"):
        GasAbsorption([channel(frequency)])


def test_sideband_outside_the_table_is_refused():
    edge = dataclasses.replace(channel(234.0), sideband_offsets=(2.0,))
    with pytest.raises(UnknownChannelError, match="234"):
        pass_band(edge)
