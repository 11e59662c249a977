"""The payload: what is taken, what is refused and how it is told."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.relay.intake import PayloadError, instant, news_digest, parse_snapshot
from tests.support.relay import START, alert, payload, resolved

# as Alertmanager 0.25.0 sent it
CAPTURED = rb"""{"receiver":"ok","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"HostCpuHigh",
"instance":"web-01:9100","job":"sysexp","severity":"critical"},"annotations":{"description":"CPU busy 93.4%"},
"startsAt":"2026-11-20T15:06:21.207102602Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prom.example:9090/",
"fingerprint":"947df8d7764604a4"}],"groupLabels":{"alertname":"HostCpuHigh"},"commonLabels":{},"commonAnnotations":{},
"externalURL":"http://vm:19593","version":"4","groupKey":"{}:{alertname=\"HostCpuHigh\"}","truncatedAlerts":0}"""


def parse(body: bytes) -> Any:
    return parse_snapshot(json.dumps(body).encode())


def test_a_captured_payload_is_read_whole() -> None:
    snapshot = parse_snapshot(CAPTURED)
    assert snapshot.group_key == '{}:{alertname="HostCpuHigh"}'
    assert snapshot.external_url == "http://vm:19593"
    (one,) = snapshot.alerts
    assert (one.name, one.severity, one.identity) == ("HostCpuHigh", "critical", "947df8d7764604a4")
    assert one.starts_at == START
    assert one.ended is None


def test_keys_of_newer_versions_are_used_and_unknown_ones_tolerated() -> None:
    snapshot = parse(
        payload(notification_reason="repeat interval elapsed", routeLabels={"team": "a"}, later={"x": [1]})
    )
    assert snapshot.notification_reason == "repeat interval elapsed"
    assert snapshot.route_labels == {"team": "a"}


def test_missing_optional_keys_are_tolerated() -> None:
    snapshot = parse({"groupKey": "k", "alerts": [{"labels": {"a": "b"}}]})
    assert snapshot.alerts[0].identity
    assert snapshot.alerts[0].began == 0


def test_another_version_of_the_same_shape_is_taken_and_told_apart() -> None:
    assert not parse(payload(version="5")).version_known


BAD = {
    "empty": (b"", "not_json", "truncated"),
    "no json": (b"hello", "not_json", "malformed"),
    "cut": (CAPTURED[:-5], "not_json", "truncated"),
    "trailing": (CAPTURED + b"x", "not_json", "trailing"),
    "not utf-8": (b'{"groupKey":"\xff","alerts":[{}]}', "not_json", "utf-8"),
    "half a surrogate": (b'{"groupKey":"\\ud800","alerts":[{}]}', "not_json", "surrogate"),
    "deep": (b'{"groupKey":"a","alerts":[{}],"x":' + b"[" * 1_000_000, "not_json", "deep"),
    "list": (b"[]", "payload", "Expected `object`"),
    "no key": (b'{"alerts":[{}]}', "payload", "groupKey"),
    "empty key": (b'{"groupKey":"","alerts":[{}]}', "payload", "$.groupKey"),
    "no alerts": (b'{"groupKey":"a","alerts":[]}', "payload", "$.alerts"),
    "null alerts": (b'{"groupKey":"a","alerts":null}', "payload", "$.alerts"),
    "status": (b'{"groupKey":"a","alerts":[{"status":"x"}]}', "payload", "$.alerts[0].status"),
    "label type": (b'{"groupKey":"a","alerts":[{"labels":{"a":1}}]}', "payload", "labels"),
    "start": (b'{"groupKey":"a","alerts":[{"startsAt":"yesterday"}]}', "payload", "alerts[0].startsAt"),
    "month 13": (b'{"groupKey":"a","alerts":[{},{"endsAt":"2026-13-01T00:00:00Z"}]}', "payload", "alerts[1].endsAt"),
    "truncated": (b'{"groupKey":"a","alerts":[{}],"truncatedAlerts":-1}', "payload", "$.truncatedAlerts"),
}


@pytest.mark.parametrize(("body", "reason", "words"), BAD.values(), ids=BAD)
def test_a_bad_payload_names_its_class_and_place(body: bytes, reason: str, words: str) -> None:
    with pytest.raises(PayloadError) as err:
        parse_snapshot(body)
    assert err.value.reason == reason
    assert words in str(err.value)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_any_labels_come_through_as_they_are(labels: Any) -> None:
    body = payload()
    body["alerts"][0]["labels"] = labels
    assert parse_snapshot(json.dumps(body).encode()).alerts[0].labels == labels
    assert parse_snapshot(json.dumps(body, ensure_ascii=False).encode()).alerts[0].labels == labels


@given(st.binary())
def test_any_bytes_are_a_snapshot_or_a_payload_error(body: bytes) -> None:
    with pytest.raises(PayloadError):
        parse_snapshot(body)


MOMENTS = {
    "nanoseconds": (START, 1795187181207102602),
    "whole": ("2026-11-20T15:06:21Z", 1795187181000000000),
    "zone": ("2026-11-20T16:06:21.5+01:00", 1795187181500000000),
    "zero": ("0001-01-01T00:00:00Z", -62135596800000000000),
    "none": ("", 0),
}


@pytest.mark.parametrize(("text", "expected"), MOMENTS.values(), ids=MOMENTS)
def test_moments_keep_their_nanoseconds(text: str, expected: Any) -> None:
    assert instant(text) == expected


@given(st.datetimes(timezones=st.just(UTC)))
def test_moments_agree_with_datetime(when: datetime) -> None:
    assert instant(when.isoformat()) == pytest.approx(when.timestamp() * 1e9, rel=1e-9, abs=1000)


def test_copies_from_a_peer_have_the_same_digest_and_news_another() -> None:
    one, two = alert(), alert(instance="web-02")
    digest = news_digest(parse(payload(one, two)))
    assert digest == news_digest(parse(payload(two, one, externalURL="http://peer:9093")))
    assert digest != news_digest(parse(payload(one, resolved(two))))
    assert digest != news_digest(parse(payload(one, two, groupKey="other")))
