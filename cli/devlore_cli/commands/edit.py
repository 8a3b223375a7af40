"""`devlore edit`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
from pydantic_core import to_jsonable_python

from devlore.problems import Conflict, Invalid, NotFound, Problem, VersionMismatch
from devlore.types import Memory
from devlore_cli import documents, editor, naming
from devlore_cli.failures import EXIT_CONFLICT, EXIT_FAILURE, EXIT_USAGE, Failure, exit_code, words
from devlore_cli.identifiers import memories_given
from devlore_cli.output import one_line, quantity
from devlore_cli.progress import Progress
from devlore_cli.render import listed
from devlore_cli.session import WHEN, Session, command, moment_given, no_memory, sharing, stdin_text

_MANY = 20
"""More memories than a person sees at a glance, and than `devlore list` shows unasked."""
_ONES_OWN = (NotFound, Conflict, VersionMismatch, Invalid)
"""What is wrong with one memory and may not be with the next."""


@click.command()
@click.argument("memory_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--title", help="New title.")
@click.option("--body", help="New body; - reads it from stdin.")
@click.option("--kind", "-k", help="New kind.")
@click.option("--project", "-p", help="New project; empty for none.")
@click.option("--tag", "-t", "tags", multiple=True, help="Replace the tags by these.")
@click.option("--add-tag", multiple=True, help="Add a tag.")
@click.option("--remove-tag", multiple=True, help="Take a tag off.")
@click.option("--occurred-at", type=WHEN, help="When it happened.")
@click.option("--importance", type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--pin/--unpin", "pinned", default=None, help="Pin it or not.")
@click.option("--privacy", type=click.Choice(["private", "team", "public"]), help="Who sees it.")
@click.option("--team", shell_complete=naming.complete_team, help="Team that sees it; by name or id, empty for none.")
@click.option("--allow-secrets", is_flag=True, help="Store secrets in it as they are, if you may; it is audited.")
@click.option("--version", type=click.IntRange(1), help="Change only if this is still the version.")
@click.option("--yes", "-y", is_flag=True, help=f"Do not ask, even when they are more than {_MANY}.")
@command
def edit(
    session: Session,
    memory_ids: tuple[str, ...],
    allow_secrets: bool,
    version: int | None,
    yes: bool,
    **options: Any,
) -> None:
    """Change the memory ID: by options, or without any in $VISUAL or $EDITOR as Markdown with front matter.

    Several are changed alike, by options. - reads them from stdin: ids, or what list and search say with --json.

    \b
    devlore list --project api --all --json | devlore edit - --team Platform
    """
    several = len(memory_ids) > 1 or memory_ids == ("-",)
    if several:
        _check_alike(options, version)
    found = memories_given(memory_ids)
    fields = _fields(session, options)
    allowed: dict[str, Any] = {"allow_secrets": True} if allow_secrets else {}

    def changed(memory: Memory) -> Memory:
        changes = fields | _tags(memory, options)
        if not changes:
            return _in_editor(session, memory, version or memory.version, allowed)
        return session.client.memories.update(memory.id, version=version or memory.version, **changes, **allowed)

    if several:
        if len(found) > _MANY and not yes:
            session.agreed_if_watched(f"Change {len(found):,} memories?")
        _change_all(session, found, changed)
    else:
        _change_one(session, next(iter(found)), changed)


def _check_alike(options: dict[str, Any], version: int | None) -> None:
    """Raise a usage error unless the options make sense for several memories at once."""
    given = {name for name, value in options.items() if value is not None and value != ()}
    if version is not None or given & {"title", "body"}:
        raise click.UsageError("--title, --body and --version are for one memory.")
    if not given:
        raise click.UsageError("Say by options what to change: the editor takes one memory at a time.")


def _fields(session: Session, options: dict[str, Any]) -> dict[str, Any]:
    """What becomes the same in every memory: stdin is read, and a team asked for, once."""
    plain = ("title", "kind", "importance", "pinned", "body", "project")
    fields = {name: options[name] for name in plain if options[name] is not None}
    if fields.get("body") == "-":
        fields["body"] = stdin_text()
    if fields.get("project") == "":
        fields["project"] = None
    return fields | moment_given(options["occurred_at"]) | sharing(session, options["privacy"], options["team"])


def _tags(memory: Memory, options: dict[str, Any]) -> dict[str, list[str]]:
    if not (options["tags"] or options["add_tag"] or options["remove_tag"]):
        return {}
    tags = [*(options["tags"] or memory.tags), *options["add_tag"]]
    return {"tags": [tag for tag in dict.fromkeys(tags) if tag not in options["remove_tag"]]}


def _change_one(session: Session, memory_id: str, changed: Callable[[Memory], Memory]) -> None:
    try:
        memory = session.client.memories.get(memory_id)
        now = changed(memory)
    except NotFound as error:
        raise (no_memory(memory_id) if error.detail is None else error) from error
    if now.version == memory.version:
        session.note("Nothing changed.")
    session.one(now, lambda one: listed(session.out, one))


def _change_all(session: Session, found: dict[str, Memory | None], changed: Callable[[Memory], Memory]) -> None:
    """Change each as it was listed, else as it is; what is wrong with one stops no other."""
    counts = {"changed": 0, "unchanged": 0}
    refused: dict[str, Problem] = {}
    with Progress(session.err, "edit") as progress:
        try:
            for done, (memory_id, as_listed) in enumerate(found.items(), 1):
                try:
                    memory = as_listed or session.client.memories.get(memory_id)
                    now = changed(memory)
                except _ONES_OWN as problem:
                    refused[memory_id] = problem
                else:
                    counts["unchanged" if now.version == memory.version else "changed"] += 1
                    if session.as_json:
                        progress.clear()
                        session.json(now)
                progress.update(done, len(found))
        finally:
            progress.clear()
            _report(session, counts, refused)
    if refused:
        codes = {exit_code(problem) for problem in refused.values()}
        rest = "; the rest was" if any(counts.values()) else ""
        message = f"{quantity(len(refused), 'memory', 'memories')} could not be changed{rest}."
        raise Failure(message, code=codes.pop() if len(codes) == 1 else EXIT_FAILURE)


def _report(session: Session, counts: dict[str, int], refused: dict[str, Problem]) -> None:
    """How many, for people; what was refused on stderr, as words or as problem JSON."""
    for memory_id, problem in refused.items():
        if session.as_json:
            session.err.line(
                json.dumps(to_jsonable_python(problem.body() | {"memory_id": memory_id}), ensure_ascii=False)
            )
        else:
            gone = isinstance(problem, NotFound) and problem.detail is None
            session.err.line(f"{memory_id}: {'There is no such memory.' if gone else one_line(words(problem))}")
    if not session.as_json:
        told = [f"{count:,} {what}" for what, count in counts.items() if count]
        session.out.line(", ".join(told) or "nothing changed")


def _in_editor(session: Session, memory: Memory, version: int, allowed: dict[str, Any]) -> Memory:
    before = documents.for_editing(memory)
    text = editor.edited(before)
    if text == before:
        return memory
    try:
        changes = documents.changes(memory, documents.read(text))
        if not changes:
            return memory
        return session.client.memories.update(memory.id, version=version, **changes, **allowed)
    except VersionMismatch as error:
        advice = f"Your text is kept in {editor.kept(text)}\nLook at what changed: devlore diff {memory.id}"
        raise Failure("Somebody else has changed this memory meanwhile.", advice, EXIT_CONFLICT) from error
    except Invalid as error:
        raise Failure(words(error), f"Your text is kept in {editor.kept(text)}", EXIT_USAGE) from error
    except documents.BadDocument as error:
        message = f"The edited text cannot be read: {error}."
        raise Failure(message, f"Your text is kept in {editor.kept(text)}", EXIT_USAGE) from error
    except Exception:
        click.echo(f"Your text is kept in {editor.kept(text)}", err=True)
        raise
