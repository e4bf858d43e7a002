"""Write small inventories of the other projects' names that these pages link to.

    python tools/make_inventories.py docs/_inventories

Links then need no network when the pages are built. Each name must exist in the installed package;
where it is documented is told below and changes with a project's pages only.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import zlib
from collections.abc import Iterator
from pathlib import Path

BUILTINS = "library/functions.html", "library/stdtypes.html", "library/constants.html"
PAGES: dict[str, dict[str, str]] = {
    "python": {
        "builtins.bool": BUILTINS[0],
        "builtins.float": BUILTINS[0],
        "builtins.int": BUILTINS[0],
        "builtins.dict": BUILTINS[1],
        "builtins.list": BUILTINS[1],
        "builtins.str": BUILTINS[1],
        "builtins.tuple": BUILTINS[1],
        "builtins.None": BUILTINS[2],
        "builtins.True": BUILTINS[2],
        "builtins.False": BUILTINS[2],
        "datetime.date": "library/datetime.html",
        "pathlib.Path": "library/pathlib.html",
    },
    "numpy": {
        "numpy.datetime64": "reference/arrays.scalars.html",
        "numpy.ndarray": "reference/generated/numpy.ndarray.html",
        "numpy.random.Generator": "reference/random/generator.html",
    },
    "xarray": {
        f"xarray.{name}": f"generated/xarray.{name}.html"
        for name in ("Dataset", "DataArray", "DataTree", "open_dataset", "open_datatree",
                     "open_mfdataset", "Dataset.to_netcdf", "Dataset.sel")
    },
    "torch": {
        "torch.Generator": "generated/torch.Generator.html",
        "torch.Tensor": "tensors.html",
        "torch.device": "tensor_attributes.html",
        "torch.nn.Module": "generated/torch.nn.Module.html",
    },
    "satpy": {"satpy.scene.Scene": "api/satpy.scene.html"},
    "pyresample": {
        f"pyresample.geometry.{name}": "api/pyresample.html"
        for name in ("AreaDefinition", "DynamicAreaDefinition", "SwathDefinition")
    },
    "dask": {"dask.array.Array": "generated/dask.array.Array.html"},
    "distributed": {"distributed.Client": "api.html"},
}  # fmt: skip

OTHERS: dict[str, list[str]] = {
    "python": [
        *(f"{word} std:term -1 glossary.html#term-{word} -"
          for word in ("callable", "iterable", "iterator", "mapping", "sequence")),
        "bltin-boolean-values std:label -1 library/stdtypes.html#$ Boolean Type - bool",
    ],
    "numpy": ["array_like std:term -1 glossary.html#term-array_like -"],
}  # fmt: skip
"""Words of glossaries and headings, which numpydoc links types to."""


def role_of(name: str) -> str:
    """Say what kind of object a name is, as Sphinx's Python domain calls it; it must exist."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ImportError:
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        if inspect.isclass(found):
            return "class"
        in_class = split < len(parts) - 1
        return ("method" if in_class else "function") if callable(found) else "data"
    raise ImportError(f"{name}: no such module")


def lines_of(project: str) -> Iterator[str]:
    """Entries of an inventory: name, role, priority, page with anchor, title."""
    for name, page in sorted(PAGES[project].items()):
        short = name.removeprefix("builtins.")
        yield f"{short} py:{role_of(name)} 1 {page}#$ -\n"
    yield from (f"{line}\n" for line in OTHERS.get(project, ()))


def inventory(project: str) -> bytes:
    """Write the second version of Sphinx's format."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    return head.encode() + zlib.compress("".join(lines_of(project)).encode(), 9)


def main() -> None:
    """Write one file for each project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for project in PAGES:
        (folder / f"{project}.inv").write_bytes(inventory(project))


if __name__ == "__main__":
    main()
