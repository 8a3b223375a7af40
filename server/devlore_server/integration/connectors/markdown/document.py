"""A Markdown text taken apart as far as its memory needs: prose without code, headings, sections, relative links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

_LINE_LIMIT = 2_000
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_IMAGE = re.compile(r"!\[[^\]\n]{0,500}\]\([^)\n]{0,2000}\)")
_CODE = re.compile(r"`[^`\n]{1,500}`")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*")
LINK = re.compile(
    r"\[(?P<label>[^\[\]\n]{0,500})\]\(\s*<?(?P<target>[^()\s<>]{1,2000}(?:\([^()\s]*\)[^()\s<>]*)?)>?[^)\n]{0,300}\)"
)
_DEFINITION = re.compile(r"^ {0,3}\[(?P<label>[^\]\n]{1,200})\]:[ \t]*<?(?P<target>[^\s>]{1,2000})>?", re.MULTILINE)
_SCHEME = re.compile(r"(?:[a-z][a-z0-9+.-]*:|//|#|mailto:)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its level, its text, and the line it is on."""

    level: int
    text: str
    line: int


class Document:
    """The text behind the front matter. ``prose`` has the same lines with code, comments and images blanked."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def prose(self) -> list[str]:
        kept: list[str] = []
        fence = ""
        for line in _uncommented(self.text).split("\n"):
            mark = _FENCE.match(line)
            if fence:
                if mark and mark[1].startswith(fence) and not line[mark.end() :].strip():
                    fence = ""
                kept.append("")
            elif mark:
                fence = mark[1]
                kept.append("")
            else:
                kept.append(_IMAGE.sub(" ", line) if "![" in line else line)
        return kept

    @cached_property
    def headings(self) -> list[Heading]:
        found = []
        previous = ""
        for number, line in enumerate(self.prose):
            if len(line) > _LINE_LIMIT:
                pass  # no heading is that long, and looking for its end would take long
            elif match := _HEADING.fullmatch(line):
                found.append(Heading(len(match[1]), match[2], number))
            elif (
                previous.strip()
                and _UNDERLINE.fullmatch(line)
                and not previous.lstrip().startswith(("-", "*", ">", "|"))
            ):
                found.append(Heading(1 if "=" in line else 2, previous.strip(), number))
            previous = line
        return found

    @property
    def title(self) -> str | None:
        """The first heading, as plain text."""
        return next((text for heading in self.headings if (text := plain(heading.text))), None)

    @cached_property
    def head(self) -> list[str]:
        """Prose before the second heading, of which decisions make a list of facts; 40 lines at most."""
        end = self.headings[1].line if len(self.headings) > 1 else len(self.prose)
        return self.prose[: min(end, 40)]

    def section(self, name: str) -> str | None:
        """The prose below the first heading that reads ``name`` (any case), up to the next heading."""
        for index, heading in enumerate(self.headings):
            if plain(heading.text).lower().strip(" :") == name:
                following = self.headings[index + 1].line if index + 1 < len(self.headings) else len(self.prose)
                lines = self.prose[heading.line + 1 : following]
                # The line above an underline belongs to the next heading.
                underlined = following < len(self.prose) and not _HEADING.fullmatch(self.prose[following])
                return "\n".join(lines[:-1] if underlined and lines else lines).strip()
        return None

    def fact(self, name: str) -> str | None:
        """The value of a ``Name: value`` line in the head, in any list or emphasis."""
        pattern = re.compile(rf"[\s>*|+-]*{name}[\s*_]*[:：|][\s*_]*(?P<value>.*?)[\s|]*", re.IGNORECASE)
        lines = (line for line in self.head if len(line) <= _LINE_LIMIT)
        return next((match["value"] for line in lines if (match := pattern.fullmatch(line)) and match["value"]), None)

    @cached_property
    def definitions(self) -> dict[str, str]:
        """Targets of reference links by lower-case label."""
        return {found["label"].lower(): found["target"] for found in _DEFINITION.finditer("\n".join(self.prose))}

    @property
    def relative_links(self) -> list[str]:
        """Targets of links within the folder or repository, decoded, in order, each once."""
        prose = _CODE.sub(" ", "\n".join(self.prose))
        targets = [found["target"] for found in LINK.finditer(prose)] + list(self.definitions.values())
        near = (unquote(target) for target in targets if not _SCHEME.match(target) and not target.startswith("/"))
        return list(dict.fromkeys(target for target in near if target and "\0" not in target))


def _uncommented(text: str) -> str:
    """The text with each HTML comment replaced by its line breaks; one that is not closed is left."""
    kept, position = [], 0
    while (start := text.find("<!--", position)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept += [text[position:start], "\n" * text.count("\n", start, end)]
        position = end + 3
    return "".join([*kept, text[position:]])


def plain(heading: str) -> str:
    """A heading without emphasis, code marks and link targets."""
    unlinked = LINK.sub(lambda found: found["label"], heading)
    return re.sub(r"[*`]+|(?<!\w)_+|_+(?!\w)", "", unlinked).strip()
