"""At a real server, as processes: terminals and pipes, colours and widths, stdin, Ctrl-C, completion."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO

import pytest
from cli.tests.terminal import Terminal

from devlore_cli.output import columns_of

DEVLORE = [sys.executable, "-m", "devlore_cli"]
COLOUR = re.compile(r"\x1b\[[\d;]*m")
LONG = "数据库连接池在高负载下耗尽因为语句泄漏" * 4 + " and a pool that ran dry 🐘 " * 4


def process(url: str, *arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"DEVLORE_URL": url} | variables
    return subprocess.run(
        [*DEVLORE, *arguments], input=stdin, capture_output=True, env=environment, check=False, timeout=60
    )


def on_terminal(url: str, columns: int, *arguments: str, **variables: str) -> tuple[int, str]:
    """The exit code of a command on a terminal of that width, and everything it wrote there."""
    outer, inner = os.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"DEVLORE_URL": url} | variables
    running = subprocess.Popen([*DEVLORE, *arguments], env=environment, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    shown = b""
    while True:
        try:
            part = os.read(outer, 65_536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(outer)
    return running.wait(30), shown.decode().replace("\r\n", "\n")


@pytest.fixture
def memory(real: Terminal, project: str) -> str:
    """One memory with wide characters, too long for any line."""
    return str(real("add", "-", "--title", LONG, "-p", project, "--json", stdin=f"{LONG}\n\n    code\n").json["id"])


@pytest.mark.parametrize("columns", [40, 72])
def test_lines_fit_a_narrow_terminal(real: Terminal, project: str, memory: str, columns: int) -> None:
    code, shown = on_terminal(real.url, columns, "list", "-p", project)
    assert code == 0
    title = COLOUR.sub("", shown).splitlines()[0]
    assert title.startswith("note  数据库") and title.endswith("…")
    assert columns_of(title) <= columns
    code, shown = on_terminal(real.url, columns, "show", memory)
    body = COLOUR.sub("", shown).partition("\n\n")[2]
    assert body and max(columns_of(line) for line in body.splitlines()) <= columns
    assert "\n    code\n" in body


def test_colours_only_where_they_are_wanted(real: Terminal, project: str, memory: str) -> None:
    assert "\x1b[" in on_terminal(real.url, 80, "show", memory)[1]
    assert "\x1b[" not in on_terminal(real.url, 80, "show", memory, NO_COLOR="1")[1]
    assert "\x1b[" not in on_terminal(real.url, 80, "show", memory, TERM="dumb")[1]
    assert b"\x1b[" not in process(real.url, "show", memory).stdout
    assert b"\x1b[" in process(real.url, "show", memory, FORCE_COLOR="1").stdout


def test_without_a_terminal_nothing_is_cut(real: Terminal, project: str, memory: str) -> None:
    shown = process(real.url, "list", "-p", project).stdout.decode()
    assert " ".join(LONG.split()) in shown.splitlines()[0]


def test_a_failure_is_red_only_on_a_terminal(real: Terminal) -> None:
    code, shown = on_terminal(real.url, 80, "search", 'say "x')
    assert code == 2
    assert shown.startswith("\x1b[31;1mdevlore:\x1b[0m ") and shown.splitlines()[2] == "      ^"
    assert process(real.url, "search", 'say "x').stderr.startswith(b"devlore: ")


def test_a_sync_draws_a_bar_and_takes_it_away(real: Terminal, project: str, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.md").write_text(f"# Note {number}\n\nText {number}\n")
    code, shown = on_terminal(real.url, 90, "sync", "markdown", str(tmp_path), "-p", project)
    assert code == 0
    assert "\r\x1b[2K" in shown and "memories" in shown
    assert re.fullmatch(r"done: 30 new in \d+ s", shown.rpartition("\x1b[2K")[2].strip())
    again = process(real.url, "sync", "markdown", str(tmp_path))
    assert re.fullmatch(rb"done: (30 unchanged|nothing new) in \d+ s\n", again.stdout)
    assert b"\x1b" not in again.stderr


def test_an_export_into_a_pipe_that_closes_is_no_error(real: Terminal, project: str, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"title": f"n{n}", "body": "x" * 2_000}) + "\n" for n in range(300))
    real("import", "-", "-p", project, stdin=lines)
    program = " ".join(DEVLORE)
    shown = subprocess.run(
        ["bash", "-c", f"{program} export - --project {project} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        env=os.environ | {"DEVLORE_URL": real.url}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    record, code = shown.stdout.splitlines()
    assert json.loads(record)["memory"]["project"] == project
    assert (code, shown.stderr) == ("141", "")


def test_stdin_that_is_no_text_is_said_without_a_traceback(real: Terminal, project: str) -> None:
    ended = process(real.url, "add", "-", "-p", project, stdin=b"caf\xe9")
    assert (ended.returncode, ended.stderr) == (2, b"devlore: What stdin brings is no UTF-8 text (byte 4).\n")
    ended = process(real.url, "add", "-", "-p", project, "--json", stdin=b"\xff")
    assert json.loads(ended.stderr)["code"] == "failed"
    assert process(real.url, "list", "-p", project).stdout == b""


@pytest.mark.parametrize("command", ["add", "list -p", "search --project"])
def test_arguments_that_are_no_text_are_said_without_a_traceback(real: Terminal, command: str) -> None:
    environment = os.environ | {"DEVLORE_URL": real.url}
    arguments = [*map(os.fsencode, DEVLORE), *command.encode().split(), b"caf\xe9"]
    ended = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(b"devlore: ") and b"Traceback" not in ended.stderr


def test_windows_lines_and_a_byte_order_mark_are_taken_off(real: Terminal, project: str) -> None:
    ended = process(real.url, "add", "-", "-p", project, "--json", stdin="\ufeffTitle\r\n\r\nOne\r\nTwo\r\n".encode())
    made = json.loads(ended.stdout)
    assert (made["title"], made["body"]) == ("Title", "One\nTwo")


def unread(pipe: IO[bytes]) -> int:
    """How many bytes in a pipe nobody has taken yet."""
    found: tuple[int] = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return found[0]


def test_ctrl_c_while_stdin_is_awaited(real: Terminal) -> None:
    running = subprocess.Popen(
        [*DEVLORE, "add", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"DEVLORE_URL": real.url},
    )
    assert running.stdin is not None
    running.stdin.write(b"More is to come\n")
    running.stdin.flush()
    while unread(running.stdin):
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, shown = running.communicate(timeout=20)
    assert running.returncode == 130
    assert b"Traceback" not in shown


def test_purging_on_a_terminal_shows_what_goes_and_asks(real: Terminal, project: str) -> None:
    memory = real("add", "Secret", "-p", project, "--json").json["id"]
    real.interactive = True
    asked = real("rm", memory, "--purge", stdin="n\n", code=130)
    assert f"{memory}  Secret" in asked.err and "Erase it for good?" in asked.err
    real.interactive = False
    assert "--yes" in real("rm", memory, "--purge", code=2).err
    assert real("show", memory).out


def test_a_near_duplicate_is_pointed_out_on_a_terminal(real: Terminal, project: str) -> None:
    text = f"The connection pool of {project} ran dry because prepared statements leaked"
    first = real("add", text, "-p", project, "--wait", "--json").json["id"]
    real.interactive = True
    second = real("add", text + " again", "-p", project, "--wait")
    if f"Much like {first}" in second.err:
        assert f"devlore supersede {first} --by " in second.err
    real.interactive = False
    assert real("add", text + " once more", "-p", project).err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("devlore li", {"list", "link"}),
        ("devlore search --lim", {"--limit"}),
        ("devlore add --privacy ", {"private", "team", "public"}),
        ("devlore sync ", {"git", "markdown", "list", "forget"}),
        ("devlore completion z", {"zsh"}),
    ],
)
def test_completion_offers_what_fits(words: str, expected: set[str]) -> None:
    asked = {"_DEVLORE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    shown = subprocess.run(DEVLORE, check=False, capture_output=True, text=True, env=os.environ | asked)
    assert {line.partition(",")[2] for line in shown.stdout.split()} == expected


@pytest.mark.parametrize("shell", ["bash"])
def test_the_completion_script_is_one_the_shell_reads(shell: str) -> None:
    script = subprocess.run([*DEVLORE, "completion", shell], capture_output=True, check=True).stdout
    subprocess.run([shell, "-n"], input=script, check=True)
