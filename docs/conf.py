"""The documentation site: Sphinx with MyST and Furo over the Markdown of this folder. make docs builds it."""

import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "convscope"
author = copyright = "The convscope authors"
release = version = installed("convscope")

extensions = ["myst_parser", "sphinx.ext.autodoc", "public_names"]
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
myst_heading_anchors = 4

html_theme = "furo"
html_title = "convscope"
html_show_copyright = False
html_copy_source = False
