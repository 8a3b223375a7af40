"""Owns the query language: what a person writes into the search box, read into words, phrases and filters.

    connection pool "ran dry" -mysql kind:bug-fix -project:legacy after:3mo author:@me

- Words are free text; of several, any may match. `"…"` must occur as written (`\\"` is a quote inside).
- `-word`, `-"…"` must not occur. A minus before a digit or another minus is text (`-1`, `--no-verify`).
- `field:value` bounds the hits: any value of one field, all fields; `-field:value` excludes. `field:"a value"` may hold
  spaces, an unquoted one lists alternatives with commas.
- `after:` (from then on), `before:` (until then, exclusive) look at when it happened; `as_of:` shows what held then.

Developers paste errors, URLs, paths and code, so a colon alone never makes a filter: `key: value`, `std::vector`,
`http://…`, `C:\\x` and `TypeError:x` are text. Only a known field directly followed by its value is a filter, and only
a slip that is one keystroke (or a common other name) from a known field is refused, with the field it probably meant.
Text of several lines is pasted: quotes and minuses are its own there, only filters are read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from devlore.problems import InvalidQuery
from devlore.types import Privacy, Status
from devlore_server.search.moments import FORMS, moment

ME = "@me"
"""As an author: whoever asks."""

VALUE_FIELDS = ("kind", "project", "tag", "author", "team", "source", "privacy", "status")
DATE_FIELDS = ("before", "after", "as_of")
FIELDS = VALUE_FIELDS + DATE_FIELDS

_STATUSES = (*(s.value for s in Status), "any")
_PRIVACIES = tuple(p.value for p in Privacy)
_OTHER_NAMES = {"since": "after", "until": "before", "type": "kind", "label": "tag", "workspace": "project"}
_NOT_SLIPS = frozenset({"kid", "kin", "tea", "alter", "sauce"})
"""Words of their own that happen to lie one keystroke from a field."""

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\S+")
_FIELD = re.compile(r"([A-Za-z_]+):(?=\S)")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED_QUOTE = re.compile(r'\\(["\\])')


@dataclass(frozen=True, slots=True)
class Query:
    """A query as read. `text` holds the words and the phrases' words, for ranking; bounds are beside it."""

    text: str = ""
    phrases: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    wanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unwanted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    after: datetime | None = None
    before: datetime | None = None
    as_of: datetime | None = None


def parse(written: str, now: datetime) -> Query:
    """Read a query. Raises InvalidQuery, with the `position` of the character (from 0), where it cannot be read."""
    # PostgreSQL holds no NUL, so none can be matched; a space keeps every position.
    written = written.replace("\0", " ")
    pasted = "\n" in _QUOTED.sub("", written).strip()
    return _Reader(written, now, pasted).read()


