"""The pages: served as they are, nothing inline, every control with a name, and every call one the API has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from devlore_server import openapi
from devlore_server.identity.api.pages import FOLDER, PAGES, router

SCRIPT = (FOLDER / "pages.js").read_text()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    app.include_router(router())
    with TestClient(app) as client:
        yield client


class Elements(HTMLParser):
    """Every element of a page with its attributes, and whether text stands in a script or style."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[str] = []
        self._inside = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def elements(path: str) -> Elements:
    return Elements((FOLDER / f"{PAGES[path]}.html").read_text())


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_served_with_a_strict_policy(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("path", "kind"), [("/pages/pages.js", "text/javascript"), ("/pages/pages.css", "text/css")])
def test_its_script_and_style_are_served(client: TestClient, path: str, kind: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    assert answer.content == (FOLDER / path.rpartition("/")[2]).read_bytes()


@pytest.mark.parametrize("path", ["/pages/", "/pages/../service.py", "/pages/%2e%2e/service.py", "/pages/signin.html"])
def test_nothing_else_is(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(path: str) -> None:
    page = elements(path)
    assert page.inline == []
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "/").startswith("/")


@pytest.mark.parametrize("path", PAGES)
def test_whoever_cannot_see_it_can_use_it(path: str) -> None:
    page = elements(path)
    named = {attributes.get("for") for tag, attributes in page.found if tag == "label"}
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [a["id"] for tag, a in page.found if tag in ("input", "select") and a["id"] not in named] == []
    assert [a for tag, a in page.found if tag == "html" and a.get("lang") == "en"]
    assert [a for _, a in page.found if a.get("role") == "status" and a.get("aria-live") == "polite"]
    assert len([tag for tag, _ in page.found if tag == "h1"]) == 1
    described = [a[name] for _, a in page.found for name in ("aria-describedby", "aria-labelledby") if name in a]
    assert set(described) <= set(ids)


def test_the_script_finds_every_element_it_asks_for() -> None:
    everywhere = {attributes.get("id") for path in PAGES for _, attributes in elements(path).found}
    assert set(re.findall(r'byId\("([\w-]+)"\)', SCRIPT)) <= everywhere


def test_the_script_calls_only_what_the_api_answers() -> None:
    paths = openapi.document()["paths"]
    called = re.findall(r'call\(\s*"([A-Z]+)",\s*["`](/v1/[^"`]+)["`]', SCRIPT)
    assert len(called) > 15
    for method, path in called:
        template = re.sub(r"\$\{[^}]+\}|current$", "{id}", path)
        assert method.lower() in paths.get(template, {}), f"{method} {path}"


def test_the_script_writes_text_never_markup() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", SCRIPT)


def test_a_secret_in_the_address_is_in_the_fragment_and_taken_out() -> None:
    assert "location.hash" in SCRIPT and "history.replaceState" in SCRIPT
    assert not re.search(r"[?&](token|code)=", SCRIPT)


def test_pages_say_that_they_are_public() -> None:
    for route in router().routes:
        assert isinstance(route, APIRoute) and route.dependencies and not route.include_in_schema


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js to run the script")
@pytest.mark.parametrize(
    ("following", "there"),
    [
        ("/device", "https://here.example/device#BCDF-GHJK"),
        ("/account?a=b", "https://here.example/account?a=b#BCDF-GHJK"),
        ("", "https://here.example/account#BCDF-GHJK"),
        ("https://there.example/", "/account"),
        ("//there.example/", "/account"),
        ("javascript:alert(1)", "/account"),
        ("/.//there.example/", "https://here.example//there.example/#BCDF-GHJK"),
        ("/a/..//there.example/", "https://here.example//there.example/#BCDF-GHJK"),
        ("/\\there.example/", "/account"),
    ],
)
def test_signing_in_goes_on_within_this_server_only(following: str, there: str) -> None:
    """Runs the function as it stands in the script; ``location`` takes note of where it was sent."""
    function = re.search(r"function goOn\(\) \{.*?\n\}", SCRIPT, re.DOTALL)
    assert function is not None
    location = {
        "origin": "https://here.example",
        "search": "?" + urlencode({"next": following}),
        "hash": "#BCDF-GHJK",
    }
    program = f"const location = {json.dumps(location)}; location.assign = console.log; {function[0]}; goOn();"
    said = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.strip() == there
