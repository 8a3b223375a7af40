"""The server's own command line: serve roles, migrate, rebuild an index, describe itself."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from devlore_server import __version__, reference
from devlore_server.app import AlreadyRunning, application, prepared
from devlore_server.gateway.hosts import NotLoopback
from devlore_server.kit.embedded import EmbeddedPostgresError
from devlore_server.kit.heap import bound_arenas, settle_collector
from devlore_server.kit.migrate import MigrationError
from devlore_server.kit.telemetry import configure_logs
from devlore_server.rebuilding import rebuild_search
from devlore_server.settings import ROLES, BadSettings, Settings

log = structlog.get_logger("devlore.server")
EXPECTED = (BadSettings, AlreadyRunning, NotLoopback, EmbeddedPostgresError, MigrationError, OSError)
"""What can be wrong at start; its message says what to do."""


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
        async with application(settings) as app:
            server = Server(_config(app, settings))
            _on_signal(loop, lambda: server.handle_exit(signal.SIGTERM, None))
            settle_collector()
            host, port = listener.getsockname()[:2]
            log.info("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
            await server.serve(sockets=[listener])
            log.info("stopping")


def _on_signal(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, act)


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
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
        raise click.ClickException(str(error)) from None


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=2048)
    except OSError as error:
        raise click.ClickException(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}.") from None


if __name__ == "__main__":
    main(prog_name="devlore-server")
