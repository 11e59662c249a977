"""What service checks are asked in a world of the tests' own (probe_world.py), and what must come of it.

Each case stands beside a module of blackbox_exporter that asks the same. FOLDER stands for that of the certificates.
"""

from typing import Any, NamedTuple

from tests.support.web_servers import PASSWORD, TOKEN

# where things are in that world
HTTP, HTTPS, BACKLOG, STOPPED, SILENT, NAMES, SPOOFED = 8000, 8443, 7001, 7002, 7003, 53, 5353
CLOSED = 9
CERTIFICATES = {  # by the port that shows them
    "good": 8443,
    "expired": 8444,
    "early": 8445,
    "other-name": 8446,
    "self": 8447,
    "stranger": 8448,
    "chain": 8449,
    "wants-client": 8450,
    "common-name": 8451,
    "downgrade": 8452,
    "expired-above": 8453,
}
MAIL, BANNER, MAIL_EXPIRED = 2500, 2501, 2502
FILTERED, REJECTED, BEHIND, NEIGHBOUR, NOWHERE = "10.98.0.2", "10.96.0.5", "10.96.0.200", "10.97.0.3", "203.0.113.1"

WEB = f"http://web.test:{HTTP}"
SHORT = "700ms"


class Case(NamedTuple):
    """One check: its kind and settings, the module and target for blackbox_exporter, and the reason (None: ok)."""

    kind: str
    settings: dict[str, Any]
    module: dict[str, Any]
    reason: str | None
    target: str = ""
    """What blackbox_exporter is told to ask, where the settings say it otherwise."""
    differs: str = ""
    """Why our verdict is another one, where it is."""


def http(path: str, reason: str | None = None, module: dict[str, Any] | None = None, **more: Any) -> Case:
    """Return a case whose settings are the address and `more`; `module` is blackbox_exporter's for the same."""
    differs, timeout = more.pop("differs", ""), more.pop("timeout", "5s")
    url = path if "://" in path else WEB + path
    own = {"url": url, "timeout": timeout, **more}
    theirs = {"preferred_ip_protocol": "ip4", **(module or {})}
    return Case("http", own, {"prober": "http", "timeout": timeout, "http": theirs}, reason, url, differs)


def https(which: str, reason: str | None = None, *, host: str = "web.test", **tls: Any) -> Case:
    """Return a case that asks a server with that certificate; `tls` are the settings of TLS."""
    tls = {"ca_file": "FOLDER/ca.crt", **tls}
    names = {"insecure": "insecure_skip_verify", "certificate_file": "cert_file"}
    module = {"tls_config": {names.get(key, key): value for key, value in tls.items()}}
    return http(f"https://{host}:{CERTIFICATES[which]}/", reason, module, tls=tls)


def tcp(
    address: str,
    reason: str | None = None,
    steps: tuple[dict[str, Any], ...] = (),
    *,
    tls: dict[str, Any] | None = None,
    timeout: str = "5s",
    differs: str = "",
) -> Case:
    own: dict[str, Any] = {"address": address, "timeout": timeout, "conversation": steps, "line_end": "lf"}
    module: dict[str, Any] = {"preferred_ip_protocol": "ip4", "query_response": steps}
    if any("EHLO" in str(step) for step in steps):
        own["line_end"] = "crlf"  # blackbox_exporter has line feeds only, which the test's server takes as well
    if tls is not None:
        own["tls"] = tls
        module["tls_config"] = tls
    return Case("tcp", own, {"prober": "tcp", "timeout": timeout, "tcp": module}, reason, address, differs)


def tls(which: str, reason: str | None = None, **options: Any) -> Case:
    address = f"web.test:{CERTIFICATES[which]}"
    options = {"ca_file": "FOLDER/ca.crt", **options}
    names = {"insecure": "insecure_skip_verify", "certificate_file": "cert_file"}
    config = {names.get(key, key): value for key, value in options.items()}
    module = {
        "prober": "tcp",
        "timeout": "5s",
        "tcp": {"preferred_ip_protocol": "ip4", "tls": True, "tls_config": config},
    }
    return Case("tls", {"address": address, "tls": options, "timeout": "5s"}, module, reason, address)


