"""The rules against generated secrets and look-alikes, and what finding promises whatever the rules are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devlore_server.kit.credentials import new_api_key
from devlore_server.memory.secrets.rules import RULES
from devlore_server.memory.secrets.scan import MARKER, Finding, Scanner, replaced
from tests.memory.secrets_corpus import Part, Sample, corpus
from tests.memory.secrets_formats import BASE62, FORMATS, checked, drawn, jwt, pem
from tests.memory.secrets_lookalikes import lookalikes

PARTS: tuple[Part, ...] = ("development", "held_out")


@cache
def scanner() -> Scanner:
    return Scanner()


def masked(text: str) -> str:
    return replaced(text.encode(), scanner().find(text.encode()), lambda one: f"[[secret:{one.rule}:0badcafe]]")


def rules_in(text: str) -> list[str]:
    return [one.rule for one in scanner().find(text.encode())]


def survivors(sample: Sample) -> list[str]:
    """What of a sample's secrets is still there once it is masked."""
    return [secret for secret in sample.secrets if secret in masked(sample.text)]


@dataclass(frozen=True)
class Score:
    """How many of the samples were not dealt with as they should."""

    wrong: list[Sample]
    of: int

    @property
    def share(self) -> float:
        return len(self.wrong) / self.of


@pytest.mark.parametrize("part", PARTS)
def test_at_least_95_percent_of_the_secrets_are_found_in_full(part: Part) -> None:
    samples = corpus(part, rounds=6)
    assert len(samples) >= 200
    assert len({one.format for one in samples}) >= 30
    score = Score([one for one in samples if survivors(one)], len(samples))
    assert score.share <= 0.05, [(one.format, one.place) for one in score.wrong]


@pytest.mark.parametrize("part", PARTS)
def test_at_most_one_percent_of_the_look_alikes_are_taken_for_secrets(part: Part) -> None:
    samples = lookalikes(part, rounds=12)
    assert len(samples) >= 300
    score = Score([one for one in samples if rules_in(one.text)], len(samples))
    assert score.share <= 0.01, [(one.format, rules_in(one.text)) for one in score.wrong]


def test_the_parts_share_no_place_and_no_text() -> None:
    development, held_out = (corpus(part) for part in PARTS)
    assert {one.place for one in development}.isdisjoint(one.place for one in held_out)
    assert {one.text for one in development}.isdisjoint(one.text for one in held_out)


def test_the_corpus_is_the_same_each_time_but_for_our_own_keys() -> None:
    for part in PARTS:
        assert lookalikes(part) == lookalikes(part)
        again = zip(corpus(part), corpus(part), strict=True)
        assert {one.format for one, other in again if one != other} <= {"devlore"}


@pytest.mark.parametrize("part", PARTS)
def test_no_rule_finds_what_its_hint_passes_over(part: Part) -> None:
    """The one pass in front of the rules may only save time."""
    everything = range(len(RULES))
    for sample in [*corpus(part, rounds=2), *lookalikes(part, rounds=2)]:
        raw = sample.text.encode()
        assert scanner()._search(raw, everything) == scanner().find(raw), sample.format


@pytest.mark.parametrize("part", PARTS)
def test_a_masked_text_holds_nothing_more_to_mask(part: Part) -> None:
    for sample in corpus(part, rounds=2):
        once = masked(sample.text)
        assert masked(once) == once, sample.format


def test_a_marker_hides_nothing_that_is_not_one() -> None:
    token = checked(Random(1), "gh" + "p_")
    assert rules_in(f"[[secret:{token}]]") == ["github:token"]
    assert rules_in(f"[[secret:github:token:12345678]] {token}") == ["github:token"]
    assert rules_in("password: [[secret:assigned:password:12345678]]") == []
    assert MARKER.fullmatch(masked(token).encode())


def test_what_checksums_refuse_is_no_secret() -> None:
    random = Random(2)
    for prefix in ("gh" + "p_", "gh" + "s_", "np" + "m_"):
        token = checked(random, prefix)
        assert rules_in(token), prefix
        other = token[:-1] + ("A" if token[-1] != "A" else "B")
        assert rules_in(other) == [], prefix
    key = new_api_key()
    assert rules_in(f"key {key}.") == ["devlore:api-key"]
    assert rules_in(key[:-1] + ("A" if key[-1] != "A" else "B")) == []


