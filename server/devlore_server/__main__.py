"""The server's own command line: serve roles, look after an instance, rebuild, describe itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import click
import psycopg
import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from devlore.problems import Problem
from devlore_server import __version__, reference
from devlore_server.app import AlreadyRunning, WrongTier, application, prepared
from devlore_server.app.ownership import first_owner, rotated_keys, upgraded
from devlore_server.backup import BadBackup, back_up, restore
from devlore_server.container import make_secrets
from devlore_server.gateway.hosts import NotLoopback
from devlore_server.kit.draining import Drain
from devlore_server.kit.dump import DumpError
from devlore_server.kit.embedded import EmbeddedPostgresError
from devlore_server.kit.heap import bound_arenas, settle_collector
from devlore_server.kit.http.wire import BoundedHttp
from devlore_server.kit.migrate import MigrationError
from devlore_server.kit.telemetry import configure_logs
from devlore_server.rebuilding import rebuild_search
from devlore_server.settings import ROLES, BadSettings, Settings, secret_path
from devlore_server.team import NotUp, run_team

log = structlog.get_logger("devlore.server")
EXPECTED = (
    BadBackup,
    BadSettings,
    AlreadyRunning,
    NotLoopback,
    NotUp,
    WrongTier,
    DumpError,
    EmbeddedPostgresError,
    MigrationError,
    Problem,
    OSError,
)
"""What can be wrong; its message says what to do."""
REFUSED = (psycopg.OperationalError, psycopg.errors.InsufficientPrivilege)
"""PostgreSQL is away, or is not ours to use; its message is about DEVLORE_DATABASE_URL."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="devlore-server %(version)s")
def main() -> None:
    """The Devlore server. Its settings are DEVLORE_* variables; docs/ops/settings.md lists them."""


@main.command()
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="Run this role only; may be repeated.")
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.")
def serve(roles: tuple[str, ...], host: str | None, port: int | None) -> None:
    """Answer requests until told to stop (SIGTERM, Ctrl-C)."""
    with explained():
        settings = Settings.read(roles=roles or None, host=host, port=port)
        configure_logs(settings.log_format, settings.log_level)
        bound_arenas()
        # Cancelled: told to stop while it was still starting.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(asyncio.CancelledError):
            runner.run(serving(settings))


