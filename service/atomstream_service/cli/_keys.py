from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from atomstream_models.errors import InputError
from atomstream_models.report import Table

from ..access import AccessFileError, CurveFolder, KeyPair, Role, TokenFile, TokenRecord, checked_name, lifetime, write_private
from ..transport import new_key_pair
from ._commands import Commands
from ._tables import print_table

_CLIENT_SCHEMA = "atomstream.curve-client.v1"


def add(commands: Commands) -> None:
    parser = commands.add_parser("keys", help="who may use the service", description="Tokens for the control plane, keys for ZeroMQ; see docs/access.md.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    _add_tokens(kinds.add_parser("token", help="tokens for the control plane", description="A running service notices every change at once."))
    _add_curve(kinds.add_parser("curve", help="keys for frames and results", description="ZeroMQ CURVE: frames and results encrypted, for known keys only."))


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = _action(actions, "add", "make a token and print it, once", _add_token)
    one.add_argument("name", metavar="NAME", help="whose it is, for the journal")
    one.add_argument("--role", required=True, choices=tuple(map(str, Role)), help="viewer reads, operator also changes members, admin also uploads ensembles")
    one.add_argument("--expires", type=str, metavar="TIME", help="such as 12h, 30d or 4w; never by default")
    one.add_argument("--json", action="store_true", help="for programs")
    one = _action(actions, "list", "list tokens", _list_tokens)
    one.add_argument("--json", action="store_true", help="for programs")
    _action(actions, "revoke", "refuse a token from now on", _revoke_token).add_argument("name", metavar="NAME")


def _add_curve(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _action(actions, "init", "make the service's own keys", _init_curve)
    one = _action(actions, "add", "make a file with which an instrument or a program is let in", _add_curve_client)
    one.add_argument("name", metavar="NAME", help="whose it is, for the log")
    one.add_argument("--out", type=Path, metavar="FILE", help="where to write the file (NAME.curve.json); carry it to that computer and delete it here")
    one.add_argument(
        "--public",
        metavar="KEY",
        help="let in this public key, whose secret stays where it was made; no file is written. Write --public='KEY': keys have signs of all kinds",
    )
    one = _action(actions, "list", "list who is let in", _list_curve)
    one.add_argument("--json", action="store_true", help="for programs")
    _action(actions, "revoke", "let a key in no more", _revoke_curve).add_argument("name", metavar="NAME")


def _action(actions: Commands, name: str, help_: str, run: object) -> argparse.ArgumentParser:
    one = actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    state = Path(os.environ.get("ATOMSTREAM_STATE", "atomstream-state"))
    one.add_argument("--state", type=Path, default=state, metavar="DIR", help="the service's state folder (atomstream-state)")
    one.set_defaults(run=run)
    return one


def _add_token(given: argparse.Namespace) -> int:
    lasts = None if given.expires is None else lifetime(given.expires)
    token = TokenFile(given.state).add(given.name, Role(given.role), lasts)
    if given.json:
        print(json.dumps({"name": given.name, "role": given.role, "token": token}))
    else:
        print(token)
    return 0


def _list_tokens(given: argparse.Namespace) -> int:
    records = TokenFile(given.state).records()
    if given.json:
        print(json.dumps([record.model_dump(mode="json", include={"id", "name", "role", "created", "expires"}) for record in records], indent=2))
    elif records:
        print_table(Table(("name", "role", "begins with", "made", "expires"), [_row(record) for record in records]), Console(highlight=False))
    else:
        print(f"no tokens in {given.state}")
    return 0


def _row(record: TokenRecord) -> tuple[str, str, str, str, str]:
    expires = "never" if record.expires is None else f"{record.expires:%Y-%m-%d %H:%M} UTC"
    expired = " (expired)" if record.expired(datetime.now(UTC)) else ""
    return record.name, record.role, f"ast_{record.id}", f"{record.created:%Y-%m-%d %H:%M} UTC", expires + expired


def _revoke_token(given: argparse.Namespace) -> int:
    TokenFile(given.state).revoke(given.name)
    print(f"{given.name} is refused from now on")
    return 0


def _init_curve(given: argparse.Namespace) -> int:
    pair = KeyPair(*new_key_pair())
    CurveFolder(given.state).init(pair)
    print(pair.public)
    return 0


def _add_curve_client(given: argparse.Namespace) -> int:
    folder = CurveFolder(given.state)
    server = folder.service_pair().public
    if given.public is not None:
        if given.out is not None:
            raise InputError("--out has nothing to hold: the secret to --public is not known here")
        folder.let_in(given.name, given.public)
        print(f"{given.name} is let in; the service's public key is {server}")
        return 0
    out = given.out or Path(f"{checked_name(given.name)}.curve.json")
    if out.exists():
        raise InputError(f"{out} is there already; choose another --out")
    pair = KeyPair(*new_key_pair())
    folder.let_in(given.name, pair.public)
    try:
        content = {"schema": _CLIENT_SCHEMA, "name": given.name, "public": pair.public, "secret": pair.secret, "server": server}
        write_private(out, json.dumps(content, indent=2) + "\n")
    except AccessFileError:
        folder.revoke(given.name)
        raise
    print(f"{out}: give it to FramePublisher and ResultSubscriber as curve=; it holds a secret")
    return 0


def _list_curve(given: argparse.Namespace) -> int:
    folder = CurveFolder(given.state)
    server, clients = folder.service_pair().public, folder.clients()
    if given.json:
        print(json.dumps({"server": server, "clients": {name: public for public, name in clients.items()}}, indent=2))
        return 0
    print(f"service  {server}")
    for public, name in clients.items():
        print(f"{name}  {public}")
    return 0


def _revoke_curve(given: argparse.Namespace) -> int:
    CurveFolder(given.state).revoke(given.name)
    print(f"{given.name} is not let in any more; a connection that it has now lasts until it breaks or the service is restarted")
    return 0
