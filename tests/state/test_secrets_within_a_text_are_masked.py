"""What a text assigns to a secret's name is replaced in the notations that files have; its shape and the rest stay."""

from __future__ import annotations

import time

import pytest

from kubemirror.state.secrets import HIDDEN
from kubemirror.state.texts import hidden


def masked(text: str) -> str:
    return hidden(text, [])


@pytest.mark.parametrize(
    "text",
    [
        # YAML: lists, blocks, objects
        "passwords:\n  - hunter2\n  - 'hunter2'\nuser: me\n",
        "passwords:\n- hunter2\n- hunter2 # the old one\nuser: me\n",
        "db:\n  password:\n    - hunter2\n  user: me\n",
        "- tokens:\n  - hunter2\n- other:\n  - stays\n",
        "secret: |\n  hunter2\nuser: me\n",
        "secret2: >-\n    hunter2\n\nuser: me\n",
        "a:\n  password: |-\n    hunter2\n  b: c\n",
        "password: !!str |2\n    hunter2\n",
        "password:\n  hunter2\n",
        "secret:\n  nested: hunter2\n  deeper:\n    still: hunter2\n",
        "credentials:\n  user: me\n  pass: hunter2\n",
        "passwords: [hunter2, 'hunter2', \"hunter2\"]\nuser: [me]\n",
        "secret: {nested: hunter2, name: db}\n",
        "password: hunter2,;hunter2\n",
        "db_pass: hunter2\n",
        # JSON, once more in JSON, and TOML
        '{"passwords": ["hunter2", "hunter2"], "user": ["me"]}',
        '{\n  "passwords": [\n    "hunter2"\n  ],\n  "n": 1\n}',
        '{"secret": {"nested": "hunter2", "n": 1, "on": true, "name": "db"}}',
        '{\\"passwords\\": [\\"hunter2\\"], \\"user\\": \\"me\\"}',
        'passwords = ["hunter2", "hunter2"]\n',
        '{"password": "hunter2\\"hunter2"}',
        # properties, XML, PHP, Ruby
        "spring.datasource.password:hunter2\n",
        "password:hunter2\n",
        "<password>hunter2</password>",
        '<db:password type="x">hunter2</db:password>',
        "<adminPassword><![CDATA[hunter2]]></adminPassword>",
        '<user name="x" password="hunter2"/>',
        "<name>fs.s3a.secret.key</name>\n<value>hunter2</value>",
        '<property name="db.password" value="hunter2"/>',
        "define('DB_PASSWORD', 'hunter2');",
        "define( 'AUTH_KEY', 'hunter2' );",
        "'password' => 'hunter2',",
        # a registry's, a netrc, pairs
        '{"auths":{"r.example":{"auth":"hunter2"}}}',
        "machine h login u password hunter2\n",
        "default login u password hunter2\n",
        '[{"key":"API_TOKEN","value":"hunter2"}]',
        # headers and shells
        "Authorization: Token hunter2",
        "authorization: Bearer hunter2",
        '{"Authorization": "ApiKey hunter2"}',
        "curl -H 'X-Api-Key: hunter2' https://h",
        'curl -H "PRIVATE-TOKEN: hunter2" https://h',
        "run --password hunter2 --verbose",
        "run --db-token 'hunter2'",
        "mysql -phunter2 -u root",
        "mysqldump -u root -p'hunter2' db",
        "curl -s -u me:hunter2 https://h",
        "curl --user me:hunter2 https://h",
        "sshpass -p hunter2 ssh h",
        "docker login -u me -p hunter2 r.example",
        "redis-cli -h h -a hunter2 ping",
        "export GITHUB_PAT=hunter2; REDIS_PASS=hunter2 run",
        "post to https://hooks.slack.com/services/hunter2",
        "https://discord.com/api/webhooks/hunter2",
    ],
)
def test_what_is_assigned_in_any_notation_is_masked(text: str) -> None:
    assert masked(text) == text.replace("hunter2,;hunter2", HIDDEN).replace('hunter2\\"hunter2', HIDDEN).replace(
        "hunter2", HIDDEN
    )


