"""What of the pipeline is this machine's, how its routes are read, and what a whole machine's drill needs of it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from exporter.clients import own_address
from exporter.drills import plans
from exporter.drills import site as sites
from exporter.drills.faults import BY_NAME
from exporter.drills.faults.containers import ContainerOom
from exporter.drills.faults.host import Cpu, Memory
from exporter.drills.faults.services import ServiceStopped
from exporter.drills.site import Options, SiteError, is_local, look
from tests.support.fake_pipeline import FakePipeline
from tests.support.sites import site_of


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[FakePipeline]:
    with FakePipeline(tmp_path / "targets") as running:
        yield running


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_address.socket, "gethostname", lambda: "web-01.example.com")
    monkeypatch.setattr(own_address, "_has", lambda address: address == "198.51.100.7")


def looked(pipeline: FakePipeline, state: Path) -> sites.Site:
    return look(Options(prometheus=pipeline.url, alertmanager=pipeline.url, relay=pipeline.url, state=state))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:9090", True),
        ("http://localhost:9090", True),
        ("http://[::1]:9090", True),
        ("http://198.51.100.7:9090", True),
        ("http://web-01.example.com:9090", True),
        ("http://192.0.2.7:9090", False),
        ("http://prometheus.example.com", False),
        ("http://exporter:10101", False),
        ("http://[nonsense", False),
        ("nonsense", False),
    ],
)
def test_what_is_on_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("198.51.100.7", True, id="address-as-ansible-has-it"),
        pytest.param("web-01.example.com", True, id="name-as-ansible-has-it"),
        pytest.param("192.0.2.7", False, id="another"),
        pytest.param("exporter", False, id="compose"),
    ],
)
def test_target_of_this_machine_is_known(pipeline: FakePipeline, tmp_path: Path, host: str, ours: bool) -> None:
    pipeline.labels["environment"] = "production"
    pipeline.scrape_url = f"http://{host}:10101/metrics"
    site = looked(pipeline, tmp_path)
    assert site.local_instances == (("localhost",) if ours else ())
    assert bool(plans.preflight.production(site)) is ours


def test_loopback_target_of_another_machine_s_prometheus_is_that_machine(
    pipeline: FakePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "is_local", lambda url: url != pipeline.url)
    assert looked(pipeline, tmp_path).local_instances == ()


@pytest.mark.parametrize("fault", [Cpu, Memory, ContainerOom])
def test_drill_of_the_whole_machine_wants_it_among_the_targets(
    tmp_path: Path, fault: type[Cpu | Memory | ContainerOom]
) -> None:
    site = site_of(tmp_path)
    missing = "no target of job node"
    assert not [one for one in plans._lacks(fault(), site) if missing in one]
    alone = msgspec.structs.replace(site, local_instances=())
    assert len([one for one in plans._lacks(fault(), alone) if missing in one]) == 1
    assert plans._lacks(ServiceStopped(), alone) == []


def test_routes_that_cannot_be_read_are_the_site_s_fault(tmp_path: Path) -> None:
    site = msgspec.structs.replace(site_of(tmp_path), configuration="route: {routes: [{matchers: ['a=~\"(\"']}]}")
    with pytest.raises(SiteError, match="Alertmanager at"):
        site.budget("ServiceDown", {}, "node", 0.0)
    assert "Alertmanager at" in plans.text(ServiceStopped(), site)


@pytest.mark.parametrize(
    ("lengths", "at_once", "seconds"),
    [
        pytest.param([], 1, 0, id="none"),
        pytest.param([(10, False), (20, False)], 1, 30, id="one-after-the-other"),
        pytest.param([(10, False), (20, False)], 2, 20, id="beside-each-other"),
        pytest.param([(10, False), (20, False), (15, False)], 2, 25, id="next-when-one-ends"),
        pytest.param([(10, True), (20, False), (15, False)], 8, 30, id="alone-first"),
        pytest.param([(20, False), (15, False), (10, True)], 8, 30, id="alone-last"),
    ],
)
def test_how_long_drills_take(lengths: list[tuple[float, bool]], at_once: int, seconds: float) -> None:
    assert plans.duration(lengths, at_once) == seconds


def test_run_that_would_be_cut_off_says_how_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "longest", lambda *_: 3600.0)
    faults = [ServiceStopped() for _ in range(20)]
    (reason,) = plans.too_long(faults, site_of(tmp_path), 1)
    assert reason.startswith("together they may take 20 h 0 min, and 6 h 0 min is the time limit of a run; ")
    assert reason.endswith("; --at-once 4, or fewer of them")
    assert plans.too_long(faults, site_of(tmp_path), 4) == []
    monkeypatch.setattr(plans, "longest", lambda *_: 7 * 3600.0)
    assert "run fewer of them" in plans.too_long(faults, site_of(tmp_path), 1)[0]


@pytest.mark.parametrize(("address", "said"), [("10.0.0.5", "10.0.0.5:9100"), ("fd00::5", "[fd00::5]:9100")])
def test_target_of_either_ip_version_is_an_address_and_a_port(address: str, said: str) -> None:
    assert Options(address=address).at(9100) == said


def test_series_of_a_target_that_is_gone_end_after_more_than_a_scrape(pipeline: FakePipeline, tmp_path: Path) -> None:
    site = msgspec.structs.replace(looked(pipeline, tmp_path), scrape={"node": 15.0})
    assert BY_NAME["target-removed"]().delay(site) == pytest.approx(5 + 5 + 16.5)
    assert BY_NAME["exporter-killed"]().delay(site) == 0
