"""What people paste into a search box (traces, logs, diffs, paths, URLs, code) is looked for, not taken for syntax."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devlore.problems import InvalidQuery
from devlore_server.kit.auth import Principal
from devlore_server.search.query import FIELDS, VALUE_FIELDS, parse
from tests.search.conftest import Desk

NOW = datetime(2026, 3, 31, 15, 30, tzinfo=UTC)

PYTHON = """Traceback (most recent call last):
  File "/srv/api/pool.py", line 12, in acquire
    raise PoolExhausted("no connection after 30 s")
api.pool.PoolExhausted: no connection after 30 s"""
JAVA = """Exception in thread "main" java.lang.IllegalStateException: pool closed
    at com.acme.db.Pool.acquire(Pool.java:42)
    - locked <0x000000076b2b8e28> (a com.acme.db.Pool)
Caused by: java.net.SocketTimeoutException: Read timed out"""
RUST = """thread 'tokio-runtime-worker' panicked at 'called `Result::unwrap()` on an `Err` value', src/db.rs:88:10
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace"""
GO = "goroutine 1 [running]:\nmain.main()\n\t/home/ada/go/src/app/main.go:12 +0x1d"
NODE = """TypeError: Cannot read properties of undefined (reading 'id')
    at Object.<anonymous> (file:///srv/app/index.mjs:3:17)
    at node:internal/process/task_queues:95:5"""
DIFF = """--- a/pool.py
+++ b/pool.py
@@ -1,3 +1,3 @@
-maximum = 5  # "too few
+maximum = 50"""
YAML = """services:
  db:
    image: "postgres:18"
    command: -c max_connections=50"""
LOG = '{"level":"error","msg":"pool ran dry\\n","kind":"db"}\n{"level":"info"}'
COMMAND = 'docker run \\\n  -e "A=1\n  -v /srv:/srv'


@pytest.mark.parametrize("pasted", [PYTHON, JAVA, RUST, GO, NODE, DIFF, YAML, LOG, COMMAND])
def test_several_lines_are_looked_for_as_they_are(pasted: str) -> None:
    read = parse(pasted, NOW)
    assert read.text.split() == pasted.split(), "every word is looked for, as it stands"
    assert (read.phrases, read.excluded, read.wanted, read.unwanted) == ((), (), {}, {})


@pytest.mark.parametrize(
    "line",
    [
        "at com.acme.db.Pool.acquire(Pool.java:42)",
        "panicked at src/db.rs:88:10",
        "/home/ada/go/src/app/main.go:12 +0x1d",
        "node:internal/process/task_queues:95:5",
        r"C:\Users\ada\pool.py",
        r"\\server\share\x.txt",
        "D:/work/pool.py:12:5",
        "file:///srv/app/index.mjs:3:17",
        "postgres://app:secret@db:5432/app?sslmode=require",
        "git@github.com:acme/app.git",
        "https://acme.dev/search?q=kind:bug&tag:x#L3-L9",
        "mailto:ada@acme.dev",
        "urn:uuid:0190f3c2-7b1a-7c3e",
        "::1 fe80::1%eth0 [::]:8080",
        "12:34:56.789 2025-06-30T14:00:00Z",
        "std::vector<std::pair<int, int>> a::b::c",
        "SELECT x::text FROM t WHERE a->>'k' = '-1'",
        "if (a == b) { return x ? y : z; }",
        "lambda x:x+1",
        "dict[str,int]={'a':1}",
        "@Inject private final Pool pool;",
        "sha256:9f86d081884c7d659a2feaa0c55ad015",
        "!important #region $HOME %PATH% ^C ~/x *.py",
        "a&&b||c >>= <<EOF |> ?. ?? ...",
        "--no-verify --limit=5 -1 -- -42 - a",
        "x-y- -. -/ -(a)",
        "📦:1.2.3 :tada: 🙂:x",
        "名前:値 クラス::メソッド",
        "key= =value :x x: ::",
    ],
)
def test_one_line_of_code_is_text(line: str) -> None:
    read = parse(line, NOW)
    assert read.text == " ".join(line.split())
    assert (read.phrases, read.excluded, read.wanted, read.unwanted) == ((), (), {}, {})


def test_filters_work_on_any_line() -> None:
    read = parse("pool ran dry\nkind:bug-fix\n-project:legacy after:2025\r\nat night", NOW)
    assert read.text == "pool ran dry at night"
    assert (read.wanted, read.unwanted) == ({"kind": ("bug-fix",)}, {"project": ("legacy",)})
    assert read.after == datetime(2025, 1, 1, tzinfo=UTC)


def test_quotes_of_a_filter_hold_on_several_lines() -> None:
    assert parse('one\nauthor:"Ada L" two', NOW).wanted == {"author": ("Ada L",)}


def test_a_line_break_at_the_end_is_not_a_second_line() -> None:
    read = parse('  "ran dry" -mysql\n', NOW)
    assert (read.phrases, read.excluded) == (("ran dry",), ("mysql",))


def test_positions_count_characters_also_behind_astral_ones() -> None:
    for text, position in (("😀😀 tags:x", 3), ("数据库 after:soon", 10), ('é𝒳 "open', 3), ("a\n b\n since:1", 6)):
        with pytest.raises(InvalidQuery) as refused:
            parse(text, NOW)
        assert refused.value.extra["position"] == position, text


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_read_in_any_case_and_never_without_a_value(name: str) -> None:
    value = {
        "status": "superseded",
        "privacy": "team",
        "team": "0190f3c2-7b1a-7c3e-8000-000000000001",
        "before": "2025",
        "after": "2025",
        "as_of": "2025",
    }.get(name, "x")
    low, high = parse(f"w {name}:{value}", NOW), parse(f"w {name.upper()}:{value}", NOW)
    assert low == high
    assert low.text == "w"
    assert parse(f"w {name}: {value}", NOW).text == f"w {name}: {value}"
    if name in VALUE_FIELDS:
        assert parse(f"-{name}:{value}", NOW).unwanted == {name: low.wanted[name]}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tag:a,b,,c", {"tag": ("a", "b", "c")}),
        ('tag:"a,b"', {"tag": ("a,b",)}),
        ('tag:"two words"', {"tag": ("two words",)}),
        ("author:Lovelace,Ada", {"author": ("Lovelace,Ada",)}),
        ("project:api/v2 project:web", {"project": ("api/v2", "web")}),
        ("tag:c++ tag:#12", {"tag": ("c++", "#12")}),
        ("KIND:Bug-Fix", {"kind": ("bug-fix",)}),
        ("tag:CaSe", {"tag": ("CaSe",)}),
        ("status:any", {"status": ("any",)}),
        ("source:git tag:数据库", {"source": ("git",), "tag": ("数据库",)}),
        (r'project:"a \"b\" \\ c"', {"project": (r'a "b" \ c',)}),
    ],
)
def test_values(text: str, wanted: dict[str, tuple[str, ...]]) -> None:
    read = parse(text, NOW)
    assert (read.wanted, read.text) == (wanted, "")


@pytest.mark.parametrize("text", ["-status:any", "x -status:active,any"])
def test_any_status_cannot_be_excluded(text: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        parse(text, NOW)
    assert text[refused.value.extra["position"] :].startswith(("any", "active"))
    assert "any" in str(refused.value.detail)


_LINES = st.lists(
    st.sampled_from(
        [*(f"{f}:" for f in FIELDS), *PYTHON.split(" "), *DIFF.split(" "), "\n", "\t", '"', "-", "x", "7d"]
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(_LINES.map(" ".join) | _LINES.map("".join))
def test_whatever_is_pasted_is_read_or_refused_at_a_place(text: str) -> None:
    try:
        read = parse(text, NOW)
    except InvalidQuery as refused:
        assert 0 <= refused.extra["position"] <= len(text)
        assert str(refused.detail).strip()
        return
    kept = " ".join(
        [read.text, *read.excluded, *(v for side in (read.wanted, read.unwanted) for v in sum(side.values(), ()))]
    )
    for word in ("acquire", "PoolExhausted", "maximum"):
        assert (word in text) <= (word.lower() in kept.lower()), "nothing that was asked for is dropped"


@pytest.mark.parametrize("pasted", [PYTHON, JAVA, GO, DIFF])
async def test_a_pasted_trace_finds_the_note_about_it(desk: Desk, who: Principal, pasted: str) -> None:
    notes: list[Any] = [
        await desk.add(who, "Pool exhausted", "PoolExhausted: no connection after 30 s. Raise the maximum in pool.py."),
        await desk.add(who, "Pool closed", "IllegalStateException: pool closed, in Pool.java, after a read timed out."),
        await desk.add(who, "Crash at start", "goroutine panics in main.go, line 12"),
    ]
    await desk.add(who, "Lunch", "The canteen has soup.")
    await desk.settled()
    expected = {PYTHON: 0, JAVA: 1, GO: 2, DIFF: 0}[pasted]
    assert (await desk.find(who, pasted)).items[0].memory.id == notes[expected].id