def names(question: str, kind: str = "A", reason: str | None = None, **more: Any) -> Case:
    """Return a case that asks the world's name server; `theirs` is what the module says of the answer."""
    theirs, differs = more.pop("theirs", {}), more.pop("differs", "")
    server, timeout = more.pop("server", f"127.0.0.1:{NAMES}"), more.pop("timeout", "5s")
    own = {"server": server, "question": question, "type": kind, "timeout": timeout, **more}
    module = {"query_name": question, "query_type": kind, "preferred_ip_protocol": "ip4", **theirs}
    return Case("dns", own, {"prober": "dns", "timeout": timeout, "dns": module}, reason, server, differs)


_COULD_NOT_ASK = "nobody was asked: that is no news of the target"

CASES: dict[str, Case] = {
    # the way there
    "open": http("/"),
    "refused": http(f"http://127.0.0.1:{CLOSED}/", "refused"),
    "filtered": http(f"http://{FILTERED}/", "timeout", timeout=SHORT),
    "rejected by a firewall": http(f"http://{REJECTED}/", "host_unreachable"),
    "unreachable behind a router": http(f"http://{BEHIND}/", "host_unreachable"),
    "silent neighbour": http(f"http://{NEIGHBOUR}/", "host_unreachable"),
    "no route from here": http(f"http://{NOWHERE}/", "no_route", differs=_COULD_NOT_ASK),
    "no such name": http(f"http://nobody.test:{HTTP}/", "no_such_name"),
    "name server broken": http(f"http://broken.test:{HTTP}/", "resolver_failed", differs=_COULD_NOT_ASK),
    "over IPv6": http(f"http://[::1]:{HTTP}/", module={"preferred_ip_protocol": "ip6"}),
    "second address takes over": http(
        f"http://both.test:{HTTPS - 1}/",
        module={"preferred_ip_protocol": "ip6"},
        family="ipv6_first",
        differs="each of a name's addresses is tried before it is down",
    ),
    "no address of the family": http(
        "/", "no_such_name", {"preferred_ip_protocol": "ip6", "ip_protocol_fallback": False}, family="ipv6"
    ),
    # HTTP
    "slow": http("/slow", "timeout", timeout=SHORT),
    "stopped process": http(f"http://127.0.0.1:{STOPPED}/", "timeout", timeout=SHORT),
    "full backlog": tcp(f"127.0.0.1:{BACKLOG}", "timeout", timeout=SHORT),
    "status 500": http("/500", "bad_status"),
    "status 404 wanted": http("/404", None, {"valid_status_codes": [404]}, expect={"status": [404]}),
    "status 200 not wanted": http("/", "bad_status", {"valid_status_codes": [404]}, expect={"status": [404]}),
    "redirect": http("/moved"),
    "redirect wanted": http(
        "/moved",
        None,
        {"valid_status_codes": [301], "follow_redirects": False},
        expect={"status": [301]},
    ),
    "redirect not followed": http("/moved", "bad_status", {"follow_redirects": False}, redirects=0),
    "redirect loop": http("/loop", "too_many_redirects"),
    "redirect to another scheme": http("/to-nowhere", "bad_redirect"),
    "redirect from https to http": http(
        f"https://web.test:{CERTIFICATES['downgrade']}/elsewhere?to={WEB}/",
        "bad_redirect",
        {"tls_config": {"ca_file": "FOLDER/ca.crt"}},
        tls={"ca_file": "FOLDER/ca.crt"},
        differs="what began encrypted must not go on in the open, but where a setting says so",
    ),
    "redirect from https to http allowed": http(
        f"https://web.test:{CERTIFICATES['downgrade']}/elsewhere?to={WEB}/",
        None,
        {"tls_config": {"ca_file": "FOLDER/ca.crt"}},
        tls={"ca_file": "FOLDER/ca.crt"},
        allow_downgrade=True,
    ),
    "right body": http("/", None, {"fail_if_body_not_matches_regexp": ["<h1>Wel"]}, expect={"body": ["<h1>Wel"]}),
    "wrong body": http("/", "bad_body", {"fail_if_body_not_matches_regexp": ["Goodbye"]}, expect={"body": ["Goodbye"]}),
    "forbidden body": http(
        "/", "bad_body", {"fail_if_body_matches_regexp": ["Wel.ome"]}, expect={"forbidden_body": ["Wel.ome"]}
    ),
    "right JSON": http(
        "/health",
        None,
        {"fail_if_body_not_matches_regexp": ['"status": "up"']},
        expect={"json": [{"path": "status", "equals": "up"}]},
    ),
    "wrong JSON": http(
        "/health",
        "bad_json",
        {"fail_if_body_not_matches_regexp": ['"status": "down"']},
        expect={"json": [{"path": "status", "equals": "down"}]},
    ),
    "right header": http(
        "/",
        None,
        {"fail_if_header_not_matches": [{"header": "Server", "regexp": "^test"}]},
        expect={"headers": {"Server": "^test"}},
    ),
    "missing header": http(
        "/",
        "bad_header",
        {"fail_if_header_not_matches": [{"header": "X-Frame-Options", "regexp": "."}]},
        expect={"headers": {"X-Frame-Options": "."}},
    ),
    "forbidden header": http(
        "/",
        "bad_header",
        {"fail_if_header_matches": [{"header": "Server", "regexp": "/[0-9]"}]},
        expect={"forbidden_headers": {"server": "/[0-9]"}},
    ),
    "post": http(
        "/echo",
        None,
        {"method": "POST", "body": "hello", "fail_if_body_not_matches_regexp": ["^hello$"]},
        method="POST",
        body="hello",
        expect={"body": ["^hello$"]},
    ),
    "head": http("/", None, {"method": "HEAD"}, method="HEAD"),
    "password": http(
        "/locked",
        None,
        {"basic_auth": {"username": "watcher", "password": PASSWORD}},
        basic_auth={"username": "watcher", "password_file": "FOLDER/password"},
    ),
    "wrong password": http(
        "/locked",
        "bad_status",
        {"basic_auth": {"username": "watcher", "password": "guess"}},
        basic_auth={"username": "watcher", "password_file": "FOLDER/wrong-password"},
    ),
    "token": http("/locked", None, {"bearer_token": TOKEN}, bearer_token_file="FOLDER/token"),
    "compressed": http(
        "/zip-if-asked",
        None,
        {
            "compression": "gzip",
            "headers": {"Accept-Encoding": "gzip"},
            "fail_if_body_not_matches_regexp": ["^packed$"],
        },
        compression=True,
        expect={"body": ["^packed$"]},
    ),
    "chunked": http(
        "/chunked", None, {"fail_if_body_not_matches_regexp": ["^one two$"]}, expect={"body": ["^one two$"]}
    ),
    "too large": http("/large", "too_large", {"body_size_limit": "1MB"}),
    "cut off": http("/cut", "bad_answer"),
    "not HTTP": http("/garbage", "bad_answer"),
    "closed without an answer": http("/nothing", "bad_answer"),
    # TLS
    "good certificate": https("good"),
    "expired": https("expired", "certificate_expired"),
    "not yet valid": https("early", "certificate_not_yet_valid"),
    "wrong name": https("other-name", "certificate_name"),
    "name by a setting": https("other-name", None, server_name="other.test"),
    "name in the common name only": https("common-name", "certificate_name"),
    "self-signed": https("self", "certificate_self_signed"),
    "self-signed and trusted": https("self", None, ca_file="FOLDER/self.crt"),
    "unknown authority": https("stranger", "certificate_untrusted"),
    "expired, taken all the same": https("expired", None, insecure=True),
    "wants a certificate": https("wants-client", "tls_failed"),
    "gets a certificate": https("wants-client", None, certificate_file="FOLDER/good.crt", key_file="FOLDER/good.key"),
    "no TLS there": http(f"https://web.test:{HTTP}/", "tls_failed"),
    "a chain": tls("chain"),
    "a chain with an expired link": tls("expired-above", "certificate_expired"),
    "a certificate": tls("good"),
    "an expired certificate": tls("expired", "certificate_expired"),
    "any certificate": tls("stranger", None, insecure=True),
    "a certificate of nobody": Case(
        "tls",
        {"address": f"127.0.0.1:{SILENT}", "timeout": SHORT},
        {"prober": "tcp", "timeout": SHORT, "tcp": {"tls": True}},
        "timeout",
        f"127.0.0.1:{SILENT}",
    ),
    # TCP
    "port open": tcp(f"web.test:{HTTP}"),
    "port closed": tcp(f"127.0.0.1:{CLOSED}", "refused"),
    "banner": tcp(f"127.0.0.1:{BANNER}", None, ({"expect": "^SSH-2.0-"},)),
    "wrong banner": tcp(f"127.0.0.1:{BANNER}", "bad_reply", ({"expect": "^220 "},)),
    "silent server": tcp(f"127.0.0.1:{SILENT}", "timeout", ({"expect": "."},), timeout=SHORT),
    "starttls": tcp(
        f"web.test:{MAIL}",
        None,
        (
            {"expect": "^220 "},
            {"send": "EHLO prober"},
            {"expect": "^250 STARTTLS"},
            {"send": "STARTTLS"},
            {"expect": "^220 "},
            {"starttls": True},
            {"send": "EHLO prober"},
            {"expect": "^250 secure"},
        ),
        tls={"ca_file": "FOLDER/ca.crt"},
    ),
    "starttls with an expired certificate": tcp(
        f"web.test:{MAIL_EXPIRED}",
        "certificate_expired",
        (
            {"expect": "^220 "},
            {"send": "EHLO prober"},
            {"expect": "^250 STARTTLS"},
            {"send": "STARTTLS"},
            {"expect": "^220 "},
            {"starttls": True},
        ),
        tls={"ca_file": "FOLDER/ca.crt"},
    ),
    # DNS
    "name": names("web.test"),
    "name with the right address": names(
        "web.test",
        answers=["^127\\.0\\.0\\.1$"],
        theirs={"validate_answer_rrs": {"fail_if_not_matches_regexp": ["127.0.0.1$"]}},
    ),
    "name with the wrong address": names(
        "web.test",
        reason="wrong_answer",
        answers=["^192\\.0\\.2\\."],
        theirs={"validate_answer_rrs": {"fail_if_not_matches_regexp": ["192.0.2.1$"]}},
    ),
    "mail servers": names(
        "mail.test",
        "MX",
        answers=["^10 web.test.$"],
        theirs={"validate_answer_rrs": {"fail_if_none_matches_regexp": ["10 web.test.$"]}},
    ),
    "a forbidden mail server": names(
        "mail.test",
        "MX",
        "wrong_answer",
        forbidden_answers=["backup"],
        theirs={"validate_answer_rrs": {"fail_if_matches_regexp": [".*backup.*"]}},
    ),
    "name that is not there": names("nobody.test", reason="no_such_name"),
    "name that must not be there": names(
        "nobody.test", response_codes=["NXDOMAIN"], theirs={"valid_rcodes": ["NXDOMAIN"]}
    ),
    "name server fails": names("broken.test", reason="wrong_answer"),
    "name server refuses": names("forbidden.test", reason="wrong_answer"),
    "no record of the kind": names(
        "web.test",
        "AAAA",
        "wrong_answer",
        differs="an answer without a record helps nobody; `min_answers: 0` allows it",
    ),
    "answer too large for a datagram": names("large.test", "TXT", answers=[" 19$"]),
    "over TCP": names("web.test", transport="tcp", theirs={"transport_protocol": "tcp"}),
    "no name server there": names("web.test", reason="refused", server=f"127.0.0.1:{CLOSED}"),
    "silent name server": names("silent.test", reason="timeout", timeout=SHORT),
    "somebody else's answer": names("web.test", reason="timeout", server=f"127.0.0.1:{SPOOFED}", timeout=SHORT),
}
