"""What a server that has locks is shown: settings in, http_get's Access out."""

from pathlib import Path

from exporter.clients.http_get import Access, GetError, tls_context
from exporter.relay.settings import AccessSettings
from exporter.relay.token import TokenError, read_token


class AccessError(Exception):
    """A password or certificate file cannot be used; the text names it and holds nothing secret."""


def access_of(settings: AccessSettings, place: str) -> Access:
    """Return what a server is shown; `place` is where in the settings file this stands.

    Reads files, each time: whoever changes one restarts nothing. Raises AccessError.
    """
    try:
        password = (
            read_token(Path(settings.password_file), f"{place}.password_file")
            if settings.password_file is not None
            else None
        )
        wanted = settings.ca_file or settings.cert_file
        tls = tls_context(settings.ca_file, settings.cert_file, settings.key_file) if wanted else None
    except (TokenError, GetError) as err:
        raise AccessError(str(err)) from err
    return Access(settings.username, password, tls)
