"""How the documentation is built; nothing here needs a network."""

from __future__ import annotations

import os
import sys
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

os.environ["XRAIN_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
warnings.filterwarnings("ignore", category=UserWarning, module="sphinx_gallery")

project = "xrain"
author = "The xrain developers"
copyright = author
release = version = installed_version("xrain")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "myst_parser",
    "numpydoc",
    "sphinx_autosummary_accessors",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "xrain_acronyms",
    "xrain_math",
    "xrain_meta",
    "xrain_pages",
    "xrain_quality",
]

# Links into other projects' pages by stored inventories, which tools/make_inventories.py writes.
intersphinx_mapping = {
    name: (address, f"_inventories/{name}.inv")
    for name, address in {
        "python": "https://docs.python.org/3",
        "numpy": "https://numpy.org/doc/stable",
        "xarray": "https://docs.xarray.dev/en/stable",
        "torch": "https://docs.pytorch.org/docs/stable",
        "satpy": "https://satpy.readthedocs.io/en/stable",
        "pyresample": "https://pyresample.readthedocs.io/en/stable",
        "dask": "https://docs.dask.org/en/stable",
        "distributed": "https://distributed.dask.org/en/stable",
    }.items()
}

exclude_patterns = ["_build", "_ext", "_inventories", "_templates", "**/sg_execution_times.rst"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the changelog is included without its own title
smartquotes_action = "qe"  # and leave the dashes of options alone
root_doc = "index"
default_role = "code"
nitpicky = False

autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # words are words; only what is named below is a link
numpydoc_xref_aliases = {
    name: f":obj:`{name}`"
    for name in (
        "xarray.Dataset",
        "xarray.DataArray",
        "dask.array.Array",
        "distributed.Client",
        "numpy.datetime64",
        "numpy.random.Generator",
        "torch.Generator",
        "torch.Tensor",
        "torch.device",
    )
} | {
    "callable": ":term:`callable <python:callable>`",
    "ndarray": ":obj:`numpy.ndarray`",
    "AreaDefinition": ":obj:`~pyresample.geometry.AreaDefinition`",
    "DynamicAreaDefinition": ":obj:`~pyresample.geometry.DynamicAreaDefinition`",
    "SwathDefinition": ":obj:`~pyresample.geometry.SwathDefinition`",
    "Path": ":obj:`~pathlib.Path`",
    "satpy.Scene": ":obj:`satpy.Scene <satpy.scene.Scene>`",
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_",),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "min_reported_time": 1,
    "write_computation_times": False,  # that page would need scripts from the network
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("xrain",),
    "matplotlib_animations": False,
    "nested_sections": False,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = f"xrain {version}"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["xrain.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/logo.svg"
html_domain_indices = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "logo": {"text": "xrain"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
# A site with several versions lists them in a file that tools/list_docs_versions.py writes.
if address := os.environ.get("XRAIN_DOCS_VERSIONS"):
    html_theme_options |= {
        "switcher": {"json_url": address, "version_match": version},
        "check_switcher": False,
        "navbar_start": ["navbar-logo", "version-switcher"],
        "show_version_warning_banner": True,
    }
html_sidebars = {
    page: []
    for page in (
        "index",
        "install",
        "quality",
        "limits",
        "reliability",
        "faq",
        "coming_from",
        "citing",
        "contributing",
        "changelog",
        "gallery/*",
    )
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
