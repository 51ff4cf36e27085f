"""What its name, its form or an assignment tells to be a secret is replaced before anything is held."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubemirror.app import NESTED
from kubemirror.settings import Access, Redact, Settings
from kubemirror.state.masking import Masking, redaction_of
from kubemirror.state.objects import Ingest
from kubemirror.state.redact import CUT, Cut
from kubemirror.state.secrets import HIDDEN, HIDDEN_BYTES, field_named, named
from kubemirror.state.texts import hidden

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\n-----END PRIVATE KEY-----\n"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl"


def held(fields: dict[str, Any], *, redaction: Cut | None = None, cells: bytes = b"") -> dict[str, Any]:
    """The object and its cells as they are held."""
    body = {"metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"}, **fields}
    ingest = Ingest(api_version="v1", kind="Pod", redaction=redaction or Masking())
    kept = ingest.object(json.dumps(body).encode(), cells)
    return {**json.loads(kept.raw), "cells": json.loads(kept.cells or b"null")}


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", "image": "shop/web:1", **fields}]}}


def contained(fields: dict[str, Any], **options: Any) -> Any:
    return held(fields, **options)["spec"]["containers"][0]


@pytest.mark.parametrize(
    "name",
    ["DB_PASSWORD", "password", "MYSQL_PWD", "API_KEY", "apiKey", "AUTH_TOKEN", "SIGNING_KEY", "CLIENT_SECRET", "KEY",
     "AWS_SECRET_ACCESS_KEY", "SENTRY_DSN", "REDIS_PASS", "GITHUB_TOKEN", "basic.auth", "sessionCookie", "BEARER",
     "GITHUB_PAT", "githubPat", "OAUTH", "SLACK_WEBHOOK_URL"],
)  # fmt: skip
def test_a_variable_of_a_secrets_name_is_masked(name: str) -> None:
    app = contained(container(env=[{"name": name, "value": "hunter2"}, {"name": "LOG", "value": "info"}]))

    assert app["env"] == [{"name": name, "value": HIDDEN}, {"name": "LOG", "value": "info"}]


@pytest.mark.parametrize(
    "name",
    ["TOKEN_FILE", "SECRET_NAME", "PASSWORD_PATH", "TOKEN_TTL", "KEYCLOAK_URL", "MONKEY", "PASSENGERS", "AUTHOR",
     "PATH", "COMPAT", "IMAGE_PULL_SECRET", "TOKEN_REVIEWERS", "TOKEN_URL", "OAUTH_URL"],
)  # fmt: skip
def test_a_variable_that_tells_where_a_secret_is_stays(name: str) -> None:
    assert contained(container(env=[{"name": name, "value": "something"}]))["env"][0]["value"] == "something"


@pytest.mark.parametrize(
    ("name", "value"),
    [("USE_TOKEN", "true"), ("ALLOW_EMPTY_PASSWORD", "yes"), ("MAX_TOKENS", "4096"), ("PASSWORD", "$(DB_PASSWORD)")],
)
def test_a_switch_a_count_and_a_reference_stay_whatever_their_variables_name(name: str, value: str) -> None:
    assert contained(container(env=[{"name": name, "value": value}]))["env"][0]["value"] == value


def test_a_reference_to_a_secret_stays() -> None:
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]

    assert contained(container(env=env))["env"] == env


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        (["--password=hunter2", "--verbose"], ["--password=[redacted]", "--verbose"]),
        (["--token", "hunter2", "--port", "80"], ["--token", "[redacted]", "--port", "80"]),
        (["--token-file=/run/token"], ["--token-file=/run/token"]),
        (["sh", "-c", "export DB_PASSWORD=hunter2; run"], ["sh", "-c", "export DB_PASSWORD=[redacted]; run"]),
        (["--dsn=postgres://me:hunter2@db/shop"], ["--dsn=[redacted]"]),
        (["--db=postgres://me:hunter2@db/shop"], ["--db=postgres://me:[redacted]@db/shop"]),
        (["--secret=$(SECRET)"], ["--secret=[redacted]"]),
        (["--header=X-Api-Key: hunter2"], ["--header=X-Api-Key: [redacted]"]),
        (
            ["--header", "X-Auth: x", "-H", "Basic-Auth: hunter2"],
            ["--header", "X-Auth: [redacted]", "-H", "Basic-Auth: [redacted]"],
        ),
        (["-H", "Authorization: Token hunter2"], ["-H", "Authorization: [redacted]"]),
        (["--header=Accept: text/plain"], ["--header=Accept: text/plain"]),
        (["mysql", "-u", "root", "-phunter2"], ["mysql", "-u", "root", "-p[redacted]"]),
        (["--username", "me", "-p", "hunter2"], ["--username", "me", "-p", "[redacted]"]),
        (["-p", "Hunter2Hunter2"], ["-p", "[redacted]"]),
        (["curl", "-u", "me:hunter2", "https://h"], ["curl", "-u", "me:[redacted]", "https://h"]),
        (["--user=me:hunter2", "https://h"], ["--user=me:[redacted]", "https://h"]),
        (
            ["-p", "8080", "-p", "tcp", "-p", "/data", "-u", "1000:1000"],
            ["-p", "8080", "-p", "tcp", "-p", "/data", "-u", "1000:1000"],
        ),
        (["ssh", "-p", "22", "host"], ["ssh", "-p", "22", "host"]),
        (["--password-stdin", "x", "--enable-token=true"], ["--password-stdin", "x", "--enable-token=true"]),
    ],
)
def test_arguments_that_assign_a_secret_are_masked(arguments: list[str], masked: list[str]) -> None:
    assert contained(container(args=arguments))["args"] == masked
    assert contained(container(command=arguments))["command"] == masked


@pytest.mark.parametrize(
    "token",
    [JWT, PEM, "AKIAIOSFODNN7EXAMPLE", f"ghp_{'a1' * 18}", f"glpat-{'b2' * 10}", "xoxb-1234567890-abcdef",
     f"AIza{'c3' * 17}A", f"hvs.{'d4' * 12}", f"npm_{'e5' * 18}", f"sk-{'f6' * 12}",
     b64encode(PEM.encode()).decode()],
)  # fmt: skip
def test_what_looks_like_a_token_is_masked_wherever_it_stands(token: str) -> None:
    text = f"could not log in with {token} today"
    body = held(
        {
            **container(env=[{"name": "GREETING", "value": text}], args=[text]),
            "status": {"message": text, "conditions": [{"type": "Ready", "message": token}]},
            "data": {"note": text},
        },
        cells=json.dumps(["web", text, token]).encode(),
    )

    assert token not in json.dumps(body)
    assert token.strip() not in json.dumps(body)
    assert body["cells"][0] == "web"


def test_annotations_are_masked_by_name_and_form() -> None:
    given_ = {"example.com/api-token": "hunter2", "note": f"use {JWT}", "deployment.kubernetes.io/revision": "3"}

    annotations = held({"metadata": {"name": "web", "annotations": given_}})["metadata"]["annotations"]

    assert annotations == {
        "example.com/api-token": HIDDEN,
        "note": f"use {HIDDEN}",
        "deployment.kubernetes.io/revision": "3",
    }


def test_a_config_maps_files_are_masked_by_name_size_and_assignment() -> None:
    data = {
        "password": "hunter2",
        "app.yaml": "user: me\npassword: hunter2\nurl: http://shop\n",
        "app.json": '{"user":"me","apiKey":"hunter2"}',
        "large": "x" * 5000,
        "color": "blue",
        "ca.crt": PEM,
    }
    body = held({"kind": "ConfigMap", "apiVersion": "v1", "data": data, "binaryData": {"k": "aHVudGVyMg=="}})

    assert body["data"] == {
        "password": "[redacted: 7 bytes]",
        "app.yaml": "user: me\npassword: [redacted]\nurl: http://shop\n",
        "app.json": '{"user":"me","apiKey":"[redacted]"}',
        "large": "[redacted: 5000 bytes]",
        "color": "blue",
        "ca.crt": f"{HIDDEN}\n",
    }
    assert body["binaryData"] == {"k": HIDDEN_BYTES}


def test_bytes_stay_bytes() -> None:
    """Clients with Go's types decode them."""
    body = held({"webhooks": [{"clientConfig": {"caBundle": "aHVudGVyMg=="}}]})

    assert b64decode(body["webhooks"][0]["clientConfig"]["caBundle"], validate=True) == HIDDEN.encode()


