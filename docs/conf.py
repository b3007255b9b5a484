"""How Sphinx makes a site of these pages (`make docs`). Nothing on it comes from another host."""

project = "wsplatform"
extensions = ["myst_parser"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
root_doc = "index"
myst_heading_anchors = 4  # as the pages link to each other, and as other readers of Markdown name them
html_theme = "furo"
html_title = "wsplatform"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sourcelink = False
