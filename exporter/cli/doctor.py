"""`hostwatch doctor`: what is wrong here, and what mends it."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import click

from exporter.cli.common import FILE, USAGE_ERROR, access_of, duration, fail

if TYPE_CHECKING:
    from exporter.doctor import Finding, Parts
    from exporter.doctor.files import Files
    from exporter.doctor.place import Place

_FOLDER: Final = Path("/etc/hostwatch")
_PARTS: Final = ("settings", "exporter", "prometheus", "alertmanager", "relay", "grafana")
_USUAL: Final = {
    "prometheus": "http://localhost:9090",
    "alertmanager": "http://localhost:9093",
    "relay": "http://localhost:10102",
    "grafana": "http://localhost:3000",
}
_MARKS: Final = {"ok": ("ok", "green"), "skipped": ("-", "cyan"), "warning": ("!", "yellow"), "problem": ("x", "red")}


@click.command()
@click.option("--config", type=FILE, help="The exporter's settings  [default: /etc/hostwatch/exporter.yml, if there].")
@click.option("--web-config", type=FILE, help="Its locks  [default: /etc/hostwatch/web.yml, if there].")
@click.option("--relay-config", type=FILE, help="The relay's settings  [default: /etc/hostwatch/relay.yml, if there].")
@click.option("--exporter", metavar="URL", help="The exporter  [default: where its settings let it listen].")
@click.option("--prometheus", metavar="URL", help=f"[default: {_USUAL['prometheus']}, if something listens]")
@click.option("--alertmanager", metavar="URL", help=f"[default: {_USUAL['alertmanager']}, if something listens]")
@click.option("--relay", metavar="URL", help=f"[default: {_USUAL['relay']}, if something listens]")
@click.option("--grafana", metavar="URL", help=f"[default: {_USUAL['grafana']}, if something listens]")
@click.option("--username", default="", help="For an exporter that asks for one.")
@click.option("--password-file", type=FILE, help="Its first line is the password for the exporter.")
@click.option("--ca-file", type=FILE, help="The authority that signed the exporter's certificate.")
@click.option("--grafana-password-file", type=FILE, help="Its first line is the password of Grafana's user admin.")
@click.option("--only", type=click.Choice(_PARTS), multiple=True, help="Look at this part alone; can be repeated.")
@click.option(
    "--timeout", metavar="DURATION", callback=duration, default="10s", show_default=True, help="For each request."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of findings.")
@click.option("--strict", is_flag=True, help="Warnings end with exit code 1, too.")
def doctor(*, only: tuple[str, ...], as_json: bool, strict: bool, **given: Any) -> None:  # noqa: ANN401 -- as click gives them
    """Look for what is wrong with this installation, and say what mends it. Changes nothing.

    \b
    Exit code 0: nothing is wrong. 1: at least one problem. 2: the call cannot be used.

    \b
    Examples:
      hostwatch doctor
      hostwatch doctor --only exporter --only settings
      hostwatch doctor --prometheus http://prometheus.example.com:9090 --json
      hostwatch doctor --exporter https://localhost:10101 --ca-file ca.crt \\
        --username prometheus --password-file password
    """
    from exporter.doctor import examine
    from exporter.doctor.finding import worst

    found: list[Finding] = []
    for finding in examine(_parts(given), only or _PARTS):
        found.append(finding)
        if not as_json:
            _show(finding, first=len(found) == 1 or found[-2].part != finding.part)
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        _sum_up(found)
    sys.exit(1 if worst(found) in ({"problem", "warning"} if strict else {"problem"}) else 0)


def _show(finding: "Finding", *, first: bool) -> None:
    mark, colour = _MARKS[finding.verdict]
    if first:
        click.secho(finding.part, bold=True)
    click.echo(f"  {click.style(f'{mark:2}', fg=colour)} {finding.text}")
    if finding.fix:
        click.echo(f"     {'fix' if finding.verdict in {'warning', 'problem'} else 'to look'}: {finding.fix}")


def _sum_up(found: "list[Finding]") -> None:
    counts = {verdict: sum(finding.verdict == verdict for finding in found) for verdict in _MARKS}
    said = [
        f"{counts[kind]} {kind}{'s' if counts[kind] != 1 else ''}" for kind in ("problem", "warning") if counts[kind]
    ]
    rest = f"{counts['ok']} good, {counts['skipped']} not looked at"
    click.echo(f"\n{', '.join(said) or 'Nothing is wrong'}; {rest}")


def _parts(given: dict[str, Any]) -> "Parts":
    from exporter.doctor import Parts

    files = _files(given)
    places = {name: _place(name, given) for name in _USUAL}
    return Parts(files, _exporter(files, given), **places)


def _files(given: dict[str, Any]) -> "Files":
    from exporter.doctor.files import Files

    def file(option: str, name: str) -> Path | None:
        path = given[option]
        if isinstance(path, Path):
            return path
        usual = _FOLDER / name
        return usual if usual.exists() else None

    relay = file("relay_config", "relay.yml")
    kind = None
    if relay is not None:
        try:
            from exporter.relay.settings import Relay

            kind = Relay
        except ModuleNotFoundError as err:
            fail(f"the relay's settings need {err.name}: pip install 'hostwatch[relay]'", USAGE_ERROR)
    return Files(file("config", "exporter.yml"), file("web_config", "web.yml"), relay, kind)


def _place(name: str, given: dict[str, Any]) -> "Place":
    from exporter.clients.http_get import Access
    from exporter.doctor.place import Place

    url = _address(name, given[name])
    access = Access()
    if name == "grafana" and given["grafana_password_file"]:
        access = access_of("admin", given["grafana_password_file"], None, "--grafana-password-file")
    return Place(str(url or _USUAL[name]), url is not None, given["timeout"], access)


def _address(name: str, given: object) -> str | None:
    """Return an address as it was given; end as a usage error for what is none."""
    if given is None:
        return None
    try:
        parts = urlsplit(str(given))
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        fail(f"--{name}: expected an address such as {_USUAL.get(name, 'http://localhost:10101')}", USAGE_ERROR)
    return str(given)


def _exporter(files: "Files", given: dict[str, Any]) -> "Place":
    from exporter.doctor.place import Place

    url = _address("exporter", given["exporter"]) or _listens(files)
    access = access_of(given["username"], given["password_file"], given["ca_file"])
    return Place(str(url), given["exporter"] is not None, given["timeout"], access)


def _listens(files: "Files") -> str:
    """Return where the settings let the exporter listen, or the usual place where they cannot be used."""
    from exporter.server.web_config import WebConfig
    from exporter.settings import SettingsError, load, parse_address
    from exporter.settings.exporter import Exporter

    scheme = "http"
    try:
        settings = Exporter() if files.exporter is None else load(files.exporter, Exporter)
        if files.web is not None and load(files.web, WebConfig).tls_server_config is not None:
            scheme = "https"
    except SettingsError:
        settings = Exporter()
    host, port = parse_address(settings.listen)
    host = {"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- compared
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
