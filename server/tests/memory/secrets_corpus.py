"""A corpus of texts with secrets: every format in the places where people leave them, seeded, in two parts.

The parts share the formats and nothing else: other templates, other names. Rules may be tuned on ``development``;
``held_out`` says what that is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from tests.memory.secrets_files import DEVELOPMENT, HELD_OUT, LINEWISE
from tests.memory.secrets_formats import FORMATS, Format

Part = Literal["development", "held_out"]


@dataclass(frozen=True)
class Sample:
    """A text, the secrets it holds (none for a look-alike), its format, and what kind of place it is."""

    text: str
    secrets: tuple[str, ...]
    format: str
    place: str


_DEVELOPMENT = {
    "shell": "export {name}={value}\n./deploy.sh --region eu-west-1",
    "env": "# staging\n{name}={value}\nDEBUG=false",
    "python": 'client = Client(\n    {name}="{value}",\n    timeout=10,\n)',
    "yaml": "services:\n  api:\n    environment:\n      {name}: {value}\n      PORT: 8080",
    "json": '{{"host": "db-1", "{name}": "{value}", "retries": 3}}',
    "log": "2026-03-02T09:30:00Z WARN request failed url=/v1/sync {name}={value} status=401 took=12ms",
    "diff": "@@ -3,6 +3,7 @@\n def connect():\n-    {name} = None\n+    {name} = '{value}'\n     return open()",
    "markdown": "To reproduce, set `{name}={value}` and run the worker twice. It fails the second time.",
}
_HELD_OUT = {
    "powershell": '$env:{name} = "{value}"\nInvoke-Deploy -Verbose',
    "toml": '[service]\n{name} = "{value}"\nworkers = 4',
    "typescript": "const options = {{\n  {name}: '{value}',\n  retries: 5,\n}};",
    "dockerfile": 'FROM python:3.11\nENV {name}={value}\nCMD ["serve"]',
    "java": 'props.put("{name}", "{value}");\nreturn props;',
    "ini": "[default]\nregion = us-east-1\n{name} = {value}\n",
    "go": 'cfg := Config{{\n\t{name}: "{value}",\n\tDebug: true,\n}}',
    "chat": "ada: can you try again?\ngrace: sure, with {name}: {value} it still says 401\nada: odd",
    "escaped json": '{{"level":"error","msg":"config {{\\"{name}\\":\\"{value}\\"}} rejected"}}',
    "terraform": 'resource "app" "main" {{\n  {name}   = "{value}"\n}}',
}


def corpus(part: Part, *, seed: int = 20260302, rounds: int = 4) -> list[Sample]:
    """Texts with secrets: ``rounds`` of every format, each in another place."""
    random = Random(f"{seed} {part}")
    places = _DEVELOPMENT if part == "development" else _HELD_OUT
    samples = []
    for turn in range(rounds):
        for number, format in enumerate(FORMATS):
            place = list(places)[(number + turn * 3) % len(places)]
            samples.append(_assigned(random, format, place, places[place], part))
        for name, make in (DEVELOPMENT if part == "development" else HELD_OUT).items():
            text, secrets = make(random)
            samples.append(_around(random, Sample(text, secrets, name, "whole"), part, turn))
    return samples


def _assigned(random: Random, format: Format, place: str, template: str, part: Part) -> Sample:
    name = random.choice(format.names if part == "development" else format.held_out_names)
    value = format.make(random)
    return Sample(template.format(name=name, value=value), (value,), format.name, place)


def _around(random: Random, sample: Sample, part: Part, turn: int) -> Sample:
    """The same text as it is met: as it is, in a diff, indented, quoted."""
    lines = sample.text.split("\n")
    ways: Sequence[tuple[str, Callable[[str], str]]] = (
        (("file", lambda line: line), ("indented", lambda line: "    " + line))
        if part == "development"
        else (("patch", lambda line: "+" + line), ("quoted", lambda line: "> " + line))
    )
    # Files whose lines begin with what they mean are met as they are, or in a diff.
    place, way = ways[0] if sample.format in LINEWISE else ways[turn % 2]
    said = random.choice(("Found in the backup:", "This is what the box has:", "See attached."))
    return Sample("\n".join([said, "", *map(way, lines), "", "Please rotate."]), sample.secrets, sample.format, place)
