"""Rules for clouds and the tools that build on them: AWS, Google, Azure, DigitalOcean, Heroku, Vault and their like."""

from __future__ import annotations

from typing import Final

from devlore_server.memory.secrets.lookalikes import entropy, is_placeholder
from devlore_server.memory.secrets.rule import EDGE, UUID, Rule, near, token

_KEY_40: Final = r"[A-Za-z0-9/+]{40}"


def _aws_secret(value: str, _match: str) -> bool:
    # Forty random characters of base64 have some 4.7 bits each; a git hash has at most 4.
    return entropy(value) >= 4.1 and not is_placeholder(value)


def _signature(value: str, _match: str) -> bool:
    return not is_placeholder(value) and len(set(value)) >= 12


CLOUDS: Final = (
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html: base 32, so no 0, 1, 8, 9.
    token("aws:access-key", "AKIA|ASIA|ABIA|ACCA", "[A-Z2-7]{16}"),
    Rule(
        "aws:secret-key",
        r"(?i:aws|secret|amazon|AKIA|s3)",
        r"(?i:(?:aws|amazon|s3)[\w .-]{0,30}(?:secret|key)|secret[_-]?access[_-]?key|secret[_-]?key)[\w-]*"
        r"[\"'\]\\>]{0,3}\s{0,3}(?::=|=>|[:=,])?\s{0,3}\\?[\"']?(" + _KEY_40 + r")(?:[^A-Za-z0-9/+=]|\z)",
        _aws_secret,
    ),
    Rule(
        "aws:session-token",
        r"(?i:session[_-]?token|security[_-]?token)",
        r"(?i:session[_-]?token|security[_-]?token)[\"'\\>]{0,3}\s{0,3}[:=]?\s{0,3}\\?[\"']?([A-Za-z0-9/+=]{100,})",
    ),
    token("aws:bedrock-key", "ABSK", "[A-Za-z0-9+/]{109,}={0,2}"),
    token("aws:mws-token", r"amzn\.mws\.", UUID),
    token("google:api-key", "AIza", "[0-9A-Za-z_-]{35}"),
    token("google:client-secret", "GOCSPX-", "[0-9A-Za-z_-]{28}"),
    Rule("google:access-token", r"ya29\.", r"\b(ya29\.[0-9A-Za-z_-]{20,})"),
    Rule("google:refresh-token", r"1//0", r"(?:^|[^0-9A-Za-z/])(1//0[0-9A-Za-z_-]{30,})"),
    Rule(
        "azure:storage-key",
        r"(?i:account_?key|storage_?key|\+ASt)",
        r"(?i:account_?key|storage(?:_?account)?_?key)[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}\\?[\"']?([A-Za-z0-9+/]{86}==)",
        _signature,
    ),
    Rule("azure:storage-key", r"\+ASt", r"([A-Za-z0-9+/]{76}\+ASt[A-Za-z0-9+/]{6}==)", _signature),
    Rule(
        "azure:shared-access-key",
        r"(?i:shared_?access_?key)",
        r"(?i:shared_?access_?key)[\"'\\]{0,3}\s{0,3}[:=]\s{0,3}\\?[\"']?([A-Za-z0-9+/]{43}=)",
        _signature,
    ),
    Rule(
        "azure:sas-signature",
        r"[?&]sig=|[?&]s[evpr]=",
        r"[?&](?:amp;)?sig=((?:[A-Za-z0-9]|%2[bBfF]|[+/-]|_){43,80}(?:%3[dD]|=))",
        _signature,
    ),
    Rule("azure:client-secret", r"[78]Q~", r"(?:^|[^\w~.-])([\w~.-]{3}[78]Q~[\w~.-]{31,34})(?:[^\w~.-]|\z)"),
    Rule("azure:devops-token", r"AZDO", r"\b([A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4})" + EDGE),
    token("digitalocean:token", "do[opr]_v1_", "[a-f0-9]{64}"),
    near("heroku:api-key", "heroku", UUID),
    token("heroku:api-key", "HRKU-", rf"(?:AA[0-9A-Za-z_-]{{58}}|{UUID})"),
    token("alibaba:access-key", "LTAI", "[A-Za-z0-9]{17,21}"),
    near("cloudflare:api-token", "cloudflare|cf_api", "[A-Za-z0-9_-]{40}|[a-f0-9]{37}"),
    token("cloudflare:origin-key", r"v1\.0-", r"[a-f0-9]{24}-[a-f0-9]{146}"),
    Rule("fly:token", r"fm[12][ar]?_", r"\b(fm[12][ar]?_[A-Za-z0-9+/=_-]{60,})"),
    token("vercel:token", "vc[pikar]_", "[A-Za-z0-9]{24,64}"),
    token("netlify:token", "nf[pcoub]_", "[A-Za-z0-9_-]{36,40}"),
    token("supabase:token", "sbp_|sb_secret_", "[A-Za-z0-9_-]{31,60}"),
    token("planetscale:token", "pscale_(?:tkn|pw|oauth)_", r"[\w.=-]{32,64}"),
    token("scaleway:access-key", "SCW[A-Z0-9]", "[A-Z0-9]{16}"),
    Rule("terraform:token", r"\.atlasv1\.", r"\b([A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,})"),
    token("pulumi:token", "pul-", "[a-f0-9]{40}"),
    Rule(
        "doppler:token",
        r"\bdp\.",
        r"\b(dp\.(?:pt|ct|st|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{40,44})" + EDGE,
    ),
    Rule("vault:token", r"\bhv[sbr]\.", r"\b(hv[sbr]\.[A-Za-z0-9_-]{24,})"),
    Rule(
        "vault:token",
        r"(?i:vault)",
        r"(?i:vault_?token|x-vault-token)[\"']{0,2}\s{0,3}[:=]\s{0,3}[\"']?(s\.[A-Za-z0-9]{24})" + EDGE,
    ),
    token("databricks:token", "dapi", "[a-f0-9]{32}(?:-[0-9]{1,2})?"),
    token("dynatrace:token", r"dt0[a-z]\d\d\.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    token("tailscale:key", "tskey-[a-z]+-", "[A-Za-z0-9]+-[A-Za-z0-9]{20,}"),
    token("onepassword:token", "ops_eyJ", "[A-Za-z0-9_=-]{200,}"),
    near("okta:token", "okta", "00[A-Za-z0-9_-]{40}"),
)
