"""The documentation as a site: `make docs`, into build/docs."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs" / "_site"), *(str(ROOT / folder) for folder in ("clients", "models", "service"))]

from pages import write_pages  # noqa: E402  (found on the path that was just set)

write_pages(ROOT)

project = "Atomstream"
author = "The Atomstream developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "fields"]
exclude_patterns = ["_site"]
html_theme = "furo"
html_title = "Atomstream"
html_logo = html_favicon = "_site/icon.svg"
html_extra_path = ["config.schema.json"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": False, "imported-members": True}
napoleon_google_docstring = False
