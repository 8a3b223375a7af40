"""The command line as a whole: start-up, help, exit codes, pipes, interruptions, completion."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted

from devlore_cli.main import SECTIONS, cli
from devlore_cli.session import Session

COMMANDS = {name: entry for commands in SECTIONS.values() for name, entry in commands.items()}
DEVLORE = [sys.executable, "-m", "devlore_cli"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_help_says_and_has_a_page(name: str, devlore: Terminal) -> None:
    place, words = COMMANDS[name]
    module, _, attribute = place.partition(":")
    command = getattr(importlib.import_module(f"devlore_cli.commands.{module}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert words.endswith(".")
    assert "Usage: devlore" in devlore(name, "--help").out


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(" ".join(path), command)]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [leaf for name, child in children if child is not None for leaf in leaves(child, (*path, name))]


@pytest.mark.parametrize(("path", "command"), leaves(cli))
def test_every_command_takes_json_and_url(path: str, command: click.Command) -> None:
    if path not in ("run", "completion"):
        assert {"as_json", "url"} <= {parameter.name for parameter in command.params}


def test_help_imports_neither_the_client_nor_a_command() -> None:
    program = (
        "import sys; from devlore_cli.main import run; run(['--help'], False);"
        "print([m for m in sys.modules if m.startswith(('devlore.', 'httpx2', 'pydantic', 'yaml', 'devlore_cli.c'))])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


def test_help_starts_quickly() -> None:
    """Against a bare interpreter in the same run and by the processor's time: a busy machine does not decide."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def seconds(*command: str) -> float:
        before = spent()
        subprocess.run(command, capture_output=True, check=True)
        return spent() - before

    pairs = [(seconds(sys.executable, "-c", "import click"), seconds(*DEVLORE, "--help")) for _ in range(7)]
    bare, whole = (min(times) for times in zip(*pairs, strict=True))
    assert whole < max(0.150, 2.5 * bare)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(body=samples.memory()), 0),
        (Reply(500, samples.problem(500, "internal")), 1),
        (Reply(422, samples.problem(422, "invalid")), 2),
        (Reply(404, samples.problem(404, "not-found")), 3),
        (Reply(401, samples.problem(401, "unauthenticated")), 4),
        (Reply(403, samples.problem(403, "not-allowed")), 4),
        (Reply(409, samples.problem(409, "conflict")), 5),
        (Reply(412, samples.problem(412, "version-mismatch")), 5),
    ],
)
def test_exit_codes(scripted: Scripted, devlore: Terminal, reply: Reply, code: int) -> None:
    scripted.play(reply)
    ended = devlore("invalidate", samples.ID, code=code)
    assert bool(ended.err) is bool(code)


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("show",), ("list", "--nonsense"), ("search", "x", "--limit", "many"), ("diff", "x", "0")],
)
def test_usage_errors_are_two(devlore: Terminal, arguments: tuple[str, ...]) -> None:
    assert devlore(*arguments, code=2).err.startswith("devlore: ")


def test_with_json_a_failure_is_a_problem_on_stderr(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(404, samples.problem(404, "not-found", detail="No such memory.")))
    ended = devlore("show", samples.ID, "--json", code=3)
    assert ended.out == ""
    assert ended.problem["code"] == "not-found"
    assert devlore("list", "--nonsense", "--json", code=2).problem["code"] == "usage"


def test_a_server_that_does_not_run_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Terminal(monkeypatch, "http://127.0.0.1:9")("list", code=1)
    assert "Nothing answers at http://127.0.0.1:9" in ended.err
    assert "devlore up" in ended.err


def test_the_address_is_an_option_or_a_setting_or_that_of_the_local_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Session(False, None).client.base_url == "http://127.0.0.1:7700"
    monkeypatch.setenv("DEVLORE_PORT", "8800")
    assert Session(False, None).client.base_url == "http://127.0.0.1:8800"
    monkeypatch.setenv("DEVLORE_URL", "http://memory.example")
    assert Session(False, None).client.base_url == "http://memory.example"
    assert Session(False, "http://other.example").client.base_url == "http://other.example"


def test_errors_of_fields_are_listed_once(scripted: Scripted, devlore: Terminal) -> None:
    errors = [{"pointer": "/tags/0", "detail": "too long"}]
    scripted.play(Reply(422, samples.problem(422, "invalid", detail="/tags/0: too long", errors=errors)))
    shown = devlore("add", "x", code=2).err
    assert shown.count("too long") == 1
    assert "tags.0" in shown


def test_an_address_that_is_none_is_said(devlore: Terminal) -> None:
    ended = devlore("list", "--url", "nonsense://", code=1)
    assert ended.err.startswith("devlore: ")


def environment(url: str) -> dict[str, str]:
    return os.environ | {"DEVLORE_URL": url}


def test_a_closed_pipe_is_no_error(scripted: Scripted) -> None:
    scripted.play(Reply(body=samples.page(*[samples.memory()] * 200, next="more")))
    pipeline = f"{sys.executable} -m devlore_cli list --all --json | head -1"
    shown = subprocess.run(
        pipeline, check=False, shell=True, capture_output=True, text=True, env=environment(scripted.url), timeout=30
    )
    assert len(shown.stdout.splitlines()) == 1
    assert shown.stderr == ""


def test_ctrl_c_is_130(scripted: Scripted) -> None:
    scripted.play(Reply(after=20.0))
    process = subprocess.Popen([*DEVLORE, "list"], env=environment(scripted.url), stderr=subprocess.PIPE, text=True)
    while not scripted.seen:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in shown


def test_another_encoding_is_no_crash(scripted: Scripted) -> None:
    scripted.play(Reply(body=samples.page(samples.memory(title="连接池"))))
    latin = environment(scripted.url) | {"PYTHONIOENCODING": "latin-1", "LC_ALL": "C", "PYTHONUTF8": "0"}
    plain = subprocess.run([*DEVLORE, "list"], capture_output=True, env=latin, check=True)
    assert b"\\u8fde" in plain.stdout
    exact = subprocess.run([*DEVLORE, "list", "--json"], capture_output=True, env=latin, check=True)
    assert "连接池" in exact.stdout.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(devlore: Terminal, shell: str) -> None:
    assert "_DEVLORE_COMPLETE" in devlore("completion", shell).out


def test_completing_a_command() -> None:
    asked = {"_DEVLORE_COMPLETE": "bash_complete", "COMP_WORDS": "devlore re", "COMP_CWORD": "1"}
    shown = subprocess.run(DEVLORE, check=False, capture_output=True, text=True, env=os.environ | asked)
    assert shown.stdout.split() == ["plain,restore", "plain,reinstate", "plain,rebuild"]


def test_completing_an_option() -> None:
    asked = {"_DEVLORE_COMPLETE": "bash_complete", "COMP_WORDS": "devlore search --exp", "COMP_CWORD": "2"}
    shown = subprocess.run(DEVLORE, check=False, capture_output=True, text=True, env=os.environ | asked)
    assert shown.stdout.split() == ["plain,--explain"]


def test_the_version(devlore: Terminal) -> None:
    assert devlore("--version").out.startswith("devlore 0.")


def test_the_package_runs_as_a_program(tmp_path: Path) -> None:
    shown = subprocess.run([*DEVLORE, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert shown.stdout.startswith("devlore ")
