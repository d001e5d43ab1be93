"""The content of an HTML page (headlines, tables, pictures) as values, and rendering it by templates."""

import base64
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Headline:
    """A metric with its unit, and a sentence that says what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Table:
    """Cells as text, ready to print; the first of each row names it. `text`: they are sentences, not metrics."""

    caption: str
    head: list[str]
    rows: list[list[str]]
    text: bool = False


@dataclass(frozen=True)
class Section:
    """A part of a page: `key` is its id and, with _ for -, the block of the template that fills it."""

    key: str
    title: str


@dataclass(frozen=True)
class Picture:
    """An encoded picture that goes into the page itself.

    Attributes:
        content: The file's bytes.
        kind: jpeg, png, webp or gif.
        size: (width, height) [px].
        alt: What one who cannot see it should know.
    """

    content: bytes
    kind: str
    size: tuple[int, int]
    alt: str

    @property
    def source(self) -> str:
        """The picture as an address that holds it."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"


def render(template: Path, **values: object) -> str:
    """Return the page that a template makes of its values; all text is escaped.

    The template extends `base.html.j2`, which needs `title` and `sections` (`Section`s in order), and takes the
    macros of `parts.html.j2`; it may include others of its own folder.

    Raises: jinja2.UndefinedError where a value is missing.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only who writes a page waits for it

    environment = Environment(
        loader=FileSystemLoader([template.parent, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