def test_fields_of_a_secrets_name_are_masked_in_any_kind() -> None:
    spec = {"auth": {"clientSecret": "hunter2", "secretName": "db"}, "tokens": [{"token": "hunter2"}], "token": "x"}
    body = held({"kind": "Login", "apiVersion": "example.com/v1", "spec": spec, "password": "hunter2"})

    assert body["spec"] == {
        "auth": {"clientSecret": HIDDEN, "secretName": "db"},
        "tokens": [{"token": HIDDEN}],
        "token": HIDDEN,
    }
    assert body["password"] == HIDDEN


SECRETS = {
    "passwords": ["hunter2", "hunter2"],
    "auth": {"secret": {"nested": "hunter2", "deeper": [{"still": "hunter2"}]}},
    "credentials": {"user": "me", "pass": "hunter2", "region": "eu", "id": "x"},
    "adminPass": "hunter2",
    "apiKeys": {"jane": "hunter2"},
    "settings": [{"key": "API_TOKEN", "value": "hunter2"}, {"key": "COLOR", "value": "blue"}],
    "secrets": [{"name": "db", "value": "hunter2"}],
    "values": "password:\n- hunter2\n",
}


def test_lists_and_objects_of_a_secrets_name_are_masked_in_a_custom_resource_and_keep_their_shape() -> None:
    body = held({"kind": "Login", "apiVersion": "example.com/v1", "spec": SECRETS})

    assert body["spec"] == json.loads(json.dumps(SECRETS).replace("hunter2", HIDDEN))


