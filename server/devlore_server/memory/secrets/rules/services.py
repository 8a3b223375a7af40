"""Rules for services that software talks to: chat, payment, mail, monitoring, language models, project tools."""

from __future__ import annotations

from typing import Final

from devlore_server.memory.secrets.lookalikes import is_placeholder
from devlore_server.memory.secrets.rule import EDGE, UUID, Rule, near, token
from devlore_server.memory.secrets.structure import bot_snowflake, crc32_hex, telegram_bot

_HEX_32: Final = "[a-f0-9]{32}"


def _webhook(value: str, _match: str) -> bool:
    return not is_placeholder(value.rpartition("/")[2]) and "T00000000" not in value


CHAT: Final = (
    Rule("slack:token", r"xox[abeoprs]-", r"\b(xox[abeoprs]-(?:\d-)?[0-9A-Za-z-]{20,})"),
    Rule("slack:config-token", r"xoxe\.", r"\b(xoxe\.xox[bp]-\d-[0-9A-Za-z]{100,})"),
    Rule("slack:app-token", r"xapp-", r"\b(xapp-\d-[A-Z0-9]+-\d+-[0-9a-f]{32,64})"),
    Rule(
        "slack:webhook",
        r"hooks\.slack\.com",
        r"(hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9/]{20,})",
        _webhook,
    ),
    Rule(
        "discord:webhook",
        r"discord(?:app)?\.com/api",
        r"(discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d{17,20}/[\w-]{60,72})",
        _webhook,
    ),
    Rule(
        "discord:bot-token",
        r"\b[MNO][A-Za-z0-9_-]{22,27}\.",
        r"\b([MNO][\w-]{22,27}\.[\w-]{6}\.[\w-]{27,38})" + EDGE,
        bot_snowflake,
    ),
    Rule("telegram:bot-token", r"\d:AA", r"(?:^|[^0-9])(\d{8,10}:AA[\w-]{33})" + EDGE, telegram_bot),
    Rule(
        "teams:webhook",
        r"webhook\.office\.com|outlook\.office",
        rf"((?:[\w-]+\.)?(?:webhook|outlook)\.office(?:365)?\.com/webhook(?:b2)?/{UUID}@{UUID}/IncomingWebhook/[a-f0-9]{{32}}/{UUID})",
        _webhook,
    ),
    Rule(
        "zapier:webhook", r"hooks\.zapier", r"(hooks\.zapier\.com/hooks/catch/\d{4,9}/[a-z0-9]{6,8})" + EDGE, _webhook
    ),
)

