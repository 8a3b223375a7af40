"""Every operation of the description, called with what it allows and what it forbids, on a real instance."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from psycopg import conninfo, sql
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from devlore_server import openapi
from devlore_server.kit.ids import new_id
from tests.instance import Instance

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TOO_LONG_FOR_HTTP = b"Invalid HTTP request received."
"""The parser's own refusal, before there is a request to answer: a target of more than 64 KiB."""


@pytest.fixture(scope="session")
def instance(postgres: str) -> Iterator[Instance]:
    home = Path(tempfile.mkdtemp(prefix="dvl-fuzz-"))
    name = f"fuzz_{new_id().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    running = Instance(home, database_url=conninfo.make_conninfo(postgres, dbname=name))
    try:
        running.start(90)
        yield running
        assert running.stop() == 0
    finally:
        running.sweep()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        shutil.rmtree(home, ignore_errors=True)


schema = schemathesis.openapi.from_dict(openapi.document())


@schema.parametrize()
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_described(case: schemathesis.Case, instance: Instance) -> None:
    if case.query:
        # Waiting for the indexes after each of hundreds of made-up changes would test patience only.
        case.query.pop("wait", None)
    if case.headers:
        # Made-up keys repeat themselves, and hide what made-up bodies would show.
        case.headers.pop("Idempotency-Key", None)
    answer = case.call(base_url=instance.url)
    if answer.content != TOO_LONG_FOR_HTTP:
        case.validate_response(answer, checks=CHECKS)