TOLD = {
    "secretName": "db",
    "passwordSecretRef": {"name": "db", "key": "password"},
    "password": {"secretKeyRef": {"name": "db", "key": "password"}},
    "token": {"name": "db", "key": "token", "optional": True},
    "accessKeySecret": {"name": "s3", "key": "access"},
    "tokenReviewers": ["jane"],
    "passwordPolicy": {"minLength": 8, "symbols": True, "kind": "strict"},
    "tokens": 5,
    "maxTokens": "4096",
    "secrets": [{"name": "db"}, {"name": "tls", "namespace": "shop"}],
    "imagePullSecrets": [{"name": "registry"}],
    "pullSecrets": ["registry"],
    "existingSecret": "db",
    "credentials": {"source": "Secret", "secretRef": {"namespace": "shop", "name": "db", "key": "creds"}},
    "data": [{"secretKey": "password", "remoteRef": {"key": "shop/db", "property": "password"}}],
    "secret": {"enabled": True, "size": 3, "metadata": {"purpose": "tests"}, "type": "Opaque"},
    "auth": {"secret": "{{ .Values.secret }}", "token": "$(TOKEN)"},
    "template": {
        "spec": {
            "automountServiceAccountToken": False,
            "serviceAccountName": "token-reader",
            "volumes": [
                {"name": "db-secret", "secret": {"secretName": "db", "items": [{"key": "a", "path": "b"}]}},
                {
                    "name": "token",
                    "projected": {
                        "sources": [
                            {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 3600}},
                            {"secret": {"name": "db", "items": [{"key": "a", "path": "b", "mode": 420}]}},
                        ]
                    },
                },
            ],
            "tolerations": [{"key": "token", "operator": "Equal", "value": "x", "effect": "NoSchedule"}],
        }
    },
}


