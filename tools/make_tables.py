"""Make the simulator's lookup tables of gas absorption and single scattering.

Needs ``pyrtlib`` and ``miepython``; at run time the simulator reads only what is stored here.

    python tools/make_tables.py gases --model R22SD
    python tools/make_tables.py particles
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parents[1] / "xrain" / "simulate" / "tables"

PRESSURE = np.geomspace(40.0, 1060.0, 13)  # hPa
TEMPERATURE = np.linspace(185.0, 325.0, 8)  # K
VAPOUR = np.array([0.1, 20.0])  # g m-3, far enough apart to separate the self terms


def gas_frequencies() -> np.ndarray:
    """Frequencies in GHz, dense where lines are."""
    pieces = [
        np.arange(6.0, 20.0, 1.0),
        np.arange(20.0, 26.0, 0.25),
        np.arange(26.0, 48.0, 2.0),
        np.arange(48.0, 70.0, 0.1),
        np.arange(70.0, 116.0, 2.0),
        np.arange(116.0, 122.0, 0.1),
        np.arange(122.0, 166.0, 2.0),
        np.arange(166.0, 180.0, 0.5),
        np.arange(180.0, 182.6, 0.1),
        np.arange(182.6, 184.0, 0.04),
        np.arange(184.0, 186.5, 0.1),
        np.arange(186.5, 201.1, 0.5),
        np.arange(203.0, 236.1, 1.5),
    ]
    return np.unique(np.concatenate(pieces).round(4))


def _dielectric_water(frequency: float, temperature: float) -> complex:
    """Relative permittivity of pure liquid water, Turner, Kneifel and Cadeddu (2016)."""
    t = temperature - 273.15
    static = 8.79144e1 - 4.04399e-1 * t + 9.58726e-4 * t**2 - 1.32802e-6 * t**3
    eps = complex(static, 0.0)
    nu = frequency * 1e9
    for a, b, c, d in (
        (8.111e1, 4.434e-3, 1.302e-13, 6.627e2),
        (2.025, 1.073e-2, 1.012e-14, 6.089e2),
    ):
        strength = a * np.exp(-b * t)
        tau = c * np.exp(d / (t + 1.342e2))
        x = 2 * np.pi * nu * tau
        eps -= strength * x * x / (1 + x * x)
        eps -= 1j * strength * x / (1 + x * x)
    return eps


def _dielectric_ice(frequency: float, temperature: float) -> complex:
    """Relative permittivity of pure ice, Mätzler (2006) as used by Hufford and others."""
    real = 3.1884 + 9.1e-4 * (temperature - 273.0)
    theta = 300.0 / temperature - 1.0
    alpha = (0.00504 + 0.0062 * theta) * np.exp(-22.1 * theta)
    b1, b2, b = 0.0207, 1.16e-11, 335.0
    e = np.exp(-b / temperature)
    beta = (
        b1 / temperature * e / (1 - e) ** 2
        + b2 * frequency**2
        + np.exp(-9.963 + 0.0372 * (temperature - 273.16))
    )
    return complex(real, -(alpha / frequency + beta * frequency))


def _mix_air(ice: complex, density: float) -> complex:
    """Permittivity of soft ice: Maxwell Garnett with ice inclusions in an air matrix."""
    fraction = density / 0.917
    k = (ice - 1) / (ice + 2)
    return (1 + 2 * fraction * k) / (1 - fraction * k)


def _gamma_weights(dm: float, mu: float, diameter: np.ndarray) -> np.ndarray:
    """Normalised gamma distribution (Testud et al. 2001), mass content 1 g m-3."""
    shape = diameter**mu * np.exp(-(4 + mu) * diameter / dm)
    mass = np.pi / 6 * 1e-3 * np.trapezoid(shape * diameter**3, diameter)  # g per N unit, mm
    return shape / mass


def _bulk(
    eps: complex, frequency: float, melted: np.ndarray, size: np.ndarray, dms: np.ndarray, mu: float
) -> np.ndarray:
    """Extinction (km-1 per g m-3), albedo and asymmetry for each mean diameter."""
    import miepython

    wavelength = 299.792458 / frequency  # mm
    index = np.sqrt(eps)
    qext, qsca, _, g = miepython.efficiencies_mx(index, np.pi * size / wavelength)
    area = np.pi / 4 * size**2
    out = np.empty((dms.size, 3))
    for i, dm in enumerate(dms):
        n = _gamma_weights(dm, mu, melted)
        ext = np.trapezoid(n * area * qext, melted)
        sca = np.trapezoid(n * area * qsca, melted)
        out[i] = ext * 1e-3, sca / ext, np.trapezoid(n * area * qsca * g, melted) / sca
    return out


def make_particles() -> None:
    """Mie spheres of rain, and soft spheres of ice of several densities."""
    frequency = np.append(np.geomspace(6.0, 201.0, 44), [212.0, 224.0, 237.0])
    rain_t = np.array([253.0, 266.0, 279.0, 292.0, 305.0])
    rain_dm = np.geomspace(0.15, 5.0, 22)
    rain_d = np.geomspace(0.05, 8.0, 160)
    rain_mu = 2.0
    rain = np.empty((frequency.size, rain_t.size, rain_dm.size, 3))
    for i, f in enumerate(frequency):
        for j, t in enumerate(rain_t):
            rain[i, j] = _bulk(_dielectric_water(f, t), f, rain_d, rain_d, rain_dm, rain_mu)
    ice_t = np.array([225.0, 270.0])
    ice_dm = np.geomspace(0.08, 4.0, 22)  # mean melted diameter
    ice_rho = np.array([0.05, 0.1, 0.2, 0.35, 0.6, 0.917])
    ice_d = np.geomspace(0.02, 10.0, 160)
    ice = np.empty((frequency.size, ice_rho.size, ice_t.size, ice_dm.size, 3))
    for i, f in enumerate(frequency):
        for k, rho in enumerate(ice_rho):
            size = ice_d * (1.0 / rho) ** (1 / 3)
            for j, t in enumerate(ice_t):
                eps = _mix_air(_dielectric_ice(f, t), rho)
                ice[i, k, j] = _bulk(eps, f, ice_d, size, ice_dm, 0.0)
    # rain rate (mm/h) per g m-3 and cloud absorption (km-1 per g m-3, Rayleigh)
    speed = 9.65 - 10.3 * np.exp(-0.6 * rain_d)  # m s-1, Atlas et al. (1973)
    volume = np.pi / 6 * rain_d**3
    fall = [
        3.6e-3
        * np.trapezoid(
            _gamma_weights(dm, rain_mu, rain_d) * volume * np.maximum(speed, 0.1), rain_d
        )
        for dm in rain_dm
    ]
    cloud_t = np.linspace(233.0, 305.0, 10)
    cloud = np.empty((frequency.size, cloud_t.size))
    for i, f in enumerate(frequency):
        for j, t in enumerate(cloud_t):
            eps = _dielectric_water(f, t)
            cloud[i, j] = -6 * np.pi / 299.792458 * f * ((eps - 1) / (eps + 2)).imag
    np.savez_compressed(
        TABLES / "particles.npz",
        frequency=frequency.astype("f4"),
        rain_temperature=rain_t.astype("f4"),
        rain_diameter=rain_dm.astype("f4"),
        rain=rain.astype("f4"),
        rain_rate_per_content=np.array(fall, "f4"),
        ice_temperature=ice_t.astype("f4"),
        ice_diameter=ice_dm.astype("f4"),
        ice_density=ice_rho.astype("f4"),
        ice=ice.astype("f4"),
        cloud_temperature=cloud_t.astype("f4"),
        cloud=cloud.astype("f4"),
    )


def gas_absorption(frequency: np.ndarray, model: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Absorption by pyrtlib on the grid (frequency, temperature, pressure).

    Returns the dry coefficient (km-1), that of thin vapour (km-1 per g m-3), and the relative
    growth of the latter per g m-3 of vapour.
    """
    from pyrtlib.absorption_model import H2OAbsModel, N2AbsModel, O2AbsModel
    from pyrtlib.rt_equation import RTEquation

    H2OAbsModel.model = model
    H2OAbsModel.set_ll()
    O2AbsModel.model = model if model in O2AbsModel.implemented_models()["Oxygen"] else "R22"
    O2AbsModel.set_ll()
    N2AbsModel.model = O2AbsModel.model
    t, p = np.meshgrid(TEMPERATURE, PRESSURE, indexing="ij")
    shape = (frequency.size, TEMPERATURE.size, PRESSURE.size)
    dry, thin, dense = np.empty(shape), np.empty(shape), np.empty(shape)
    for i, f in enumerate(frequency):
        for rho, target in zip(VAPOUR, (thin, dense), strict=True):
            e = rho * t.ravel() / 216.68
            wet, air = RTEquation.clearsky_absorption(p.ravel() + e, t.ravel(), e, float(f))
            target[i] = wet.reshape(t.shape) / rho
            if rho == VAPOUR[0]:
                dry[i] = air.reshape(t.shape)
    growth = (dense - thin) / (VAPOUR[1] - VAPOUR[0])
    thin = thin - growth * VAPOUR[0]
    return dry, thin, growth / thin


def make_gases(model: str) -> None:
    """Store the gas table."""
    frequency = gas_frequencies()
    dry, thin, growth = gas_absorption(frequency, model)
    np.savez_compressed(
        TABLES / "gases.npz",
        frequency=frequency.astype("f4"),
        temperature=TEMPERATURE.astype("f4"),
        pressure=PRESSURE.astype("f4"),
        log_dry=np.log(dry).astype("f4"),
        log_vapour=np.log(thin).astype("f4"),
        self_growth=growth.astype("f4"),
        model=np.array(model),
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=["gases", "particles"])
    parser.add_argument("--model", default="R22SD")
    args = parser.parse_args()
    TABLES.mkdir(exist_ok=True)
    if args.table == "gases":
        make_gases(args.model)
    else:
        make_particles()


if __name__ == "__main__":
    main()
