"""The settings of the containers collector: which labels can stand beside each other."""

import pytest

from exporter.settings import SettingsError, parse
from exporter.settings.containers import label_name
from exporter.settings.exporter import Exporter


def load(text: str) -> Exporter:
    return parse(f"collectors:\n  containers:\n{text}".encode(), Exporter, "exporter.yml")


def test_labels_have_the_given_name_or_their_own_made_fit() -> None:
    settings = load("    labels:\n      com.docker.compose.service: compose_service\n      org.team-a/owner:\n")
    assert settings.collectors.containers.label_names == {
        "com.docker.compose.service": "compose_service",
        "org.team-a/owner": "org_team_a_owner",
    }


@pytest.mark.parametrize(
    ("label", "name"),
    [("a.b-c/d", "a_b_c_d"), (".a..b.", "a_b"), ("Team", "Team"), ("größe", "gr_e"), ("__x__", "x")],
)
def test_label_name(label: str, name: str) -> None:
    assert label_name(label) == name


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("    socket: docker.sock\n", r"exporter.yml:3: collectors.containers.socket: expected a path from the root"),
        ("    timeout: 0s\n", r":3: collectors.containers.timeout: expected more than 0s"),
        ("    labels:\n      a: b-c\n", r":4: collectors.containers.labels.a: expected a name such as compose_service"),
        ("    labels:\n      a: ''\n", r":4: .*expected a name such as compose_service, got ''"),
        ("    labels:\n      a: _b\n", r":4: .*expected a name such as compose_service"),
        ("    labels:\n      '1.2':\n", r":4: .*expected a name such as compose_service, got '1_2'"),
        ("    labels:\n      a: image\n", r":4: .*expected another name, image is taken"),
        ("    labels:\n      job:\n", r":4: .*expected another name, job is taken"),
        ("    labels:\n      a.b: x\n      a_b: x\n", r":5: .*labels.a_b: expected another name, x is that of a.b"),
        ("    labels:\n      a.b:\n      a-b:\n", r":5: .*expected another name, a_b is that of a.b"),
        ("    labels:\n" + "".join(f"      l{n}:\n" for n in range(17)), r"labels: expected at most 16, got 17"),
        ("    labels:\n      a: 7\n", r"expected a text"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        load(text)
