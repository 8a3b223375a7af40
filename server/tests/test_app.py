"""The composition root: what starts, what is refused at start, and that everything it started ends."""

from __future__ import annotations

import asyncio
import re
from contextlib import nullcontext
from pathlib import Path

import httpx2
import psycopg
import pytest

from devlore_server import __version__
from devlore_server.app import AlreadyRunning, application, prepared
from devlore_server.app.process import ensure_guarded
from devlore_server.gateway.hosts import NotLoopback
from devlore_server.settings import ROLES, BadSettings, Role, Settings


async def test_one_process_answers_with_everything(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as api:
        instance = (await api.get("/v1/instance")).json()
        assert instance == {
            "version": "0.1.0",
            "tier": "individual",
            "roles": ["gateway", "identity", "memory", "search", "integration", "worker"],
        }
        ready = (await api.get("/readyz")).json()
        assert ready["status"] == "ready"
        assert {r["name"] for r in ready["resources"]} >= {"postgres", "jobs"}
        assert (await api.get("/healthz")).status_code == 200
        assert "devlore_http_request_seconds" in (await api.get("/metrics")).text


async def test_unknown_paths_and_methods_are_problems(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as api:
        for path in ("/v1", "/internal/memories/count", "/docs"):
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
        wrong = await api.delete("/v1/memories")
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")


async def test_the_bare_address_says_where_to_go_on(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as api:
        answer = await api.get("/", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert answer.text.startswith(f"Devlore {__version__}\n") and "devlore search" in answer.text
        named = re.findall(r"/[a-z]\S+", answer.text)
        assert len(named) == 3
        assert {(await api.get(path)).status_code for path in named} == {200}
        assert (await api.post("/", json={})).status_code == 405
        assert (await api.get("/", headers={"Host": "attacker.example"})).status_code == 421


async def test_where_people_sign_in_the_bare_address_leads_them_there(team_server: str) -> None:
    async with httpx2.AsyncClient(base_url=team_server, trust_env=False) as api:
        answer = await api.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        arrived = await api.get("/", follow_redirects=True)
        assert (arrived.status_code, arrived.url.path) == (200, "/account")
        assert arrived.headers["content-type"] == "text/html; charset=utf-8"
        assert (await api.get("/", headers={"Host": "attacker.example"})).status_code == 421


async def test_another_host_is_refused_whoever_asks(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as api:
        answer = await api.get("/v1/memories", headers={"Host": "attacker.example"})
        assert answer.status_code == 421
        answer = await api.post("/v1/memories", json={}, headers={"Origin": "https://attacker.example"})
        assert answer.status_code == 403


async def test_it_listens_on_loopback_only(settings: Settings) -> None:
    with pytest.raises(NotLoopback, match=r"0\.0\.0\.0"):
        async with application(settings.model_copy(update={"host": "0.0.0.0"})):
            pass


@pytest.mark.parametrize(
    ("roles", "networks", "refused"),
    [
        (ROLES, (), False),
        (("gateway",), (), False),
        (("memory",), (), True),
        (("worker",), (), True),
        (("memory",), ("10.0.0.0/8",), False),
    ],
)
def test_a_teams_gateway_may_be_reached_its_services_only_by_each_other(
    team_settings: Settings, roles: tuple[Role, ...], networks: tuple[str, ...], refused: bool
) -> None:
    chosen = {"host": "0.0.0.0", "roles": roles, "internal_networks": networks}
    with pytest.raises(NotLoopback, match="INTERNAL_NETWORKS") if refused else nullcontext():
        ensure_guarded(team_settings.model_copy(update=chosen))


async def test_a_team_instance_knows_nobody_at_first(team_server: str) -> None:
    async with httpx2.AsyncClient(base_url=team_server, trust_env=False) as api:
        assert (await api.get("/v1/instance")).json()["tier"] == "team"
        for path in ("/v1/memories", "/v1/search?q=x", "/v1/connections", "/v1/identity", "/v1/policies/secrets"):
            assert (await api.get(path)).status_code == 401, path
        assert len((await api.get("/v1/identity/jwks")).json()["keys"]) == 1
        assert "pages.js" in (await api.get("/signin")).text


async def test_where_nobody_signs_in_there_is_no_identity(server: str) -> None:
    async with httpx2.AsyncClient(base_url=server, trust_env=False) as api:
        for path in ("/v1/identity", "/v1/sessions", "/v1/organisations", "/signin"):
            assert (await api.get(path)).status_code == 404, path
        await api.post("/v1/memories", json={"title": "Noted"})
        leaves = (await api.get("/v1/audit")).json()["items"]
        assert "memory.created" in {leaf["action"] for leaf in leaves}, "what is done is noted all the same"


async def test_two_of_the_same_role_on_one_home_are_refused(settings: Settings) -> None:
    async with application(settings):
        with pytest.raises(AlreadyRunning, match="already runs gateway"):
            async with application(settings):
                pass
    async with application(settings):
        pass


async def test_a_role_that_runs_elsewhere_needs_an_address(settings: Settings) -> None:
    with pytest.raises(BadSettings, match="DEVLORE_IDENTITY_URL"):
        async with application(settings.model_copy(update={"roles": ("gateway",)})):
            pass


def test_the_gateway_runs_alone_or_with_everybody(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="alone"):
        Settings.read({"DEVLORE_HOME": str(tmp_path), "DEVLORE_ROLES": "gateway,memory"})


async def test_nothing_goes_on_after_it_has_ended(settings: Settings, owner_url: str) -> None:
    before = asyncio.all_tasks()
    async with application(settings):
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'devlore_app'"
    async with await psycopg.AsyncConnection.connect(owner_url, autocommit=True) as connection:
        async with asyncio.timeout(20):
            while await (await connection.execute(query)).fetchone() != (0,):
                await asyncio.sleep(0.02)


async def test_migrating_by_itself(postgres: str, settings: Settings) -> None:
    assert await prepared(settings) == []  # the template is up to date


async def test_data_survives_a_restart(settings: Settings) -> None:
    async with application(settings) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as api:
            made = (await api.post("/v1/memories", json={"title": "Kept"})).json()
            page = (await api.get("/v1/memories", params={"limit": 1})).json()
    async with application(settings) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as api:
            assert (await api.get(f"/v1/memories/{made['id']}")).json() == made
            assert page["items"] == [made]


async def test_a_failing_job_shows_and_the_rest_goes_on(settings: Settings) -> None:
    async with application(settings) as app:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as api:
            ready = (await api.get("/readyz")).json()
            assert [r["up"] for r in ready["resources"] if r["name"] == "jobs"] == [True]