def test_a_token_that_nobody_signed_is_no_secret() -> None:
    assert rules_in(jwt(Random(3))) == ["jwt:signed"]
    assert rules_in(jwt(Random(3), "none")) == []


@pytest.mark.parametrize(
    "lay_out",
    [
        lambda key: key,
        lambda key: key.replace("\n", "\r\n"),
        lambda key: '{"private_key": "' + key.replace("\n", "\\n") + '\\n"}',
        lambda key: '"{\\"private_key\\": \\"' + key.replace("\n", "\\\\n") + '\\"}"',
        lambda key: "\n".join("+" + line for line in key.split("\n")),
        lambda key: "\n".join("-" + line for line in key.split("\n")),
        lambda key: "\n".join("      " + line for line in key.split("\n")),
        lambda key: "\n".join(f'"{line}\\n" +' for line in key.split("\n")),
        lambda key: "\n".join("# " + line for line in key.split("\n")),
        lambda key: "2026-03-02 [info] " + "\n2026-03-02 [info] ".join(key.split("\n")),
        lambda key: "\n".join(key.split("\n")[:-1]),  # cut off
    ],
)
def test_a_private_key_is_found_in_every_layout(lay_out: object) -> None:
    for seed in range(6):
        key = pem(Random(seed))
        text = lay_out(key)  # type: ignore[operator]
        out = masked(f"before\n{text}\nafter")
        assert [line for line in key.split("\n")[1:-1] if line in out] == []
        assert out.startswith("before\n")
        assert out.endswith("\nafter")


def test_the_words_around_a_secret_stay() -> None:
    secret = drawn(Random(4), BASE62, 32)
    assert masked(f"API_KEY={secret} # für Ada – bis März") == (
        "API_KEY=[[secret:assigned:secret:0badcafe]] # für Ada – bis März"
    )
    assert masked("psql postgres://app:Wint3r-is-c0ming@db/main — läuft") == (
        "psql postgres://app:[[secret:url:password:0badcafe]]@db/main — läuft"
    )


def test_a_password_of_other_letters_is_cut_between_letters() -> None:
    out = masked("db_password = 'Größe-Äpfel-2026!'\nurl: mysql://app:Größe2026ß@db/x")
    assert "Größe" not in out
    assert "�" not in out
    assert out.count("[[secret:") == 2


def test_of_two_rules_the_more_telling_names_the_secret() -> None:
    token = checked(Random(5), "gh" + "p_")
    assert rules_in(f"GITHUB_TOKEN={token}") == ["github:token"]
    assert rules_in(f"git clone https://x-access-token:{token}@github.com/acme/api") == ["github:token"]


@given(st.lists(st.sampled_from(range(len(FORMATS))), min_size=1, max_size=6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_findings_are_in_order_and_apart(chosen: list[int], seed: int) -> None:
    random = Random(seed)
    lines = [f"{FORMATS[one].names[0]}={FORMATS[one].make(random)}" for one in chosen]
    raw = "\n".join(lines).encode()
    found = scanner().find(raw)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(raw[one.start : one.end] == one.secret for one in found)


@given(st.text(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_whole_where_nothing_is_found(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    assert replaced(raw, [one for one in scanner().find(raw) if False], _unasked) == text
    assert scanner().find_in([raw, raw]) == {n: found for n in (0, 1) if (found := scanner().find(raw))}


def test_several_texts_are_read_apart() -> None:
    secret = drawn(Random(6), BASE62, 32).encode()
    found = scanner().find_in([b"nothing", b"api_key=" + secret, b"api_key=", secret])
    assert list(found) == [1]


def test_rules_have_names_that_markers_can_hold() -> None:
    for rule in RULES:
        assert MARKER.fullmatch(f"[[secret:{rule.name}:0badcafe]]".encode()), rule.name


def _unasked(_one: Finding) -> str:
    raise AssertionError("nothing was found")
