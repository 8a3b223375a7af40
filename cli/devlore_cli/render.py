"""How memories, hits, versions and counts look to people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from uuid import UUID

from devlore.types import Count, Diff, Link, Memory, Privacy, SearchHit, Status, Version
from devlore_cli.dates import absolute, both, relative
from devlore_cli.output import Screen, clip, columns_of, one_line, printable, wrap

_KIND_COLOURS = {"decision": "green", "bug-fix": "red", "incident": "red", "change": "blue", "question": "magenta"}


def title_of(memory: Memory) -> str:
    """A memory's title, or the beginning of its body when it has none."""
    return one_line(memory.title) or clip(one_line(memory.body), 80) or "(empty)"


def listed(screen: Screen, memory: Memory) -> None:
    """A memory in two lines: what it is, and its id with when and where."""
    kind = screen.style(memory.kind, _KIND_COLOURS.get(memory.kind, "cyan"))
    room = None if screen.width is None else screen.width - columns_of(memory.kind) - 2
    screen.line(f"{kind}  {screen.style(clip(title_of(memory), room), 'bold')}{_standing(screen, memory)}")
    screen.line("  " + screen.style(_about(memory), "dim"))


def shown(screen: Screen, memory: Memory, links: list[Link], names: Mapping[UUID, str] = MappingProxyType({})) -> None:
    """A memory in full; ``names`` are those of its author and its team, as far as they are known."""
    for line in wrap(title_of(memory), screen.width):
        screen.line(screen.style(line, "bold"))
    rows = [("id", str(memory.id)), ("kind", memory.kind)]
    rows += [(name, value) for name, value in _details(memory, names) if value]
    rows += [("link", described(link)) for link in links]
    for name, value in rows:
        screen.line(f"{screen.style(name.rjust(12), 'dim')}  {one_line(value)}")
    if memory.body:
        screen.line()
        for line in wrap(printable(memory.body), screen.width):
            screen.line(line)


def described(link: Link) -> str:
    """A link in words, as seen from the memory it is listed for."""
    score = f" ({link.score:.2f})" if link.score is not None else ""
    note = f" – {link.note}" if link.note else ""
    target = link.target if link.direction == "outgoing" else str(link.memory_id)
    arrow = "" if link.direction == "outgoing" else "← "
    return f"{arrow}{str(link.type).replace('_', ' ')} {link.target_kind} {target}{score}{note}"


def hit(screen: Screen, rank: int, found: SearchHit) -> None:
    """A search hit: title and excerpts with what matched standing out, then where it comes from."""
    memory = found.memory
    marks = {h.field: h for h in found.highlights}
    title = title_of(memory)
    if (mark := marks.get("title")) and mark.offset == 0 and one_line(mark.excerpt) == mark.excerpt == title:
        title = screen.marked(title, mark.spans)
    elif screen.width is not None:
        title = clip(title, screen.width - 6 - columns_of(memory.kind))
    kind = screen.style(memory.kind, _KIND_COLOURS.get(memory.kind, "cyan"))
    screen.line(f"{rank:>2}  {kind}  {title}{_standing(screen, memory)}")
    for mark in found.highlights:
        if mark.field == "body":
            text = mark.excerpt.replace("\n", " ").replace("\t", " ")
            before = "…" if mark.offset else ""
            after = "…" if mark.offset + len(mark.excerpt) < len(memory.body) else ""
            screen.line(f"    {before}{screen.marked(text, mark.spans)}{after}")
    if found.instead_of is not None:
        replaced = one_line(found.instead_of.title) or str(found.instead_of.id)
        width = screen.width and screen.width - 4
        screen.line("    " + screen.style(clip(f"in the place of: {replaced}", width), "yellow"))
    more = f" · {found.duplicates} more like it" if found.duplicates else ""
    screen.line("    " + screen.style(_about(memory) + more, "dim"))


def explained(screen: Screen, found: SearchHit) -> None:
    """Why a hit stands where it stands: what each leg said, and the factors."""
    if found.explanation is None:
        return
    parts = []
    for leg in found.explanation.legs:
        said = "–" if leg.rank is None else f"#{leg.rank}"
        score = "" if leg.score is None else f" ({leg.score:.3f})"
        parts.append(f"{leg.leg} {said}{score} +{leg.contribution:.4f}")
    factors = [f"{name} ×{value:.3f}" for name, value in found.explanation.factors.items() if abs(value - 1) >= 0.0005]
    screen.line("    " + screen.style(f"score {found.score:.4f} = {' · '.join([*parts, *factors])}", "cyan"))