@pytest.mark.parametrize(("kind", "group"), [("Login", "example.com/v1"), ("Deployment", "apps/v1")])
def test_names_counts_switches_and_references_stay(kind: str, group: str) -> None:
    spec = TOLD if kind == "Login" else TOLD["template"]
    cells = ["web", "db", "registry", "4096", "password"]
    body = held({"kind": kind, "apiVersion": group, "spec": spec}, cells=json.dumps(cells).encode())

    assert body["spec"] == spec
    assert body["cells"] == cells


def test_a_cell_that_prints_a_masked_list_is_masked_too() -> None:
    cells = json.dumps(["web", '["a1","b2"]', '{"nested":"c\\"33333"}', '["c1"]']).encode()
    spec = {"passwords": ["a1", "b2"], "secret": {"nested": 'c"33333'}}

    body = held({"kind": "Login", "apiVersion": "example.com/v1", "spec": spec}, cells=cells)

    assert body["cells"] == ["web", HIDDEN, HIDDEN, '["c1"]']


def test_a_cell_that_shows_what_was_masked_is_masked_too() -> None:
    cells = json.dumps(["web", "hunter22", "is hunter22 it", 3, None, "other"]).encode()

    body = held({"kind": "Login", "apiVersion": "example.com/v1", "spec": {"password": "hunter22"}}, cells=cells)

    assert body["cells"] == ["web", HIDDEN, HIDDEN, 3, None, "other"]


def test_nothing_else_is_touched() -> None:
    raw = (
        rb'{"kind":"Foo","apiVersion":"a.dev/v1","metadata":{"name":"a","labels":{"token":"x"}},'
        rb'"spec":{"n":1.50,"e":1E5,"big":123456789012345678901234567890,"text":"\u00e9"}}'
    )
    ingest = Ingest(api_version="a.dev/v1", kind="Foo", redaction=Masking())

    assert ingest.object(raw).raw == raw


def test_numbers_keep_their_digits_beside_what_is_masked() -> None:
    raw = (
        b'{"kind":"Foo","apiVersion":"a.dev/v1","metadata":{"name":"a"},'
        b'"spec":{"token":"x","n":1.50,"big":123456789012345678901234567890}}'
    )
    ingest = Ingest(api_version="a.dev/v1", kind="Foo", redaction=Masking())

    assert ingest.object(raw).raw == raw.replace(b'"x"', b'"[redacted]"')


def test_all_masks_every_value_of_env_args_config_maps_and_annotations() -> None:
    everything = Masking(redact=Redact.ALL)
    app = contained(
        container(env=[{"name": "LOG", "value": "info"}], args=["serve", "--port=80", "x"], command=["run", "it"]),
        redaction=everything,
    )
    note = held({"metadata": {"name": "a", "annotations": {"note": "n"}}, "data": {"a": "b"}}, redaction=everything)
    files = held({"kind": "ConfigMap", "apiVersion": "v1", "data": {"a": "b"}}, redaction=everything)

    assert app["env"] == [{"name": "LOG", "value": HIDDEN}]
    assert app["args"] == ["serve", f"--port={HIDDEN}", HIDDEN]
    assert app["command"] == ["run", HIDDEN]
    assert note["metadata"]["annotations"] == {"note": HIDDEN}
    assert files["data"] == {"a": "[redacted: 1 bytes]"}


@pytest.mark.parametrize(
    "text",
    [
        '{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}',
        '{\\"name\\": \\"DB_PASSWORD\\", \\"value\\": \\"hunter2\\"}',
        "env:\n- name: DB_PASSWORD\n  value: hunter2\n- name: X\n",
        '{"dbPassword": "hunter2"}',
        '{\\"dbPassword\\": \\"hunter2\\"}',
        "DB_PASSWORD='hunter2'",
    ],
)
def test_an_object_within_a_text_is_masked_too(text: str) -> None:
    """As annotations and files hold them."""
    masked = held({"metadata": {"name": "a", "annotations": {"note": text}}})["metadata"]["annotations"]["note"]

    assert masked == text.replace("hunter2", HIDDEN)


