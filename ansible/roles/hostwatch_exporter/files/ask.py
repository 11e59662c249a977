"""Ask an exporter for its page as Prometheus would, and print what the verification compares, as one JSON object.

Standard input is a JSON object: url; user and password, certificate and key as PEM texts, each empty where there is
none. They stay in memory. Standard library only; it runs on the machine whose exporter it is.
"""

import base64
import contextlib
import http.client
import json
import os
import re
import ssl
import sys
import urllib.parse
from collections.abc import Iterator

SECONDS = 10
_VERSION = re.compile(r'^host_exporter_build_info\{.*version="([^"]+)"', re.MULTILINE)
_SUCCESS = re.compile(r'^node_scrape_collector_success\{collector="([^"]+)"\} 1$', re.MULTILINE)


def main() -> None:
    """Print status (0: no answer), whether anything was reached that speaks, what went wrong, version, collectors."""
    print(json.dumps(ask(json.load(sys.stdin))))


def ask(question: "dict[str, str]") -> "dict[str, object]":
    """Return the answer; blocks for a few times SECONDS at most. Raises nothing that the network may cause."""
    answer: dict[str, object] = {"status": 0, "reached": False, "said": "", "version": "", "collectors": []}
    try:
        connection, path = _connection(question)
        with contextlib.closing(connection):
            connection.connect()
            # one that refuses our certificate says so after the handshake, or hangs up: it is there
            answer["reached"] = isinstance(connection, http.client.HTTPSConnection)
            connection.request("GET", path, headers=_credentials(question))
            response = connection.getresponse()
            page = response.read().decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as err:
        # TLS 1.2 refuses in the handshake
        reached = answer["reached"] or (isinstance(err, ssl.SSLError) and "ALERT" in (err.reason or ""))
        hint = "ended the connection, as for a certificate that it does not take: " if reached else ""
        return {**answer, "reached": reached, "said": f"{hint}{err or type(err).__name__}"}
    version = _VERSION.search(page)
    said = "" if response.status == http.client.OK else f"HTTP {response.status} {response.reason}"
    found = {"version": version[1] if version else "", "collectors": _SUCCESS.findall(page)}
    return {"status": response.status, "reached": True, "said": said, **found}


def _connection(question: "dict[str, str]") -> "tuple[http.client.HTTPConnection, str]":
    url = urllib.parse.urlsplit(question["url"])
    host = url.hostname or ""
    if url.scheme != "https":
        return http.client.HTTPConnection(host, url.port, timeout=SECONDS), url.path
    # the machine asks itself; who may sign is Prometheus' to check
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if question["certificate"]:
        with _in_memory(f"{question['certificate']}\n{question['key']}\n") as name:
            # never a question for a password on somebody's terminal
            context.load_cert_chain(name, password="")
    return http.client.HTTPSConnection(host, url.port, timeout=SECONDS, context=context), url.path


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """Yield the name of a file that is on no disk: OpenSSL reads certificates from files alone."""
    handle = os.memfd_create("certificate")
    try:
        os.write(handle, text.encode())
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _credentials(question: "dict[str, str]") -> "dict[str, str]":
    if not question["user"]:
        return {}
    both = base64.b64encode(f"{question['user']}:{question['password']}".encode()).decode()
    return {"Authorization": f"Basic {both}"}


if __name__ == "__main__":
    main()
