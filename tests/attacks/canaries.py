"""Two hundred strings, each planted where a secret may stand; none of them may come out."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from typing import Any

from kubemirror.state.catalog import Resource, ServedVersion

JSON = dict[str, Any]


def _core(plural: str, kind: str, *, group: str = "", namespaced: bool = True, custom: bool = False) -> Resource:
    versions = (ServedVersion("v1"),)
    singular = kind.lower()
    return Resource(group, "v1", plural, singular, kind, namespaced=namespaced, versions=versions, custom=custom)


CONFIG_MAPS = _core("configmaps", "ConfigMap")
PODS = _core("pods", "Pod")
EVENTS = _core("events", "Event")
LOGINS = _core("logins", "Login", group="example.com", custom=True)
WEBHOOKS = _core(
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    group="admissionregistration.k8s.io",
    namespaced=False,
)
SECRET_NAMES = (
    "PASSWORD", "DB_PASSWORD", "MYSQL_PWD", "API_KEY", "ACCESS_TOKEN", "CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY",
    "PRIVATE_KEY", "SIGNING_KEY", "SENTRY_DSN", "REDIS_PASS", "basic-auth", "credentials", "sessionCookie", "jwt",
    "BEARER", "GITHUB_PAT", "OAUTH",
)  # fmt: skip


class Canaries:
    """Makes them, and knows them all. Each is told apart from anything else, in any case and within base64 too."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers = count(1)

    def plain(self) -> str:
        """One that nothing but its place gives away."""
        canary = f"canary{next(self._numbers):04}x"
        self.all.append(canary)
        return canary

    def shaped(self) -> Iterator[str]:
        """Each form that gives itself away, whatever stands around it."""
        long = f"{self.plain()}{'Q7' * 14}"
        yield f"eyJhbGciOiJIUzI1NiJ9.{long}.{self.plain()}"
        yield f"-----BEGIN RSA PRIVATE KEY-----\n{self.plain()}\n-----END RSA PRIVATE KEY-----"
        yield b64encode(f"-----BEGIN PRIVATE KEY-----\n{self.plain()}".encode()).decode()
        yield f"ghp_{long}"
        yield f"glpat-{long}"
        yield f"xoxb-{long}"
        yield f"hvs.{long}"
        yield f"sk-proj-{long}"
        yield f"Bearer {self.plain()}-and-more"
        yield f"postgres://user:{self.plain()}@db.shop/web"
        yield f"token={self.plain()}"
        yield f'{{"password": "{self.plain()}"}}'
        yield f"https://hooks.slack.com/services/T01/B01/{self.plain()}"
        yield f'"Authorization: Token {self.plain()}"'
        yield f'{{"secrets": ["{self.plain()}", "{self.plain()}"], "secret": {{"nested": "{self.plain()}"}}}}'
        yield f"<password>{self.plain()}</password>"
        yield f"define('DB_PASSWORD', '{self.plain()}');"
        yield f"mysql -p{self.plain()} -u root"
        yield f"curl -u user:{self.plain()} https://h"
        yield f"run --password {self.plain()}"


def pod_template(canaries: Canaries) -> JSON:
    containers: list[JSON] = []
    for kind in range(3):
        shapes = list(canaries.shaped())
        containers.append(
            {
                "name": f"app-{kind}",
                "image": "registry.example/shop/web:1.0",
                "env": [{"name": name, "value": canaries.plain()} for name in SECRET_NAMES]
                + [{"name": f"NOTE_{index}", "value": shape} for index, shape in enumerate(shapes)],
                "args": [
                    *(f"--password={canaries.plain()}", "--token", canaries.plain(), *canaries.shaped()),
                    *(f"--header=X-Api-Key: {canaries.plain()}", "-H", f"X-Auth-Token: {canaries.plain()}"),
                    *("--username", "me", "-p", canaries.plain()),
                ],
                "command": ["sh", "-c", f"export DB_PASSWORD={canaries.plain()}; run --api-key={canaries.plain()}"],
                "livenessProbe": {
                    "httpGet": {"path": "/", "httpHeaders": [{"name": "Authorization", "value": canaries.plain()}]},
                },
            }
        )
    return {"metadata": {"annotations": annotations(canaries)}, "spec": {"containers": containers}}


def annotations(canaries: Canaries) -> dict[str, str]:
    return {
        "kubectl.kubernetes.io/last-applied-configuration": f'{{"spec":"{canaries.plain()}"}}',
        "example.com/api-token": canaries.plain(),
        "example.com/manifest": f'{{"env":[{{"name":"DB_PASSWORD","value":"{canaries.plain()}"}}]}}',
        **{f"example.com/note-{index}": shape for index, shape in enumerate(canaries.shaped())},
    }


def status(canaries: Canaries) -> JSON:
    messages = [f"could not log in with {shape} today" for shape in canaries.shaped()]
    return {
        "conditions": [{"type": f"C{index}", "status": "False", "message": text} for index, text in enumerate(messages)]
    }


def config_map(canaries: Canaries) -> JSON:
    data = {name: canaries.plain() for name in SECRET_NAMES}
    data |= {f"file-{index}": f"first: line\n{shape}\n" for index, shape in enumerate(canaries.shaped())}
    data["app.yaml"] = f"db:\n  password: {canaries.plain()}\n  token: '{canaries.plain()}'\n"
    data["lists.yaml"] = (
        f"passwords:\n  - {canaries.plain()}\n  - {canaries.plain()}\nsecret: |\n  {canaries.plain()}\n"
        f"secret2: >-\n  {canaries.plain()}\ncredentials:\n  user: me\n  pass: {canaries.plain()}\n"
    )
    data["properties"] = f"spring.datasource.password:{canaries.plain()}\n"
    data["netrc"] = f"machine h login u password {canaries.plain()}\n"
    data["docker.json"] = f'{{"auths":{{"r.example":{{"auth":"{canaries.plain()}"}}}}}}'
    data["large"] = f"{'x' * 5000}{canaries.plain()}"
    binary = {"blob": b64encode(canaries.plain().encode()).decode()}
    return {"data": data, "binaryData": binary}


def login(canaries: Canaries) -> JSON:
    spec = {"username": "me", "password": canaries.plain(), "auth": {"clientSecret": canaries.plain()}}
    tokens: JSON = {
        "tokens": [{"token": canaries.plain()}],
        "headers": [{"name": "X-Api-Key", "value": canaries.plain()}],
    }
    tokens |= {"passwords": [canaries.plain(), canaries.plain()], "credentials": {"pass": canaries.plain()}}
    tokens |= {"secret": {"nested": {"deeper": [canaries.plain()]}}}
    tokens["headers"] += [{"key": "API_TOKEN", "value": canaries.plain()}]
    return {"spec": {**spec, **tokens, "stringData": {"a": canaries.plain()}}, "status": status(canaries)}


def webhook(canaries: Canaries) -> JSON:
    bundle = b64encode(f"-----BEGIN CERTIFICATE-----\n{canaries.plain()}".encode()).decode()
    url = f"https://user:{canaries.plain()}@hook.example/"
    return {"webhooks": [{"name": "a.example", "clientConfig": {"caBundle": bundle, "url": url}}]}
