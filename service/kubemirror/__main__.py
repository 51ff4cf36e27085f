"""The command line: ``kubemirror serve``, ``demo-server``, ``rbac``, ``kubeconfig``, ``watch``, ``embed`` and others.

Flags are made from the settings themselves, so that none can be forgotten: ``--kebab-case``, repeatable where
the setting is a list. What is wrong is told in one line, with exit code 2.
"""

from __future__ import annotations

import argparse
import sys
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from kubemirror.errors import ConfigError
from kubemirror.settings import Settings

EXIT_CONFIG = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    try:
        given = _parser().parse_args(arguments)
        run: Any = given.run
        return int(run(given))
    except ConfigError as error:
        print(f"kubemirror: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    """argparse, but what is wrong is one line that names the nearest right thing."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        for word in message.split():
            flag = word.partition("=")[0]
            close = get_close_matches(flag, self._option_string_actions, n=1) if flag.startswith("--") else []
            if close and "unrecognized" in message:
                message += f": did you mean {close[0]}?"
                break
        raise ConfigError(f"{message} ({self.prog} --help shows what there is)")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        # Here and not in the base class, so that it is the command's parser that suggests.
        given, rest = self.parse_known_args(args, namespace)
        if rest:
            parser = getattr(given, "parser", self)
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return given


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kubemirror", description="A live, read-only mirror of a Kubernetes cluster.")
    parser.add_argument("--version", action="version", version=f"kubemirror {version('kubemirror')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="mirror a cluster and serve it")
    _add_settings(serve)
    serve.set_defaults(run=_serve, parser=serve)

    demo = commands.add_parser("demo-server", help="run the demo cluster alone; prints its kubeconfig")
    demo.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one")
    demo.add_argument("--objects", type=int, default=0, help="fill it up to this many Deployments")
    demo.add_argument("--seed", type=int, default=0, help="of names, and of what happens by itself")
    demo.add_argument("--no-life", dest="life", action="store_false", help="let nothing happen by itself")
    demo.set_defaults(run=_demo_server, parser=demo)

    rbac = commands.add_parser("rbac", help="print the ClusterRole for what would be mirrored")
    _add_settings(rbac)
    rbac.set_defaults(run=_rbac, parser=rbac)

    kubeconfig = commands.add_parser("kubeconfig", help="print a kubeconfig that points at a running mirror")
    kubeconfig.add_argument("--server", default="http://127.0.0.1:8080", help="URL of the mirror")
    kubeconfig.add_argument("--name", default="kubemirror", help="name of the context")
    kubeconfig.add_argument("--token-file", help="file with the bearer token to send")
    trust = kubeconfig.add_mutually_exclusive_group()
    trust.add_argument("--ca", help="file with the mirror's certificate, or with that of its issuer")
    trust.add_argument(
        "--trust-shown",
        action="store_true",
        help="trust the certificate that the mirror shows now; compare its fingerprint with the mirror's log",
    )
    kubeconfig.set_defaults(run=_kubeconfig, parser=kubeconfig)

    embed = commands.add_parser("embed-token", help="sign a token that shows one resource on a page elsewhere")
    embed.add_argument("--embed-key-file", required=True, help="the mirror's own; its first line signs")
    embed.add_argument("--user", required=True, help="whose rights it has, as the API server names users")
    embed.add_argument("--group", action="append", default=[], help="that user's group (repeatable)")
    embed.add_argument("--resource", required=True, help="plural and group: deployments.apps, pods")
    embed.add_argument("--namespace", "-n", default="", help="the only one that it opens; default: what the user may")
    embed.add_argument("--selector", "-l", default="", help="label selector: the only one that it opens")
    embed.add_argument("--expires-in", default="12h", help="seconds, or a number with m, h or d (default: 12h)")
    embed.set_defaults(run=_embed_token, parser=embed)

    watch = commands.add_parser("watch", help="print what a running mirror has, and every change, as kubectl get -w")
    watch.add_argument("resource", help="what to watch, by any name kubectl takes")
    watch.add_argument("name", nargs="?", default="", help="only the object of this name")
    where = watch.add_mutually_exclusive_group()
    where.add_argument("--namespace", "-n", default="", help="only this namespace; default: all")
    where.add_argument("--all-namespaces", "-A", action="store_true", help="as without --namespace")
    watch.add_argument("--selector", "-l", default="", help="label selector, as kubectl's")
    watch.add_argument("--field-selector", default="", help="field selector, as kubectl's")
    watch.add_argument("--search", "-q", default="", help="only objects that contain this text, in any cell")
    watch.add_argument("--filter", default="", help="only objects whose cells are so: Ready<1,Image~nginx")
    watch.add_argument("--columns", default="", help="of the table: columns by name, labels.x, .spec.path, Title=…")
    watch.add_argument("--output", "-o", choices=("wide", "name", "json"), default="", help="default: a table")
    watch.add_argument("--server", default="http://127.0.0.1:8080", help="URL of the mirror")
    watch.add_argument("--token-file", help="file with the bearer token to send; read again as it is renewed")
    watch.add_argument("--ca", help="file with the mirror's certificate, or with that of its issuer")
    watch.set_defaults(run=_watch, parser=watch)

    embed = commands.add_parser("embed", help="print the lines that show a resource on a page elsewhere")
    embed.add_argument("resource", nargs="?", default="deployments", help="what to show, by any name kubectl takes")
    embed.add_argument("--namespace", "-n", default="", help="only this namespace; default: all")
    embed.add_argument("--selector", "-l", default="", help="label selector, as kubectl's")
    embed.add_argument("--theme", choices=("auto", "light", "dark"), default="", help="default: as the visitor prefers")
    embed.add_argument("--accent", default="", metavar="COLOUR", help="colour of links, as #0a58ca")
    embed.add_argument("--frame", action="store_true", help="an iframe; default: the web component and its hash")
    embed.add_argument("--server", default="http://127.0.0.1:8080", help="URL of the mirror, as its readers know it")
    embed.set_defaults(run=_embed, parser=embed)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """One flag per setting; a flag that is not given leaves the variable or the default."""
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        help_ = f"{field.description} [KUBEMIRROR_{name.upper()}]".replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(
                flag, dest=name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=help_
            )
        elif _is_list(field):
            parser.add_argument(
                flag, dest=name, action="append", default=argparse.SUPPRESS, metavar=name.upper(), help=help_
            )
        else:
            parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, metavar=name.upper(), help=help_)


def _is_list(field: FieldInfo) -> bool:
    return typing.get_origin(field.annotation) is tuple


def settings_of(given: argparse.Namespace) -> Settings:
    """The settings from flags, variables and defaults; ConfigError names the first that cannot be."""
    flags = {name: value for name, value in vars(given).items() if name in Settings.model_fields}
    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        flag = f"--{name.replace('_', '-')}"
        source = flag if name in flags else f"KUBEMIRROR_{name.upper()}"
        raise ConfigError(f"{source} {first['input']}: {first['msg']}") from None


def _serve(given: argparse.Namespace) -> int:
    from kubemirror.app import serve

    return serve(settings_of(given))


def _demo_server(given: argparse.Namespace) -> int:
    from kubemirror.demo.command import demo_server

    return demo_server(port=given.port, objects=given.objects, seed=given.seed, life=given.life)


def _rbac(given: argparse.Namespace) -> int:
    from kubemirror.kube.rbac import print_role
    from kubemirror.log import Logging

    settings = settings_of(given)
    logging = Logging(format_=settings.log_format, level="warning")  # standard output is the role, and nothing else
    try:
        return print_role(settings)
    finally:
        logging.close()


def _kubeconfig(given: argparse.Namespace) -> int:
    from kubemirror.client.kubeconfig import kubeconfig, shown_by

    try:
        ca = None
        if given.trust_shown:
            ca, fingerprint = shown_by(given.server)
            print(f"trusting the certificate with the SHA-256 fingerprint {fingerprint}", file=sys.stderr)  # noqa: T201
        elif given.ca is not None:
            ca = Path(given.ca).read_text(errors="replace")
        text = kubeconfig(given.server, token_file=given.token_file, ca=ca, name=given.name)
    except OSError as error:
        raise ConfigError(f"--ca {given.ca}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    print(text, end="")  # noqa: T201
    return 0


def _embed_token(given: argparse.Namespace) -> int:
    from kubemirror.access.grants import issued, read_keys, seconds_of

    key = read_keys(Path(given.embed_key_file))[0]
    token = issued(
        key,
        resource=given.resource,
        namespace=given.namespace,
        selector=given.selector,
        user=given.user,
        groups=given.group,
        seconds=seconds_of(given.expires_in),
    )
    print(token)  # noqa: T201
    return 0


def _watch(given: argparse.Namespace) -> int:
    from kubemirror.client.command import Watched, watch

    watched = Watched(
        given.resource,
        name=given.name,
        namespace=given.namespace,
        label_selector=given.selector,
        field_selector=given.field_selector,
        q=given.search,
        filter=given.filter,
        columns=given.columns,
        output=given.output,
    )
    return watch(watched, given.server, token_file=given.token_file, ca=given.ca)


def _embed(given: argparse.Namespace) -> int:
    from kubemirror.serve.snippet import component, frame

    attributes = {name: getattr(given, name) for name in ("namespace", "selector", "theme", "accent")}
    lines = (frame if given.frame else component)(
        given.server, given.resource, {name: value for name, value in attributes.items() if value}
    )
    print(lines, end="")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
