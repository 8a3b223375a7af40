"""Rules for code forges, package registries and what builds and checks code."""

from __future__ import annotations

from typing import Final

from devlore_server.kit.credentials import read_api_key
from devlore_server.memory.secrets.lookalikes import not_a_placeholder
from devlore_server.memory.secrets.rule import Rule, near, token
from devlore_server.memory.secrets.structure import crc32_base62

FORGES: Final = (
    # https://github.blog/engineering/behind-githubs-new-authentication-token-formats/: the last six check the rest.
    token("github:token", "gh[pousr]_", "[0-9A-Za-z]{36}", crc32_base62),
    Rule("github:app-token", r"gh[su]_", r"\b(gh[su]_(?:\d+_)?eyJ[\w-]+\.[\w-]+\.[\w-]+)"),
    # Our own: <key id>_<secret><CRC-32 of everything before>, as kit.credentials makes them.
    token(
        "devlore:api-key",
        "dvl_",
        "[0-9A-Za-z]{12}_[0-9A-Za-z]{49}",
        lambda value, _match: read_api_key(value) is not None,
    ),
    token("github:fine-grained-token", "github_pat_", "[0-9A-Za-z]{22}_[0-9A-Za-z]{59}"),
    Rule(
        "gitlab:token",
        r"gl(?:pat|dt|rt|cbt|ptt|ft|soat|agent|oas|imt|ffct|rtr|wt)-",
        r"\b(gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|agent|oas|imt|ffct|wt)-[0-9A-Za-z_-]{20,300}(?:\.[0-9a-z]{2}\.[0-9a-z]{7,9})?)",
    ),
    token("gitlab:runner-registration", "GR1348941", "[0-9A-Za-z_-]{20}"),
    Rule("atlassian:token", r"AT[AC]TT3", r"\b(AT[AC]TT3[A-Za-z0-9_=-]{60,})"),
    token("atlassian:app-password", "ATBB", "[A-Za-z0-9_=-]{32}"),
    near("atlassian:token", "atlassian|jira|confluence|bitbucket", "[A-Za-z0-9]{24}"),
    token("npm:token", "npm_", "[0-9A-Za-z]{36}", crc32_base62),
    Rule("npm:registry-token", r"_auth(?:Token)?", r":_auth(?:Token)?\s?=\s?[\"']?([A-Za-z0-9+/=_-]{20,})"),
    Rule("pypi:token", r"pypi-AgE", r"\b(pypi-AgE[A-Za-z0-9_-]{50,})"),
    token("rubygems:token", "rubygems_", "[a-f0-9]{48}"),
    token("crates:token", "cio", "[A-Za-z0-9]{32}"),
    token("nuget:api-key", "oy2", "[a-z0-9]{43}"),
    token("docker:token", "dckr_(?:pat|oat)_", "[A-Za-z0-9_-]{27,32}"),
    Rule(
        "docker:auth",
        r"\"auth\"",
        r"\\?\"auth\\?\"\s*:\s*\\?\"([A-Za-z0-9+/]{12,}={0,2})\\?\"",
        not_a_placeholder,
    ),
    Rule("artifactory:token", r"AKCp|cmVmd", r"\b((?:AKCp[A-Za-z0-9]{69}|cmVmd[A-Za-z0-9]{59}))"),
    token("packagist:token", "packagist_(?:[ou][ur]t_)?", "[a-f0-9]{60,68}"),
    token("clojars:token", "CLOJARS_", "[a-z0-9]{60}"),
    token("circleci:token", "CCIPAT_", "[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    token("buildkite:token", "bk[ua][ax]?_", "[a-f0-9]{40}"),
    token("sonarqube:token", "sq[pua]_", "[a-f0-9]{40}"),
    token("sentry:token", "sntry[us]_", "[A-Za-z0-9+/=_]{64,}"),
    token("harness:token", r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.", r"[a-f0-9]{24}\.[A-Za-z0-9]{20}"),
    near("travis:token", "travis", "[A-Za-z0-9_-]{22}"),
    near("codecov:token", "codecov", "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}|[a-z0-9]{32}"),
)
