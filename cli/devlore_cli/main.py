"""The root command: knows every command by name and imports only the one that runs."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click
from click.shell_completion import CompletionItem

# Section → command → (where it is, its one line in --help). Here, so that --help imports none of them.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Remember": {
        "add": ("add:add", "Remember something."),
        "import": ("importing:import_", "Bring in a JSONL file or a folder of Markdown."),
        "sync": ("sync:sync", "Read a git repository or a folder of notes, and keep reading it."),
    },
    "Find": {
        "search": ("search:search", "Find memories by meaning, words and filters."),
        "show": ("show:show", "Show one memory."),
        "list": ("listing:list_", "List memories, newest first."),
        "facets": ("listing:facets", "Count memories by kind, project, tag and more."),
        "tags": ("listing:tags", "List tags with their counts."),
    },
    "Change": {
        "edit": ("edit:edit", "Change a memory in $EDITOR, or several by options."),
        "history": ("history:history", "List the versions of a memory."),
        "diff": ("history:diff", "Show what changed between two versions."),
        "restore": ("history:restore", "Bring back a deleted memory or an older version."),
        "supersede": ("lifecycle:supersede", "Say that another memory has replaced one."),
        "invalidate": ("lifecycle:invalidate", "Say that a memory was wrong."),
        "reinstate": ("lifecycle:reinstate", "Say that a memory holds after all."),
        "link": ("link:link", "Link a memory to another, a commit, a ticket, a file or a URL."),
        "rm": ("remove:remove", "Delete a memory, or erase it for good."),
    },
    "Sign in": {
        "login": ("login:login", "Sign in to a team's Devlore."),
        "logout": ("login:logout", "Sign out."),
        "whoami": ("login:whoami", "Say who is signed in, and with what rights."),
        "passwd": ("sessions:passwd", "Change your password."),
        "sessions": ("sessions:sessions", "List and end your sessions."),
        "keys": ("keys:keys", "Make, list and revoke API keys."),
    },
    "Work together": {
        "org": ("org:org", "Organisations: invite people, give roles, switch."),
        "team": ("team:team_", "Teams: make them, and say who is in them."),
        "audit": ("audit:audit", "Show what was done, by whom, and what was refused."),
        "policy": ("policy:policy", "Choose what happens to secrets in what is stored."),
    },
    "Look after": {
        "up": ("server:up", "Start Devlore on this machine, in the background."),
        "down": ("server:down", "Stop it."),
        "run": ("server:run", "Start it in the foreground."),
        "status": ("status:status", "Show what runs, and how far every index is."),
        "doctor": ("doctor:doctor", "Look for trouble, and say what to do about it."),
        "rebuild": ("rebuild:rebuild", "Build an index anew."),
        "export": ("exporting:export", "Write every memory to a JSONL file or a folder of Markdown."),
        "upgrade-tier": ("upgrade:upgrade_tier", "Make the Devlore of this machine a team's."),
        "completion": ("completion:completion", "Print the completion script of a shell."),
    },
}
_PLACES = {name: place for commands in SECTIONS.values() for name, (place, _) in commands.items()}

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help page."""
        return list(_PLACES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and take the command out of it."""
        if cmd_name not in _PLACES:
            return None
        module, _, name = _PLACES[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(f"devlore_cli.commands.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that is misspelt is told what was probably meant."""
        near = difflib.get_close_matches(args[0], _PLACES, 1)
        if near and args[0] not in _PLACES:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands that begin with ``incomplete``, without importing any."""
        commands = [(name, words) for group in SECTIONS.values() for name, (_, words) in group.items()]
        found = [CompletionItem(name, help=words) for name, words in commands if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections of the help page."""
        widest = max(map(len, _PLACES))
        for section, commands in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl([(name.ljust(widest), words) for name, (_, words) in commands.items()])


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"devlore {importlib.import_module('devlore').__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: devlore up · devlore add “…” · devlore search “…”",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def cli() -> None:
    """The memory of a development team: what was decided, fixed and learned, found again by meaning.

    \b
    The server is at $DEVLORE_URL, else on this machine at $DEVLORE_PORT, else where you signed in last
    (devlore login), else on this machine at 7700. You are who $DEVLORE_TOKEN or $DEVLORE_KEY says, else
    who signed in. Every command takes --json.
    Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 conflict.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given[: given.index("--")] if "--" in given else "--json" in given
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal of another encoding gets escapes instead of a crash; JSON is UTF-8 by definition.
            stream.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")
    code = run(given, as_json)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_BROKEN_PIPE
    if code == EXIT_BROKEN_PIPE:
        # The interpreter flushes once more at exit, and would complain there.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str], as_json: bool) -> int:
    """Run one command; every failure becomes one clear message on stderr and an exit code."""
    stdout = sys.stdout
    try:
        result: Any = cli.main(arguments, prog_name="devlore", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        return EXIT_BROKEN_PIPE
    except SystemExit:
        # When the pipe is closed, click wraps the stream and ends the process itself, with 1.
        if sys.stdout is not stdout:
            return EXIT_BROKEN_PIPE
        raise
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)
        return EXIT_INTERRUPTED
    except Exception as error:
        code: int = importlib.import_module("devlore_cli.failures").report(error, as_json)
        return code