PAYMENT_AND_MAIL: Final = (
    token("stripe:secret-key", "[rs]k_(?:live|test)_|[rs]kcli_", "[0-9A-Za-z]{16,247}"),
    token("stripe:webhook-secret", "whsec_", "[0-9A-Za-z+/]{24,64}=?"),
    token("square:token", "sq0(?:atp|csp|idp)-", "[0-9A-Za-z_-]{22,43}"),
    token("shopify:token", "shp(?:at|ca|pa|ss|tka)_", "[a-fA-F0-9]{32}"),
    Rule("braintree:token", r"access_token\$", r"(access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32})"),
    token("easypost:key", "EZ[AT]K", "[A-Za-z0-9]{54}"),
    token("razorpay:key", "rzp_live_", "[A-Za-z0-9]{14,20}"),
    token("sendgrid:api-key", r"SG\.", r"[\w-]{22}\.[\w-]{43}"),
    token("mailgun:api-key", "key-", _HEX_32),
    near("mailgun:api-key", "mailgun", rf"{_HEX_32}-[a-f0-9]{{8}}-[a-f0-9]{{8}}|{_HEX_32}"),
    Rule("mailchimp:api-key", r"-us\d", rf"\b({_HEX_32}-us\d{{1,2}})" + EDGE),
    token("sendinblue:api-key", "xkeysib-", "[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    near("twilio:auth-token", r"twilio|account_?sid", _HEX_32),
    token("twilio:api-key", "SK", _HEX_32),
    Rule("postmark:token", r"(?i:postmark)", rf"(?i:postmark)[\w -]{{0,20}}[\"']{{0,2}}\s?[:=]\s?[\"']?({UUID})"),
)

MODELS: Final = (
    Rule("openai:api-key", r"T3BlbkFJ", r"\b(sk-[A-Za-z0-9_-]*T3BlbkFJ[A-Za-z0-9_-]{20,})"),
    token("openai:api-key", "sk-(?:proj|svcacct|admin|None)-", "[A-Za-z0-9_-]{40,200}"),
    token("anthropic:api-key", r"sk-ant-(?:api|admin|oat|ort|sid)\d\d-", "[A-Za-z0-9_-]{60,120}"),
    token("openrouter:api-key", "sk-or-v1-", "[a-f0-9]{64}"),
    token("deepseek:api-key", "sk-", _HEX_32),
    token("openai:api-key", "sk-", "[A-Za-z0-9]{48}"),
    token("huggingface:token", "hf_", "[A-Za-z0-9]{34,40}"),
    token("huggingface:organisation-token", "api_org_", "[A-Za-z0-9]{34}"),
    token("groq:api-key", "gsk_", "[A-Za-z0-9]{52}"),
    token("xai:api-key", "xai-", "[A-Za-z0-9_-]{80}"),
    token("perplexity:api-key", "pplx-", "[A-Za-z0-9]{48,56}"),
    token("replicate:token", "r8_", "[A-Za-z0-9]{37}"),
    token("langsmith:api-key", "lsv2_(?:pt|sk)_", "[a-f0-9]{32}_[a-f0-9]{10}"),
    token("wandb:api-key", r"wandb_v1_", "[A-Za-z0-9_]{60,100}"),
    near("wandb:api-key", "wandb|cohere|mistral", "[A-Za-z0-9]{32}|[A-Za-z0-9]{40}"),
)

TOOLS: Final = (
    near("datadog:key", r"datadog|dd[_-](?:api|app)", "[a-f0-9]{40}|[a-f0-9]{32}"),
    token("linear:api-key", "lin_(?:api|oauth)_", "[A-Za-z0-9]{32,64}"),
    token("grafana:service-account", "glsa_", "[A-Za-z0-9]{32}_[a-fA-F0-9]{8}", crc32_hex),
    Rule("grafana:cloud-token", r"glc_eyJ", r"\b(glc_eyJ[A-Za-z0-9+/=_-]{30,})"),
    token("newrelic:key", "NRAK-|NRJS-|NRAL-|NRII-", "[A-Za-z0-9_-]{19,40}"),
    token("postman:api-key", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}"),
    token("notion:token", "ntn_|secret_", "[A-Za-z0-9]{43,50}"),
    Rule("airtable:token", r"pat[A-Za-z0-9]{14}\.", r"\b(pat[A-Za-z0-9]{14}\.[a-f0-9]{64})" + EDGE),
    token("figma:token", "fig[dour]_", "[A-Za-z0-9_-]{40,}"),
    token("contentful:token", "CFPAT-", "[A-Za-z0-9_-]{43}"),
    token("hubspot:token", "pat-(?:na|eu)1-", UUID),
    token("asana:token", r"[12]/\d{16,}(?:/\d{16,})?:", "[a-f0-9]{32}"),
    token("typeform:token", "tfp_", "[A-Za-z0-9_.=-]{40,60}"),
    Rule("mapbox:secret-token", r"\bsk\.eyJ", r"\b(sk\.eyJ[\w-]+\.[\w-]{20,})"),
    Rule("dropbox:token", r"\bsl\.", r"\b(sl\.(?:u\.)?[A-Za-z0-9_-]{130,})"),
    near("algolia:api-key", "algolia", _HEX_32),
    near("pagerduty:token", "pagerduty|pd_", "[A-Za-z0-9_+-]{20}"),
    near("fastly:token", "fastly", "[A-Za-z0-9_-]{32}"),
    near("snyk:token", "snyk", UUID),
    near("facebook:app-secret", "facebook|fb_app", _HEX_32),
    token("facebook:token", "EAA", "[A-Za-z0-9]{90,}"),
    near("twitter:secret", "twitter", "[A-Za-z0-9]{45,50}|[A-Za-z0-9]{35,44}"),
    Rule("twitter:bearer", r"AAAAAAAAAAAAAAAAAAAAA", r"\b(A{21,22}[A-Za-z0-9%]{80,100})"),
)

SERVICES: Final = (*CHAT, *PAYMENT_AND_MAIL, *MODELS, *TOOLS)