def test_the_last_applied_annotation_is_not_kept_where_values_are_masked() -> None:
    kept = redaction_of(Settings(access=Access.OPEN, keep_last_applied=True))

    assert not kept.keep_last_applied


def test_further_names_may_be_given() -> None:
    app = contained(container(env=[{"name": "BILLING_PIN", "value": "1234"}]), redaction=Masking(names=("*_pin",)))

    assert app["env"][0]["value"] == HIDDEN


def test_a_definitions_schema_is_left_alone_but_for_its_webhook() -> None:
    spec = {
        "versions": [{"schema": {"properties": {"password": {"type": "string", "description": "token: the token=x"}}}}],
        "conversion": {"webhook": {"clientConfig": {"caBundle": "aHVudGVyMg=="}}},
    }
    body = held({"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": spec})

    assert body["spec"]["versions"] == spec["versions"]
    assert body["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] == HIDDEN_BYTES


def test_a_secret_is_held_without_its_data_whatever_came() -> None:
    ingest = Ingest(api_version="v1", kind="Secret", redaction=CUT, replace_type=True)
    raw = ingest.object(b'{"metadata":{"name":"db"},"data":{"password":"aHVudGVyMg=="},"stringData":{"p":"q"}}').raw

    assert raw == b'{"kind":"Secret","apiVersion":"v1","metadata":{"name":"db"}}'


@pytest.mark.parametrize(
    ("settings", "mode"),
    [
        (Settings(), Redact.NONE),
        (Settings(access=Access.LOCAL, redact=Redact.ALL), Redact.ALL),
        (Settings(access=Access.OPEN), Redact.PATTERN),
        (Settings(access=Access.OPEN, unredacted=True), Redact.NONE),
    ],
)
def test_others_are_shown_masked_values_unless_it_is_said_otherwise(settings: Settings, mode: Redact) -> None:
    assert settings.redaction is mode
    assert isinstance(redaction_of(settings), Masking) is (mode is not Redact.NONE)


@given(st.text(max_size=300))
def test_text_without_secrets_is_the_same_text(text: str) -> None:
    found: list[str] = []
    result = hidden(text, found)

    assert (result is text) or (found and HIDDEN in result) or HIDDEN_BYTES in result


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30))  # fmt: skip # noqa: E501
def test_objects_of_any_shape_are_walked(spec: Any) -> None:
    body = {"kind": "Foo", "apiVersion": "a.dev/v1", "metadata": {"name": "a"}, "spec": spec, "data": spec}
    raw = json.dumps(body).encode()

    for kind in ("Foo", "ConfigMap"):
        ingest = Ingest(api_version="v1", kind=kind, redaction=Masking(redact=Redact.ALL, names=("*x*",)))
        assert ingest.object(raw.replace(b"Foo", kind.encode())).error == ""


@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize("depth", [500, 9_990, 50_000])
def test_an_object_nested_too_deep_to_be_walked_ends_nothing(open_: bytes, close: bytes, depth: int) -> None:
    """Who may write a custom resource must not be able to end the mirror."""
    spec = open_ * depth + b'"password=hunter2"' + close * depth
    raw = b'{"metadata":{"name":"a","uid":"u","resourceVersion":"1"},"spec":%s}' % spec
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(NESTED)
    try:
        kept = Ingest(api_version="a.dev/v1", kind="Foo", redaction=Masking()).object(raw).raw
    except ValueError as error:
        kept = str(error).encode()  # the reflector counts it, and goes on
    finally:
        sys.setrecursionlimit(before)

    assert b"hunter2" not in kept
    assert (HIDDEN.encode() in kept) is (depth < NESTED)


def test_names_are_told_apart() -> None:
    assert named("db-password")
    assert not named("secretName")
    assert field_named("clientSecret")
    assert not field_named("key")
