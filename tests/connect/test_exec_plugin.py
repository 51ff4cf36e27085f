"""Exec plugins are other people's programs: they hang, ask, fail and talk too much (F11)."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
import trustme

from kubemirror.kube.exec_plugin import ExecConfig, ExecPlugin
from kubemirror.kube.transport import TransportError
from tests.connect.conftest import Connect
from tests.connect.stub import Clock, Stub, ask, server_tls

V1 = "client.authentication.k8s.io/v1"


def plugin(folder: Path, code: str, **extra: Any) -> dict[str, Any]:
    """A user whose plugin is this Python code."""
    script = folder / "plugin.py"
    script.write_text(code)
    return {"exec": {"apiVersion": V1, "command": sys.executable, "args": ["-S", str(script)], **extra}}


def printing(status: dict[str, Any], version: str = V1) -> str:
    return f"print({json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status})!r})\n"


async def failure(connection: Any) -> str:
    with pytest.raises(TransportError) as caught:
        await ask(connection, seconds=20)
    assert caught.value.kind == "credentials"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("version", [V1, "client.authentication.k8s.io/v1beta1"])
async def test_a_token_is_sent(connect: Connect, tmp_path: Path, version: str) -> None:
    user = plugin(tmp_path, printing({"token": " t0k3n\n"}, version), apiVersion=version)
    async with Stub() as stub:
        connection = await connect(stub.url, user=user)
        await ask(connection)

    assert stub.requests[0].header("authorization") == "Bearer t0k3n"
    assert connection.describe()["authentication"] == f"exec plugin {Path(sys.executable).name}"


async def test_a_client_certificate_is_shown(connect: Connect, tmp_path: Path, ca: trustme.CA) -> None:
    issued = ca.issue_cert("plugin@example.org")
    status = {
        "clientCertificateData": issued.cert_chain_pems[0].bytes().decode(),
        "clientKeyData": issued.private_key_pem.bytes().decode(),
    }
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"), clients=ca)) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()},
            user=plugin(tmp_path, printing(status)),
        )
        await ask(connection)

    assert "plugin@example.org" in json.dumps(stub.requests[0].certificate["subjectAltName"])
    assert stub.requests[0].header("authorization") is None


async def test_the_plugin_is_told_what_it_needs(connect: Connect, tmp_path: Path, ca: trustme.CA) -> None:
    pem = ca.cert_pem.bytes()
    told = tmp_path / "told"
    user = plugin(
        tmp_path,
        "import os, pathlib, sys\n"
        f"pathlib.Path({str(told)!r}).write_text(repr((os.environ['KUBERNETES_EXEC_INFO'], os.environ['PROFILE'],"
        " sys.argv[1:], sys.stdin.read(), os.getsid(0) == os.getpid())))\n" + printing({"token": "t"}),
        env=[{"name": "PROFILE", "value": "staging"}],
        provideClusterInfo=True,
    )
    user["exec"]["args"] += ["get-token", "--cluster", "x"]
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        connection = await connect(
            stub.url,
            cluster={
                "certificate-authority-data": base64.b64encode(pem).decode(),
                "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "a"}}],
            },
            user=user,
        )
        await ask(connection)

    info, profile, arguments, stdin, leads = eval(told.read_text())
    assert json.loads(info) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {
            "interactive": False,
            "cluster": {
                "server": stub.url,
                "certificate-authority-data": base64.b64encode(pem).decode(),
                "config": {"audience": "a"},
            },
        },
    }
    assert (profile, arguments, stdin, leads) == ("staging", ["get-token", "--cluster", "x"], "", True)


async def test_a_plugin_is_not_told_of_the_cluster_unless_it_asks(connect: Connect, tmp_path: Path) -> None:
    told = tmp_path / "told"
    user = plugin(
        tmp_path,
        f"import os, pathlib\npathlib.Path({str(told)!r}).write_text(os.environ['KUBERNETES_EXEC_INFO'])\n"
        + printing({"token": "t"}),
    )
    async with Stub() as stub:
        await ask(await connect(stub.url, user=user))

    assert json.loads(told.read_text())["spec"] == {"interactive": False}


async def test_a_command_with_a_slash_is_found_beside_the_kubeconfig(connect: Connect, tmp_path: Path) -> None:
    script = tmp_path / "login"
    script.write_text(f"#!{sys.executable} -S\n" + printing({"token": "t"}))
    script.chmod(0o755)
    async with Stub() as stub:
        reply = await ask(await connect(stub.url, user={"exec": {"apiVersion": V1, "command": "./login"}}))

    assert reply.status == 200


async def test_a_plugin_that_hangs_is_killed_with_its_children(connect: Connect, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    code = (
        "import os, sys, time\n"
        f"open_by_both = os.open({str(alive)!r}, os.O_WRONLY)\n"
        "os.write(open_by_both, b'x' if os.fork() else b'y')\n"
        "print('waiting for the browser', file=sys.stderr, flush=True)\n"
        "time.sleep(3600)\n"
    )
    async with Stub() as stub:
        # Read to its end, which comes when nobody is left who could write.
        ended = asyncio.create_task(asyncio.to_thread(alive.read_bytes))
        connection = await connect(stub.url, user=plugin(tmp_path, code), exec_seconds=2.0)
        said = await failure(connection)
        wrote = await ended

    assert "did not answer within 2 s and was ended" in said
    assert said.endswith("it said: waiting for the browser")
    assert sorted(wrote) == sorted(b"xy")
    assert stub.requests == []


async def test_a_plugin_ends_with_its_connection(connect: Connect, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    code = f"import time\nheld = open({str(alive)!r}, 'w')\ntime.sleep(3600)\n"
    async with Stub() as stub:
        connection = await connect(stub.url, user=plugin(tmp_path, code))
        asking = asyncio.create_task(ask(connection, seconds=3600))
        reader = await asyncio.to_thread(alive.open, "rb")
        await connection.close()
        with reader:
            assert await asyncio.to_thread(reader.read) == b""
        with pytest.raises(TransportError, match="was ended with its connection"):
            await asking


async def test_a_plugin_that_prompts_reads_nothing_and_cannot_reach_a_terminal(
    connect: Connect, tmp_path: Path
) -> None:
    code = (
        "import sys\n"
        "try:\n"
        "    open('/dev/tty')\n"
        "except OSError:\n"
        "    pass\n"
        "else:\n"
        "    sys.exit('there is a terminal')\n"
        "print('Password: ', file=sys.stderr, end='')\n"
        "sys.exit(0 if input() else 1)\n"
    )
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, code)))

    assert said.endswith("failed with exit code 1: EOFError: EOF when reading a line")


async def test_a_plugin_that_fails_is_quoted_in_one_line(connect: Connect, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "print('Loading\\n\\x1b[31mError: \\tthe session has expired, run: acme login\\n', file=sys.stderr)\n"
        "sys.exit(1)\n"
    )
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, code)))

    assert said == (
        f"exec plugin {Path(sys.executable).name!r} failed with exit code 1:"
        " [31mError:  the session has expired, run: acme login"
    )


async def test_a_plugin_killed_by_a_signal_says_which(connect: Connect, tmp_path: Path) -> None:
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, "import os\nos.kill(os.getpid(), 15)\n")))

    assert said.endswith("was ended by signal 15")


async def test_a_megabyte_on_stderr_hurts_nobody(connect: Connect, tmp_path: Path) -> None:
    code = "import sys\nsys.stderr.write('x' * 1_000_000 + '\\n')\n" + printing({"token": "t"})
    async with Stub() as stub:
        assert (await ask(await connect(stub.url, user=plugin(tmp_path, code)), seconds=20)).status == 200


async def test_a_failing_plugins_megabyte_is_shortened(connect: Connect, tmp_path: Path) -> None:
    code = "import sys\nsys.stderr.write('x' * 1_000_000)\nsys.exit(2)\n"
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, code)))

    assert len(said) < 300


async def test_a_megabyte_on_stdout_is_refused(connect: Connect, tmp_path: Path) -> None:
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, "print('x' * 5_000_000)\n")))

    assert "printed more than" in said


async def test_what_looks_like_a_token_on_stderr_is_hidden(connect: Connect, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.exit('failed: token=s3cr3t-1 Authorization: Bearer s3cr3t-2 '\n"
        '         \'"password": "s3cr3t-3" eyJhbGciOiJ.s3cr3t-4.x\')\n'
    )
    async with Stub() as stub:
        said = await failure(await connect(stub.url, user=plugin(tmp_path, code)))

    assert "s3cr3t" not in said
    assert "failed:" in said


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('hello')", "did not print an ExecCredential"),
        ("print('[]')", "did not print an ExecCredential"),
        ("print()", "did not print an ExecCredential"),
        ("import os; os.write(1, b'\\xff')", "did not print an ExecCredential"),
        ("""print('{"kind": "Pod"}')""", "did not print an ExecCredential"),
        (printing({"token": "t"}, "client.authentication.k8s.io/v1beta1"), "another apiVersion than the kubeconfig's"),
        (printing({}), "neither a token nor a client certificate"),
        (printing({"token": 7}), "fields are not text"),
        (printing({"clientCertificateData": "x"}), "without its key"),
        (printing({"token": "t", "expirationTimestamp": "tomorrow"}), "not RFC 3339"),
        (printing({"token": "two\nlines"}), "token that is not printable"),
        (printing({"clientCertificateData": "x", "clientKeyData": "y"}), "not PEM"),
    ],
)
async def test_what_is_no_credential_is_said(
    connect: Connect, tmp_path: Path, ca: trustme.CA, code: str, message: str
) -> None:
    async with Stub(tls=server_tls(ca.issue_cert("127.0.0.1"))) as stub:
        connection = await connect(
            stub.url,
            cluster={"certificate-authority-data": base64.b64encode(ca.cert_pem.bytes()).decode()},
            user=plugin(tmp_path, code),
        )
        assert message in await failure(connection)

    assert stub.requests == []


async def test_a_child_left_behind_does_not_keep_us_waiting(tmp_path: Path) -> None:
    """It holds stdout open; the credential is complete all the same."""
    hold = tmp_path / "hold"
    os.mkfifo(hold)
    child = "[sys.executable, '-S', '-c', 'import sys; open(sys.argv[1]).read()', sys.argv[1]]"
    code = f"import subprocess, sys\nsubprocess.Popen({child})\n"
    script = tmp_path / "plugin.py"
    script.write_text(code + printing({"token": "t"}))
    ran = ExecPlugin(
        ExecConfig(command=sys.executable, args=("-S", str(script), str(hold))), {}, limit_seconds=10, grace_seconds=0.1
    )
    began = time.monotonic()

    credential = await ran.run()

    assert credential.token == "t"
    assert time.monotonic() - began < 9
    await asyncio.to_thread(hold.write_text, "")  # the child is there, and goes now


async def test_a_plugin_that_fails_is_not_run_for_every_request(connect: Connect, tmp_path: Path, clock: Clock) -> None:
    code = f"import sys\nopen({str(tmp_path / 'runs')!r}, 'a').write('x')\nsys.exit('no')\n"
    async with Stub() as stub:
        connection = await connect(stub.url, user=plugin(tmp_path, code), clock=clock)
        with structlog.testing.capture_logs() as logs:
            errors = await asyncio.gather(*(ask(connection) for _ in range(10)), return_exceptions=True)
            errors += await asyncio.gather(*(ask(connection) for _ in range(10)), return_exceptions=True)
            assert (tmp_path / "runs").read_text() == "x"
            clock.advance(60)
            errors += await asyncio.gather(ask(connection), return_exceptions=True)

    assert (tmp_path / "runs").read_text() == "xx"
    assert {str(error) for error in errors} == {
        f"exec plugin {Path(sys.executable).name!r} failed with exit code 1: no"
    }
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == ["credentials.plugin_failed"]


async def test_a_request_that_gives_up_leaves_the_plugin_running_for_the_next(connect: Connect, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    async with Stub() as stub:
        code = f"open({str(go)!r}).read()\n" + printing({"token": "t"})
        connection = await connect(stub.url, user=plugin(tmp_path, code))
        with pytest.raises(TransportError) as caught:
            await ask(connection, seconds=0.05)
        assert caught.value.kind == "timeout"

        asking = asyncio.create_task(ask(connection))
        await asyncio.to_thread(go.write_text, "go")
        assert (await asking).status == 200


def moment(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_credential_is_renewed_shortly_before_it_expires(connect: Connect, tmp_path: Path) -> None:
    clock, wall = Clock(), Clock(1_800_000_000.0)
    answer = tmp_path / "answer"
    user = plugin(tmp_path, f"print(open({str(answer)!r}).read())\n")

    def say(token: str, seconds: float) -> None:
        status = {"token": token, "expirationTimestamp": moment(wall.now + seconds)}
        answer.write_text(json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}))

    async with Stub() as stub:
        connection = await connect(stub.url, user=user, clock=clock, wall=wall)
        say("first", 3600)
        await ask(connection)
        say("second", 7200)
        for passed in (3000, 550, 25):  # the last leaves 25 s of the first token
            clock.advance(passed)
            wall.advance(passed)
            await ask(connection)

    assert [request.header("authorization") for request in stub.requests] == [
        "Bearer first",
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]


async def test_a_credential_outlives_a_failing_renewal_until_it_expires(connect: Connect, tmp_path: Path) -> None:
    clock, wall = Clock(), Clock(1_800_000_000.0)
    answer = tmp_path / "answer"
    status = {"token": "first", "expirationTimestamp": moment(wall.now + 3600)}
    answer.write_text(json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status}))
    async with Stub() as stub:
        connection = await connect(
            stub.url, user=plugin(tmp_path, f"print(open({str(answer)!r}).read())\n"), clock=clock, wall=wall
        )
        await ask(connection)
        answer.unlink()
        clock.advance(3580)
        wall.advance(3580)
        await ask(connection)
        clock.advance(30)
        wall.advance(30)
        said = await failure(connection)

    assert [request.header("authorization") for request in stub.requests] == ["Bearer first", "Bearer first"]
    assert "FileNotFoundError" in said