async def serving(settings: Settings) -> None:
    """Run the application and answer on its port until a signal says to stop; then let requests finish."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    assert this is not None
    _on_signal(loop, this.cancel)
    # Bound first: a port that is taken costs no start of PostgreSQL, and early callers wait instead of being refused.
    with _bound(settings) as listener:
        host, port = listener.getsockname()[:2]
        settings, drain = settings.model_copy(update={"port": port}), Drain()
        async with application(settings, drain) as app:
            server = Server(_config(app, settings))
            _on_signal(loop, lambda: _stop(loop, server, drain, settings.drain_seconds))
            settle_collector()
            log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
            await server.serve(sockets=[listener])
            log.info("stopping")


def _stop(loop: asyncio.AbstractEventLoop, server: uvicorn.Server, drain: Drain, seconds: float) -> None:
    """Say no to `/readyz`, after `seconds` to new connections, and let running requests finish; told twice, at once."""
    if not drain.begin():
        seconds = 0
    loop.call_later(seconds, server.handle_exit, signal.SIGTERM, None)


def _on_signal(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, act)


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would end the process before PostgreSQL has been stopped."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@main.command()
def migrate() -> None:
    """Bring the database up to date, without serving."""
    with explained():
        applied = asyncio.run(prepared(Settings.read()))
    click.echo("\n".join(applied) or "Nothing to do: the database is up to date.")


def _say(line: str) -> None:
    click.echo(line, err=True)


@main.command("backup")
@click.argument("target", metavar="FILE-OR-FOLDER", type=click.Path(path_type=Path))
def backup_command(target: Path) -> None:
    """Write everything this instance holds to a file, while it serves. It holds its keys: keep it safe."""
    with explained():
        path = asyncio.run(back_up(Settings.read(), target, _say))
    click.echo(path)


@main.command("restore")
@click.argument("source", metavar="FILE-OR-FOLDER", type=click.Path(path_type=Path, exists=True))
@click.option("--force", is_flag=True, help="Replace the instance that is there.")
def restore_command(source: Path, force: bool) -> None:
    """Make this instance what a backup holds, all of it or nothing; of a folder, the newest one."""
    with explained():
        settings = Settings.read()
        secret = secret_path(os.environ, settings.home)
        path = asyncio.run(restore(settings, source, secret, _say, force=force))
    click.echo(f"Restored from {path}. Start it now: the full-text index is made anew from the rows.")


_ORGANISATION = click.option("--organisation", default="My team", show_default=True, help="Its name when it is new.")
_EMAIL = click.option("--email", help="Whose link it is: nobody with another address can use it.")


@main.command()
@_ORGANISATION
def team(organisation: str) -> None:
    """Run a team instance on this machine: a process per role and a Redis, until told to stop."""
    with explained():
        settings = Settings.read(tier="team")
        configure_logs(settings.log_format, settings.log_level)
        with asyncio.Runner() as runner, contextlib.suppress(asyncio.CancelledError):
            runner.run(_until_told(run_team(settings, organisation, click.echo)))


async def _until_told(work: Coroutine[None, None, None]) -> None:
    this = asyncio.current_task()
    assert this is not None
    _on_signal(asyncio.get_running_loop(), this.cancel)
    await work


@main.command("first-owner")
@_ORGANISATION
@_EMAIL
def first_owner_command(organisation: str, email: str | None) -> None:
    """Print the link by which the first owner of a team instance signs up; each call withdraws the one before."""
    with explained():
        link = asyncio.run(first_owner(Settings.read(tier="team"), organisation, email))
    click.echo(link or "It has an owner already, who can invite others.")


@main.command("upgrade-tier")
@click.argument("tier", type=click.Choice(["team"]))
@_ORGANISATION
@_EMAIL
def upgrade_tier_command(tier: str, organisation: str, email: str | None) -> None:
    """Make this person's instance a team's; prints the link by which they sign in from now on. Loses nothing."""
    with explained():
        link = asyncio.run(upgraded(Settings.read(tier=tier), organisation, email))
    click.echo(link or "It is a team's already, and has an owner.")


@main.command("rotate-keys")
def rotate_keys_command() -> None:
    """Sign access tokens with a new key from now on; those of the one before stay good until they expire."""
    with explained():
        key = asyncio.run(rotated_keys(Settings.read(tier="team")))
    click.echo(f"Tokens are signed with {key}; every process of the instance does so within half a minute.")


_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@main.command("make-secrets", hidden=True)
@click.argument("folder", type=_FOLDER)
@click.option("--owner", type=_FOLDER, required=True, help="Folder of what only `migrate` and `backup` may read.")
@click.option("--postgres-host", required=True, help="Host, or host:port, of PostgreSQL.")
@click.option("--redis-host", required=True, help="Host, or host:port, of Redis.")
def make_secrets_command(folder: Path, owner: Path, postgres_host: str, redis_host: str) -> None:
    """Make the secrets of a Compose instance that are missing; what exists stays."""
    with explained():
        made = make_secrets(folder, owner, postgres_host, redis_host)
    click.echo("Made: " + ", ".join(made) if made else "Nothing to do: every secret is there.")


@main.group()
def rebuild() -> None:
    """Build an index anew from the rows; the old one answers until the new one is complete."""


@rebuild.command("search")
@click.option("--embedder", help="Switch to this embedding model when its vectors are complete.")
def rebuild_search_command(embedder: str | None) -> None:
    """Rebuild the full-text and vector indexes: in the running server, or here when none runs."""
    with explained():
        asyncio.run(rebuild_search(Settings.read(), embedder, lambda line: click.echo(line, err=True)))


@main.command()
def openapi() -> None:
    """Print the API's description (OpenAPI 3.1)."""
    click.echo(reference.openapi_text(), nl=False)


@main.command("reference")
@click.option("--check", is_flag=True, help="Write nothing; fail when a file is not what the code says.")
@click.option("--docs", type=click.Path(path_type=Path), default=Path("docs"), show_default=True)
def write_reference(check: bool, docs: Path) -> None:
    """Write the generated documents: OpenAPI, problems, events, metrics, settings."""
    stale = reference.write(docs, only_check=check)
    for path in stale:
        click.echo(f"{path} {'is not what the code says: run make openapi' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """An expected failure ends the program with its message, not with a traceback."""
    try:
        yield
    except EXPECTED as error:
        raise click.ClickException(_words(error)) from None
    except REFUSED as error:
        raise click.ClickException(f"PostgreSQL: {' '.join(str(error).split())}") from None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=2048)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from None


if __name__ == "__main__":
    main(prog_name="devlore-server")
