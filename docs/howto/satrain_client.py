"""Call an xrain model from an environment that cannot hold xrain: copy this file there.

SatRain's package needs numpy < 2, xrain needs numpy >= 2. This side needs numpy and xarray alone.
"""

import subprocess
import tempfile
from pathlib import Path

import xarray as xr


class RemoteRetrieval:
    """A retrieval for ``satrain.evaluation.Evaluator.evaluate`` that runs in another Python.

    Parameters
    ----------
    python : path
        Python of the environment with xrain.
    model : str
        Name or folder of a model.
    sensor : str
        ``gmi`` or ``atms``.
    """

    def __init__(self, python, model, sensor="gmi"):
        command = [str(python), "-m", "xrain.evaluation.satrain", model, "--sensor", sensor]
        self._sensor = sensor
        self._folder = tempfile.TemporaryDirectory(prefix="xrain-satrain-")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._expect("ready")

    def _expect(self, word):
        answer = self._process.stdout.readline().strip()
        if answer != word:
            raise RuntimeError(f"xrain answered: {answer or 'nothing; see its messages above'}")

    def __call__(self, data):
        """Retrieve rain from what the evaluator loaded; see xrain's SatRainRetrieval."""
        known = [f"obs_{self._sensor}", f"eia_{self._sensor}", "latitude", "longitude"]
        if "batch" in data.indexes:  # a table: its index cannot be written
            data = data.reset_index("batch")
        data = data[[name for name in known if name in data.variables]].drop_attrs()
        source, target = (Path(self._folder.name) / name for name in ("input.nc", "rain.nc"))
        data.drop_encoding().to_netcdf(source, engine="h5netcdf")
        self._process.stdin.write(f"{source}\t{target}\n")
        self._process.stdin.flush()
        self._expect("done")
        with xr.open_dataset(target, engine="h5netcdf") as rain:
            return rain.load()

    def close(self):
        """End the other process."""
        self._process.stdin.write("\n")  # other processes may hold the pipe open
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()
