"""Files, headers and commands that hold a secret by their very form, each in two ways: one for either part."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random

from tests.memory.secrets_formats import BASE62, HEX, URLSAFE, base64_of, basic, drawn, identifier, password, pem

Whole = Callable[[Random], tuple[str, tuple[str, ...]]]
LINEWISE = {"pgpass", "shadow", "htpasswd"}
"""Files whose lines begin with what they mean: indented or quoted they are something else."""


def _host(random: Random) -> str:
    domain = random.choice(("internal", "corp.net"))
    return f"{random.choice(('db', 'cache', 'mq', 'core'))}-{random.randrange(9)}.{domain}"


def _pem(random: Random) -> tuple[str, tuple[str, ...]]:
    text = pem(random)
    return text, tuple(text.split("\n")[1:-1])


def _service_account(random: Random) -> tuple[str, tuple[str, ...]]:
    key = pem(random)
    account = {"type": "service_account", "project_id": "acme", "private_key": key + "\n", "client_id": "1084"}
    return json.dumps(account, indent=2), tuple(key.split("\n")[1:-1])


def _url(random: Random) -> tuple[str, tuple[str, ...]]:
    scheme = random.choice(("postgresql", "mysql+pymysql", "mongodb+srv", "redis", "amqp", "https"))
    secret = password(random).replace("#", "-").replace("%", "+").replace("&", "*")
    return f"url: {scheme}://app:{secret}@{_host(random)}:5432/main?tls=1", (secret,)


def _connection_string(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"Server=tcp:{_host(random)},1433;Database=crm;User Id=app;Password={secret};Encrypt=True", (secret,)


def _azure(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64_of(random, 64)
    return f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={key};EndpointSuffix=core.windows.net", (key,)


def _service_bus(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64_of(random, 32)
    return f"Endpoint=sb://acme.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={key}", (key,)


def _sas(random: Random) -> tuple[str, tuple[str, ...]]:
    signature = base64_of(random, 32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"https://acme.blob.core.windows.net/c/a.bin?sv=2024-11-04&se=2027-01-01&sr=b&sp=r&sig={signature}", (
        signature,
    )


def _bearer(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, BASE62, 40)
    return f'curl -H "Authorization: Bearer {secret}" https://{_host(random)}/v1/me', (secret,)


def _basic(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = basic(random)
    return f"GET /admin HTTP/1.1\nHost: {_host(random)}\nAuthorization: Basic {secret}", (secret,)


def _netrc(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"machine {_host(random)}\n  login deploy\n  password {secret}", (secret,)


def _pgpass(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"{_host(random)}:5432:main:app:{secret}", (secret,)


def _kubeconfig(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64.b64encode(pem(random).encode()).decode()
    return f"users:\n- name: admin\n  user:\n    client-key-data: {key}", (key,)


def _docker(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = basic(random)
    return json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": secret}}}, indent=2), (secret,)


def _shadow(random: Random) -> tuple[str, tuple[str, ...]]:
    hashed = f"${'6'}${drawn(random, BASE62, 16)}${drawn(random, BASE62 + './', 86)}"
    return f"ada:{hashed}:19800:0:99999:7:::", (hashed,)


def _htpasswd(random: Random) -> tuple[str, tuple[str, ...]]:
    hashed = random.choice(
        (f"$ap{'r1'}${drawn(random, BASE62, 8)}${drawn(random, BASE62, 22)}", f"$2{'y'}$10${drawn(random, BASE62, 53)}")
    )
    return f"grace:{hashed}", (hashed,)


def _discord_webhook(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, URLSAFE, 67) + "x"
    return f"https://discord.com/api/webhooks/{random.randrange(10**17, 10**18)}/{secret}", (secret,)


def _api_header(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = random.choice((identifier(random), drawn(random, HEX, 48)))
    return f"> GET /v2/orders HTTP/2\n> accept: */*\n> X-Api-Key: {secret}", (secret,)


def _git_remote(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, BASE62, 32)
    return f"git clone https://{secret}@git.corp.net/acme/api.git", (secret,)


def _command(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"curl -s -u deploy:{secret} -X PUT https://{_host(random)}/artifacts/a.tgz", (secret,)


DEVELOPMENT: dict[str, Whole] = {
    "private key": _pem,
    "service account": _service_account,
    "password in url": _url,
    "ado connection string": _connection_string,
    "azure connection string": _azure,
    "service bus": _service_bus,
    "azure sas": _sas,
    "bearer header": _bearer,
    "basic header": _basic,
    "netrc": _netrc,
    "pgpass": _pgpass,
    "kubeconfig": _kubeconfig,
    "docker config": _docker,
    "shadow": _shadow,
    "htpasswd": _htpasswd,
    "discord webhook": _discord_webhook,
    "api key header": _api_header,
    "token as git user": _git_remote,
    "curl user": _command,
}


def _pem_beside(random: Random) -> tuple[str, tuple[str, ...]]:
    key = pem(random)
    return f"cat > /etc/ssl/app.key <<'EOF'\n{key}\nEOF\nchmod 600 /etc/ssl/app.key", tuple(key.split("\n")[1:-1])


def _service_account_line(random: Random) -> tuple[str, tuple[str, ...]]:
    key = pem(random)
    account = json.dumps(
        {"private_key_id": drawn(random, HEX, 40), "private_key": key + "\n", "type": "service_account"}
    )
    return f"export GOOGLE_CREDENTIALS='{account}'", tuple(key.split("\n")[1:-1])


def _url_in_code(random: Random) -> tuple[str, tuple[str, ...]]:
    scheme = random.choice(("postgres", "rediss", "mysql", "amqps", "mongodb", "clickhouse+http", "ftp"))
    secret = password(random).replace("#", "-").replace("%", "+").replace("&", "*")
    return f"engine = connect('{scheme}://{random.choice(('svc', ''))}:{secret}@{_host(random)}/orders', pool=5)", (
        secret,
    )


def _odbc(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f'"Data Source={_host(random)};Initial Catalog=crm;User ID=svc;Pwd={secret};TrustServerCertificate=true"', (
        secret,
    )


def _azure_yaml(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64_of(random, 64)
    return f"storage:\n  connection: BlobEndpoint=https://a.blob.core.windows.net/;AccountName=a;AccountKey={key}", (
        key,
    )


def _event_hub(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64_of(random, 32)
    name = "SharedAccessKeyName=send"
    return f'{{"hub": "Endpoint=sb://b.servicebus.windows.net/;{name};SharedAccessKey={key};EntityPath=e"}}', (key,)


def _sas_shuffled(random: Random) -> tuple[str, tuple[str, ...]]:
    signature = base64_of(random, 32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return f"azcopy copy './x' 'https://b.blob.core.windows.net/d?sig={signature}&se=2027-01-01&sp=rw&sv=2024'", (
        signature,
    )


def _bearer_in_code(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, URLSAFE, 47) + "7"
    return f"requests.get(url, headers={{'Authorization': 'Bearer {secret}', 'Accept': '*/*'}})", (secret,)


def _basic_in_json(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = basic(random)
    return json.dumps({"method": "PUT", "headers": {"authorization": f"Basic {secret}", "x-trace": "1"}}), (secret,)


def _netrc_line(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"default login ci password {secret}\nmachine {_host(random)} login ci password {secret}", (secret,)


def _pgpass_any(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"{_host(random)}:*:*:replicator:{secret}", (secret,)


def _client_key(random: Random) -> tuple[str, tuple[str, ...]]:
    key = base64.b64encode(pem(random).encode()).decode()
    return f'{{"user": {{"client-key-data": "{key}", "username": "ops"}}}}', (key,)


def _docker_compact(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = basic(random)
    return f'{{"auths":{{"ghcr.io":{{"auth":"{secret}","email":"ops@acme.dev"}}}}}}', (secret,)


def _shadow_other(random: Random) -> tuple[str, tuple[str, ...]]:
    hashed = f"${'y'}$j9T${drawn(random, BASE62 + './', 22)}${drawn(random, BASE62 + './', 43)}"
    return f"root:{hashed}:19801:0:99999:7:::", (hashed,)


def _htpasswd_other(random: Random) -> tuple[str, tuple[str, ...]]:
    hashed = random.choice((f"{{SH{'A'}}}{base64_of(random, 20)}", f"$2{'b'}$12${drawn(random, BASE62, 53)}"))
    return f"ops:{hashed}", (hashed,)


def _webhook_call(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, URLSAFE, 67) + "x"
    id = random.randrange(10**17, 10**18)
    return f"curl -d @m.json https://discordapp.com/api/v10/webhooks/{id}/{secret}?wait=true", (secret,)


def _api_header_in_code(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = random.choice((identifier(random), drawn(random, BASE62, 40)))
    return f'req.Header.Set("X-API-Key", "{secret}")\nresp, err := client.Do(req)', (secret,)


def _git_config(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = drawn(random, HEX, 40)
    return f'[remote "origin"]\n\turl = https://{secret}:x-oauth-basic@git.corp.net/acme/api.git', (secret,)


def _sshpass(random: Random) -> tuple[str, tuple[str, ...]]:
    secret = password(random)
    return f"sshpass -p '{secret}' scp a.tgz deploy@{_host(random)}:/srv", (secret,)


HELD_OUT: dict[str, Whole] = {
    "private key": _pem_beside,
    "service account": _service_account_line,
    "password in url": _url_in_code,
    "ado connection string": _odbc,
    "azure connection string": _azure_yaml,
    "service bus": _event_hub,
    "azure sas": _sas_shuffled,
    "bearer header": _bearer_in_code,
    "basic header": _basic_in_json,
    "netrc": _netrc_line,
    "pgpass": _pgpass_any,
    "kubeconfig": _client_key,
    "docker config": _docker_compact,
    "shadow": _shadow_other,
    "htpasswd": _htpasswd_other,
    "discord webhook": _webhook_call,
    "api key header": _api_header_in_code,
    "token as git user": _git_config,
    "password on a command line": _sshpass,
}