def version(screen: Screen, state: Version, current: bool) -> None:
    """One state of a memory: number, what was done, when, why, and its title then."""
    mark = screen.style(" (current)", "green") if current else ""
    reason = f" – {one_line(state.reason)}" if state.reason else ""
    screen.line(f"{screen.style(f'v{state.version}', 'bold')}  {state.change}  {both(state.changed_at)}{reason}{mark}")
    screen.line("    " + screen.style(title_of(state.memory), "dim"))


def difference(screen: Screen, diff: Diff) -> None:
    """What changed between two versions, as a unified diff."""
    screen.line(screen.style(f"v{diff.old_version} → v{diff.new_version}", "bold"))
    for change in diff.fields:
        if change.field == "body" and diff.body:
            continue
        screen.line(f"{change.field}:")
        screen.line("  " + screen.style(f"- {one_line(_value(change.old))}", "red"))
        screen.line("  " + screen.style(f"+ {one_line(_value(change.new))}", "green"))
    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in printable(diff.body).splitlines():
        colour = colours.get(line[:1])
        screen.line(screen.style(line, colour) if colour else line)
    if not diff.fields and not diff.body:
        screen.line("No difference.")


def counts(screen: Screen, found: list[Count], heading: str | None = None) -> None:
    """Values with how many memories carry each."""
    if heading:
        screen.line(screen.style(heading, "bold"))
    widest = max((len(f"{item.count:,}") for item in found), default=0)
    for item in found:
        screen.line(f"  {item.count:>{widest},}  {one_line(item.value)}")


def _standing(screen: Screen, memory: Memory) -> str:
    """Marks behind a title: pinned, and everything that is not simply active."""
    marks = [screen.style(" pinned", "yellow")] if memory.pinned else []
    if memory.status is not Status.ACTIVE:
        marks.append(screen.style(f" {memory.status}", "magenta"))
    if memory.deleted_at is not None:
        marks.append(screen.style(" deleted", "red"))
    return "".join(marks)


def _about(memory: Memory) -> str:
    # The name is enough here; `devlore show` has the address too.
    author = memory.source.author.partition(" <")[0] if memory.source and memory.source.author else None
    # Most are private; that one is not is worth seeing.
    shared = None if memory.privacy is Privacy.PRIVATE else str(memory.privacy)
    parts = [str(memory.id), shared, memory.project, author, " ".join(f"#{tag}" for tag in memory.tags)]
    parts.append(f"{relative(memory.occurred_at)} ({absolute(memory.occurred_at)})")
    return " · ".join(one_line(part) for part in parts if part)


def _details(memory: Memory, names: Mapping[UUID, str]) -> list[tuple[str, str]]:
    source = memory.source
    where = [source.connector, source.external_id, source.url, source.author] if source else []
    return [
        ("project", memory.project or ""),
        ("tags", ", ".join(memory.tags)),
        ("status", _status(memory)),
        ("valid", _validity(memory)),
        ("happened", both(memory.occurred_at)),
        ("stored", both(memory.created_at)),
        ("changed", both(memory.updated_at) if memory.version > 1 else ""),
        ("deleted", both(memory.deleted_at) if memory.deleted_at else ""),
        ("source", " · ".join(part for part in where if part)),
        ("by", names.get(memory.created_by, "")),
        (
            "privacy",
            f"{memory.privacy} {names.get(memory.team_id, memory.team_id)}" if memory.team_id else memory.privacy,
        ),
        ("version", str(memory.version)),
        ("importance", "" if memory.importance == 0.5 else f"{memory.importance:g}"),
        ("pinned", "yes" if memory.pinned else ""),
        ("trust", str(memory.trust)),
    ]


def _status(memory: Memory) -> str:
    by = f" by {memory.superseded_by}" if memory.superseded_by else ""
    reason = f" – {memory.status_reason}" if memory.status_reason else ""
    return f"{memory.status}{by}{reason}"


def _validity(memory: Memory) -> str:
    if memory.valid_to is None:
        return ""
    since = absolute(memory.valid_from) if memory.valid_from else "…"
    return f"{since} – {absolute(memory.valid_to)}"


def _value(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "(none)"
    return str(value)