@dataclass(slots=True)
class _Reader:
    """One pass from left to right."""

    written: str
    now: datetime
    pasted: bool
    words: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    values: dict[bool, dict[str, list[str]]] = field(default_factory=lambda: {True: {}, False: {}})
    dates: dict[str, datetime] = field(default_factory=dict)

    def read(self) -> Query:
        position = 0
        while position < len(self.written):
            space = _SPACE.match(self.written, position)
            position = space.end() if space else self._token(position)
        wanted, unwanted = ({name: tuple(v) for name, v in self.values[side].items()} for side in (True, False))
        return Query(" ".join(self.words), tuple(self.phrases), tuple(self.excluded), wanted, unwanted, **self.dates)

    def _token(self, start: int) -> int:
        """Take what begins at `start`; answers where it ends."""
        after = self.written[start + 1 : start + 2]
        negated = self.written[start] == "-" and (after.isalpha() or after in ('"', "_")) and bool(after)
        position = start + negated
        if self.written[position] == '"' and not self.pasted:
            text, end = self._quoted(position)
            self._phrase(text, negated)
            return end
        named = _FIELD.match(self.written, position)
        if named and not self.written.startswith((":", "//"), named.end()):
            name = named[1].lower()
            if name in FIELDS:
                return self._filter(name, start, named.end(), negated)
            self._refuse_slip(name, position)
        word = _WORD.match(self.written, position)
        text = word.group() if word else self.written[position]
        if negated and not self.pasted:
            self.excluded.append(text)
        else:
            self.words.append(self.written[start : position + len(text)])
        return position + len(text)

    def _quoted(self, start: int) -> tuple[str, int]:
        found = _QUOTED.match(self.written, start)
        if found is None:
            raise InvalidQuery('This quote is not closed; write \\" for a quote inside quotes.', position=start)
        return _ESCAPED_QUOTE.sub(r"\1", found[1]), found.end()

    def _phrase(self, text: str, negated: bool) -> None:
        if not text.strip():
            return
        if negated:
            self.excluded.append(text)
        else:
            self.phrases.append(text)
            self.words.append(text)

    def _filter(self, name: str, start: int, position: int, negated: bool) -> int:
        if quoted := self.written[position] == '"':
            value, end = self._quoted(position)
        else:
            word = _WORD.match(self.written, position)
            value = word.group() if word else ""
            end = position + len(value)
        if name in DATE_FIELDS:
            self._date(name, value, start, position, negated)
            return end
        several = [value] if quoted or name == "author" else value.split(",")
        read = [_value(name, part.strip(), position) for part in several if part.strip()]
        if not read:
            raise InvalidQuery(f"{name}: needs a value.", position=position)
        if negated and name == "status" and "any" in read:
            raise InvalidQuery("status:any cannot be excluded: nothing would be left.", position=position)
        self.values[not negated].setdefault(name, []).extend(read)
        return end

    def _date(self, name: str, value: str, start: int, position: int, negated: bool) -> None:
        if negated:
            raise InvalidQuery(f"{name}: cannot be excluded; use before: or after:.", position=start)
        try:
            read = moment(value, self.now)
        except ValueError:
            raise InvalidQuery(f"{name}:{value[:40]} is no date. Write {FORMS}.", position=position) from None
        held = self.dates.get(name)
        if held is not None and name == "as_of":
            raise InvalidQuery("as_of: stands twice; a search is as of one moment.", position=start)
        # Both bounds hold, so the narrower one decides.
        self.dates[name] = read if held is None else (max if name == "after" else min)(held, read)

    def _refuse_slip(self, name: str, position: int) -> None:
        meant = _OTHER_NAMES.get(name) or next((known for known in FIELDS if _is_slip(name, known)), None)
        if meant is None or name in _NOT_SLIPS:
            return
        raise InvalidQuery(
            f"There is no field {name}:. Did you mean {meant}:? Fields are {', '.join(FIELDS)}."
            " Put the words in quotes to search for them as text.",
            position=position,
            suggestion=meant,
        )


def _value(name: str, value: str, position: int) -> str:
    """The value in the form the indexes hold it."""
    if name in ("kind", "status", "privacy", "source"):
        value = value.lower()
    allowed = {"status": _STATUSES, "privacy": _PRIVACIES}.get(name)
    if allowed and value not in allowed:
        raise InvalidQuery(f"There is no {name} {value[:40]}; it is one of {', '.join(allowed)}.", position=position)
    if name == "team":
        try:
            return str(UUID(value))
        except ValueError:
            raise InvalidQuery(f"A team is named by its id; {value[:40]} is none.", position=position) from None
    return value


def _is_slip(name: str, known: str) -> bool:
    """Whether `name` is `known` with one keystroke too many, too few, wrong or swapped with its neighbour.

    The first letter must be right, and in a short field a wrong letter gives another word too easily (`kind`, `bind`).
    """
    if name[0] != known[0] or len(name) < 3 or abs(len(name) - len(known)) > 1:
        return False
    same = next((i for i, (a, b) in enumerate(zip(name, known, strict=False)) if a != b), min(len(name), len(known)))
    if len(name) > len(known):
        return name[same + 1 :] == known[same:] and (len(known) > 4 or name == known + "s")
    if len(name) < len(known):
        return name[same:] == known[same + 1 :] and len(known) > 3
    swapped = name[same : same + 2] == known[same : same + 2][::-1] and name[same + 2 :] == known[same + 2 :]
    return swapped or (len(known) > 4 and name[same + 1 :] == known[same + 1 :])
