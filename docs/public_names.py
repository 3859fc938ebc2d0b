"""A directive for Sphinx: `public-names` documents names of `convscope`, and what the functions among them return.

Docstrings here are plain text with `code` and indented examples; `marked_up` makes reStructuredText of them. Of an
experiment the parameters are described by its annotations, as its command and its form are.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, get_type_hints

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docutils import SphinxDirective

import convscope
from convscope.experiments import EXPERIMENTS
from convscope.parameters import fields


class PublicNames(SphinxDirective):
    """`.. public-names:: project occlude`: functions, each followed by the class it returns, and classes."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return what autodoc makes of them."""
        lines = [line for name in self.arguments[0].split() for line in documented(name)]
        return self.parse_text_to_nodes(StringList(lines, source="convscope/__init__.py"))


def documented(name: str) -> Iterator[str]:
    """The lines that ask autodoc for a public name."""
    value = getattr(convscope, name)
    if inspect.isclass(value) and issubclass(value, Exception):  # autodoc asks these for a signature they have not
        yield from (f".. py:exception:: convscope.{name}", "", f"   {inspect.getdoc(value)}".replace("`", "``"), "")
        return
    if inspect.isclass(value):
        yield from (f".. autoclass:: convscope.{name}", "   :members:", "")
        return
    yield from (f".. autofunction:: convscope.{name}", "")
    returned = get_type_hints(value)["return"]
    if returned.__module__.startswith("convscope.") and returned.__name__ not in convscope.__all__:
        yield from (f".. autoclass:: {returned.__module__}.{returned.__name__}", "   :members:", "")


def marked_up(lines: list[str]) -> list[str]:
    """A docstring's lines as reStructuredText."""
    made: list[str] = []
    example = False
    for before, line in zip(["", *lines], lines, strict=False):
        starts = not example and not before and line.startswith("    ")
        example = starts or (example and (line.startswith("    ") or not line))
        if starts:
            made += [".. code-block:: python", ""]
        made.append(line if example else "".join(_inline(line)))
    return made


def _inline(line: str) -> Iterator[str]:
    """Pieces of a line: `code` as it is, the rest without special characters."""
    for text, code in re.findall(r"([^`]*)(?:`([^`]+)`)?", line):
        yield re.sub(r"([*|_\\])", r"\\\1", text)
        if code:
            yield f"``{code}``"


def described(value: Callable[..., Any]) -> Iterator[str]:
    """A line for each parameter of an experiment."""
    for field in fields(value):
        choices = f": {', '.join(field.choices)}" if field.choices else ""
        yield f":param {field.name}: {''.join(_inline(field.help + choices)) or 'a ``Network``'}"


def on_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Called by autodoc with the lines of a docstring, which it reads again afterwards."""
    lines[:] = marked_up(lines)
    if what in ("function", "class"):  # napoleon itself would take the colon in a property's docstring for a type
        lines[:] = GoogleDocstring(lines).lines()
    if name.removeprefix("convscope.") in EXPERIMENTS:
        lines += ["", *described(value), ""]


def on_signature(app: Sphinx, what: str, name: str, value: Any, *rest: Any) -> tuple[str, str] | None:
    """Called by autodoc: names and defaults. Results and errors, which nobody makes by hand, are shown without."""
    if what == "class":
        return (
            ("", "")
            if is_dataclass(value) or issubclass(value, Exception)
            else (str(_plain(inspect.signature(value))), "")
        )
    if what not in ("function", "method"):
        return None
    signature = inspect.signature(value)
    returned = signature.return_annotation
    return str(_plain(signature)), returned if isinstance(returned, str) else inspect.formatannotation(returned)


def _plain(signature: inspect.Signature) -> inspect.Signature:
    """A signature without annotations."""
    named = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    return inspect.Signature([parameter.replace(annotation=inspect.Parameter.empty) for parameter in named])


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", on_docstring)
    app.connect("autodoc-process-signature", on_signature)
    return {"parallel_read_safe": True}
