"""The text part of a mail that only has HTML: what a person would read, with the addresses of its links.

Whitespace folds as in a browser; blocks become paragraphs, table rows lines, cells columns parted by two
spaces; what is hidden (styles, scripts, `hidden`, `display:none`) is left out. Two regular expressions read
the HTML, in time linear to it: this is done for every mail, and a general parser takes longer than the rest.
"""

import re
from collections.abc import Mapping
from html import unescape

_INVISIBLE = frozenset({"head", "script", "style", "template", "title", "noscript"})
_PARAGRAPHS = frozenset(
    {"h1", "h2", "h3", "h4", "h5", "h6", "p", "ul", "ol", "dl", "table", "blockquote", "pre"}
)
_LINES = _PARAGRAPHS | {"address", "article", "aside", "body", "dd", "div", "dt", "footer", "form", "header"}
_BLOCKS = _LINES | {"html", "li", "main", "nav", "section", "tbody", "tfoot", "thead", "tr", "figure"}
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
)
_CELLS = frozenset({"td", "th"})
_MEANT = _BLOCKS | _CELLS | {"a", "br", "hr", "img"}
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_RULE_WIDTH = 40
_NONE: Mapping[str, str] = {}
_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<((?i:script|style|title))\b[^>]*>.*?(?:</(?i:\1)[^>]*>|\Z)"  # within these nothing is markup
    r"|<(/?[A-Za-z][^\s/<>]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*+)>"
    r"|<[!?/][^>]*>",
    re.DOTALL,
)
"""What stands between texts. Groups: an element left out whole, else a tag with its `/`, its attributes."""
_ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>=`]+)))?", re.DOTALL)
_LINK_SCHEMES = ("http:", "https:", "mailto:", "tel:")


def text_from_html(html: str) -> str:
    """`html` as plain text, ending with a newline unless empty."""
    reader = _Reader()
    first, *rest = _TOKEN.split(html)
    reader.data(first)
    for tag, attributes, text in zip(rest[1::4], rest[2::4], rest[3::4], strict=True):
        if tag is not None:
            if tag[0] == "/":
                reader.end(tag[1:].lower())
            else:
                reader.start(tag.lower(), attributes)
        if text:
            reader.data(text)
    return reader.text()


def _attributes(text: str) -> dict[str, str]:
    return {
        name.lower(): unescape(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(text)
    }


def _of_interest(written: str) -> bool:
    """Whether any of these attributes may matter here; most only say how things look."""
    lowered = written.lower()
    return "hidden" in lowered or "display" in lowered or "href" in lowered or "alt" in lowered


def _hides(attributes: Mapping[str, str]) -> bool:
    return "hidden" in attributes or _HIDDEN_STYLE.search(attributes.get("style", "")) is not None


class _Reader:
    """Gathers lines while it is told of tags and texts, in order."""

    def __init__(self) -> None:
        self._lines: list[str] = [""]
        self._hidden: list[str] = []  # open elements from the outermost hidden one on
        self._links: list[tuple[str, int, int]] = []  # address, and the place where its text began
        self._lists: list[int | None] = []  # for each open list the last number, None for bullets
        self._preformatted = 0

    def start(self, tag: str, written: str) -> None:
        """An element begins, with these attributes as they are written."""
        attributes = _attributes(written) if written and _of_interest(written) else _NONE
        if self._hidden or tag in _INVISIBLE or (attributes and _hides(attributes)):
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        if tag in _MEANT:
            self._begin(tag, attributes)

    def _begin(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _BLOCKS:
            self._break(paragraph=tag in _PARAGRAPHS and not (tag in ("ul", "ol") and self._lists))
        if tag == "br":
            self._lines.append("")
        elif tag == "hr":
            self._break(paragraph=False)
            self._lines[-1] = "-" * _RULE_WIDTH
            self._lines.append("")
        elif tag == "img":
            self._write(attributes.get("alt", ""))
        elif tag == "a":
            self._links.append((attributes.get("href", ""), len(self._lines), len(self._lines[-1])))
        elif tag in ("ul", "ol"):
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._begin_item()
        elif tag == "pre":
            self._preformatted += 1
        elif tag in _CELLS and self._lines[-1].strip():
            self._lines[-1] = self._lines[-1].rstrip() + "  "

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._hidden:
            if tag in self._hidden:
                while self._hidden and self._hidden.pop() != tag:
                    pass
            return
        if tag not in _MEANT:
            return
        if tag == "a" and self._links:
            self._end_link(*self._links.pop())
        elif tag in ("ul", "ol") and self._lists:
            self._lists.pop()
        elif tag == "pre" and self._preformatted:
            self._preformatted -= 1
        if tag in _BLOCKS:
            self._break(paragraph=tag in _PARAGRAPHS and not self._lists)

    def data(self, data: str) -> None:
        """Text between two tags."""
        if self._hidden:
            return
        data = unescape(data)
        if self._preformatted:
            first, *rest = data.split("\n")
            self._lines[-1] += first
            self._lines.extend(rest)
        else:
            self._write(data)

    def text(self) -> str:
        """All that was read."""
        lines = (line.replace("\xa0", " ").rstrip() for line in self._lines)
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
        return text + "\n" if text else ""

    def _write(self, data: str) -> None:
        words = _SPACE.sub(" ", data)
        line = self._lines[-1]
        self._lines[-1] = line + (words.lstrip(" ") if not line or line.endswith(" ") else words)

    def _break(self, *, paragraph: bool) -> None:
        if self._lines[-1].strip():
            self._lines.append("")
        else:
            self._lines[-1] = ""
        if paragraph and len(self._lines) > 1 and self._lines[-2].strip():
            self._lines.append("")

    def _begin_item(self) -> None:
        number = self._lists[-1] if self._lists else None
        if number is None:
            mark = "- "
        else:
            self._lists[-1] = number + 1
            mark = f"{number + 1}. "
        self._lines[-1] = "  " * max(len(self._lists) - 1, 0) + mark

    def _end_link(self, address: str, line: int, column: int) -> None:
        if not address.lower().startswith(_LINK_SCHEMES):
            return
        label = " ".join([self._lines[line - 1][column:], *self._lines[line:]]).strip()
        bare = address.removeprefix("mailto:")
        if not label:
            self._write(bare)
        elif label not in (address, bare):
            self._lines[-1] = f"{self._lines[-1].rstrip()} <{bare}>"