@pytest.mark.parametrize(
    "text",
    [
        "secretName: db\n",
        "env:\n- name: X\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: password\n",
        "passwordSecretRef:\n  name: db\n  key: password\n",
        "password:\n  secretKeyRef:\n    name: db\n    key: password\n",
        "tokenReviewers:\n- jane\n",
        "passwordPolicy:\n  minLength: 8\n  symbols: true\n",
        "imagePullSecrets:\n- name: registry\n",
        "imagePullSecrets: [{name: registry}]\n",
        "volumes:\n- name: db-secret\n  secret:\n    secretName: db\n    items:\n    - key: a\n      path: b\n",
        "sources:\n- serviceAccountToken:\n    path: token\n    audience: vault\n    expirationSeconds: 3600\n",
        "secrets:\n- name: db\n- name: tls\n",
        'secrets: [{"name": "db"}, {"name": "tls"}]\n',
        '{"volumes": [{"secret": {"secretName": "db", "items": [{"key": "a", "path": "b"}]}}]}',
        '{"secret": {"enabled": true, "replicas": 3}}',
        "secret:\n  create: false\n  size: 3\n",
        "password: ${DB_PASSWORD}\ntoken: {{ .token }}\nsecret: $(SECRET)\n",
        "password: null\ntoken: ''\nsecret: ~\n",
        "maxTokens: 4096\nmax_tokens: 4096\n",
        "tokens: 4096\n",
        "automountServiceAccountToken: false\n",
        "authorization:\n  mode: Webhook\n",
        "authorization: RBAC, denied by policy",
        "no token: try again",
        "the flag --token is deprecated, use --token-file instead",
        "run --token-file /run/token --password-stdin",
        "token == x, password != y",
        "the secret, the password and the token",
        "compass: north\nbypass=here\n",
        "shop/secret:1.0",
        "my-token:1.0",
        "docker run -u 1000:1000 -p 8080:80 shop/web",
        "ssh -p 22 host; mkdir -p /data; curl -s https://h",
        "mysql -u root -p$MYSQL_PASSWORD",
        "mysql --user=root --port=3306",
        "<passwords/><password/><secretName>db</secretName>",
        '["password", "token"]',
        '{"auth": "kubernetes"}',
        "https://hooks.slack.com/docs",
    ],
)
def test_names_counts_switches_and_references_stay(text: str) -> None:
    assert masked(text) == text


def test_what_is_masked_once_stays_as_it_is() -> None:
    text = "passwords: [redacted]\nsecret:\n  - [redacted]\nfile: '[redacted: 7 bytes]'\ntoken: |\n  [redacted]\n"

    assert masked(text) == text


def test_a_block_of_many_lines_becomes_one_and_each_was_found() -> None:
    found: list[str] = []

    assert hidden("secret: |\n  first one\n  second one\nuser: me\n", found) == f"secret: |\n  {HIDDEN}\nuser: me\n"
    assert found == ["first one", "second one"]


def test_a_list_that_never_ends_is_masked_to_the_end_of_its_word() -> None:
    assert masked("password: [hunter2\nuser: me\n") == f"password: {HIDDEN}\nuser: me\n"


def test_letters_that_grow_when_they_are_lowered_move_nothing() -> None:
    assert masked("İİİ: x\npassword: hunter2\n") == f"İİİ: x\npassword: {HIDDEN}\n"


@pytest.mark.parametrize(
    "piece",
    [
        "secret:\n", "secret: [", '"secret":{', "password=", "curl -u ", "mysql ", "<password>", "machine a login b ",
        "define('password", "- secret: |\n", " --password ", "name: token ", '\\"secret\\":[', "token", "'token': '",
    ],
)  # fmt: skip
@pytest.mark.parametrize("line_end", ["", "\n"])
def test_no_text_takes_longer_than_its_length_lets_expect(piece: str, line_end: str) -> None:
    """Who may write an annotation (256 KiB) must not be able to hold up the mirror."""
    text = (piece + line_end) * (100_000 // len(piece))
    started = time.thread_time()
    masked(text)

    assert time.thread_time() - started < 2  # seconds; a hundredth of that is usual, and squares would be minutes


def test_nor_does_one_that_is_nested_ever_deeper() -> None:
    text = "".join(f"{' ' * depth}secret:\n" for depth in range(400)) + " " * 401 + "a: hunter2\n"
    started = time.thread_time()

    assert "hunter2" not in masked(text)
    assert time.thread_time() - started < 2
