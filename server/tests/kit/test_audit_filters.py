"""What the trail is usually asked for reads a few pages of it, however many leaves there are."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from devlore_server.kit.audit import Leaf
from devlore_server.kit.migrate import app_url

ACME = UUID("00000000-0000-7000-8000-0000000000aa")
RARE = UUID("00000000-0000-7000-8000-0000000000bb")
LEAVES = 20_000
_FILL: LiteralString = """
    INSERT INTO audit.leaf (organisation_id, id, occurred_at, actor_type, actor_id, action, targets, result, context,
                            hash)
    SELECT %(acme)s, md5(i::text)::uuid, timestamptz '2026-01-01' + i * interval '4 minutes', 'person',
           CASE WHEN i = 7 THEN %(rare)s ELSE md5('p' || i %% 20)::uuid END,
           CASE WHEN i = 8 THEN 'organisation.created' ELSE 'memory.updated' END,
           jsonb_build_array(jsonb_build_object('type', 'memory', 'id', 'm' || i),
                             jsonb_build_object('type', 'person', 'id', 'p' || i)),
           CASE WHEN i = 9 THEN 'failed' ELSE 'ok' END, '{}', sha256('')
    FROM generate_series(1, %(leaves)s) AS i"""
_ASK: LiteralString = """audit.newest(
    %(before)s, 'ffffffff-ffff-ffff-ffff-ffffffffffff', '-infinity', %(actions)s, NULL, %(actors)s, %(about)s,
    %(results)s, 50)"""
ANYTHING: dict[str, Any] = {"before": "infinity", "actions": None, "actors": None, "about": None, "results": None}

ASKED: dict[str, tuple[dict[str, Any], int]] = {
    "newest": ({}, 50),
    "before a time": ({"before": "2026-01-02"}, 50),
    "a common action": ({"actions": ["memory.updated"]}, 50),
    "a rare action": ({"actions": ["organisation.created", "organisation.deleted"]}, 1),
    "an action there is not": ({"actions": ["organisation.restored"]}, 0),
    "a rare actor": ({"actors": [RARE]}, 1),
    "an unknown actor": ({"actors": [uuid4()]}, 0),
    "an old target": ({"about": ["m5"]}, 1),
    "an old second target": ({"about": ["p5"]}, 1),
    "targets of two names": ({"about": ["m5", "p6"]}, 2),
    "an unknown target": ({"about": ["m0"]}, 0),
    "what failed": ({"results": ["failed", "refused"]}, 1),
    "what was refused": ({"results": ["refused"]}, 0),
}


@pytest.fixture(scope="module")
def trail(postgres: str, template: str) -> Any:
    """The URL of a database with many leaves over some months, as the app."""
    from_template = f"CREATE DATABASE audit_filters TEMPLATE {template} STRATEGY file_copy"
    url = psycopg.conninfo.make_conninfo(postgres, dbname="audit_filters")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(from_template)  # type: ignore[call-overload]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("GRANT CONNECT ON DATABASE audit_filters TO devlore_app")
        for month in range(1, 5):
            connection.execute("SELECT audit.ensure_month(make_timestamptz(2026, %s, 1, 0, 0, 0))", (month,))
        connection.execute(_FILL, {"acme": ACME, "rare": RARE, "leaves": LEAVES})
        connection.execute("VACUUM ANALYZE audit.leaf")
    yield app_url(url)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP DATABASE audit_filters WITH (FORCE)")


def asked(connection: psycopg.Connection[Any], filters: dict[str, Any]) -> tuple[int, int]:
    """How many leaves a question finds, and how many pages are read for it."""
    given = ANYTHING | filters
    connection.execute("SELECT set_config('app.organisation', %s, false)", (str(ACME),))
    ((found,),) = connection.execute("SELECT count(*) FROM " + _ASK, given).fetchall()
    ((plan,),) = connection.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT * FROM " + _ASK, given).fetchall()
    top = plan[0]["Plan"]
    return found, top["Shared Hit Blocks"] + top["Shared Read Blocks"]


@pytest.mark.parametrize("name", ASKED)
def test_a_question_reads_a_few_pages(trail: str, name: str) -> None:
    filters, expected = ASKED[name]
    with psycopg.connect(trail) as connection:
        # The first question of a connection also reads what it did not know of the tables.
        asked(connection, filters)
        found, pages = asked(connection, filters)
        assert found == expected
        assert pages < 150, "the leaves alone are over 600"


def test_a_plan_fits_its_question_however_often_others_were_asked(trail: str) -> None:
    with psycopg.connect(trail) as connection:
        for _ in range(12):
            asked(connection, ASKED["a common action"][0])
        assert asked(connection, ASKED["a rare action"][0])[1] < 150


def test_a_new_month_finds_by_target_too(owner_url: str) -> None:
    with psycopg.connect(owner_url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SELECT audit.ensure_month('2031-05-05')")
        found = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'audit' AND tablename = 'leaf_2031_05'"
        ).fetchall()
        definitions = " ".join(one["indexdef"] for one in found)
        assert all(column in definitions for column in ("action", "actor_id", "target_id", "second_id", "result"))


def test_a_leaf_has_no_target_that_is_not_found() -> None:
    Leaf("team.member_added", [("team", uuid4()), ("person", uuid4())])
    with pytest.raises(ValueError, match="at most 2"):
        Leaf("team.member_added", [("team", uuid4()), ("person", uuid4()), ("person", uuid4())])
