"""SELinux: off is one row, on is all of them; what is cut or strange is refused."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.selinux import SeLinux, parse_cache_stats, parse_hash_stats, parse_number
from exporter.kernel import KernelError
from tests.support.kernel import collect
from tests.support.trees import TREES, OneCollector, cases, check_golden, files_of, series


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREES / "selinux/fedora39-6.5-enforcing", tmp_path / "tree"))


def rows(tree: Path) -> dict[str, float]:
    return {name: value for (name, _), value in series(collect(SeLinux(files_of(tree), tree))).items()}


@pytest.mark.parametrize("case", cases("selinux"), ids=lambda case: case.name)
def test_page_is_the_recorded_one(case: Path, rewrite_golden: bool) -> None:
    check_golden(case / "page.prom", collect(SeLinux(files_of(case), case)), rewrite=rewrite_golden)


@pytest.mark.needs("node_exporter")
def test_machine_without_selinux_has_node_exporters_one_row() -> None:
    if Path("/sys/fs/selinux/enforce").exists():
        pytest.skip("this machine has SELinux")
    with OneCollector("selinux") as peer:
        theirs = {name: value for (name, _), value in series(peer.page(), "node_selinux").items()}
    assert theirs == rows(TREES / "selinux/debian12-6.1-without")


def test_without_a_policy_selinux_is_off(tree: Path) -> None:
    (tree / "proc/self/attr/current").write_bytes(b"kernel\0")
    assert rows(tree) == {"node_selinux_enabled": 0}


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        (b"SELINUX=enforcing\n", 1),
        (b"SELINUX=permissive", 0),
        (b"SELINUX=disabled\n", -1),
        (b"#SELINUX=enforcing\nSELINUXTYPE=mls\n", -1),
        (b"", -1),
        (None, -1),
    ],
)
def test_configured_mode(tree: Path, config: bytes | None, mode: int) -> None:
    path = tree / "etc/selinux/config"
    path.unlink() if config is None else path.write_bytes(config)
    assert rows(tree)["node_selinux_config_mode"] == mode


@pytest.mark.parametrize("name", ["enforce", "avc/cache_stats", "avc/hash_stats", "avc/cache_threshold"])
@pytest.mark.parametrize("text", [b"", b"garbage\n", b"lookups hits misses allocations reclaims frees\n1 2 3 4 5\n"])
def test_cut_or_strange_file_is_an_error_with_its_name(tree: Path, name: str, text: bytes) -> None:
    (tree / "sys/fs/selinux" / name).write_bytes(text)
    with pytest.raises(KernelError, match=name):
        rows(tree)


@given(st.sampled_from([parse_cache_stats, parse_hash_stats]), st.integers(0, 200), st.binary(max_size=3))
def test_files_cut_anywhere_never_give_another_number(parse: object, end: int, garbage: bytes) -> None:
    name = "cache_stats" if parse is parse_cache_stats else "hash_stats"
    good = (TREES / "selinux/fedora39-6.5-enforcing/sys/fs/selinux/avc" / name).read_bytes()
    whole_rows = {good[: index + 1] for index, byte in enumerate(good) if byte == 10}
    text = good[:end] + garbage
    try:
        parse(text)  # type: ignore[operator]
    except KernelError:
        return
    # what was understood is whole lines: the file itself, one of fewer cores, or lines that the garbage made whole
    assert text in whole_rows or text.endswith(b"\n")


def test_number_without_its_newline_is_whole() -> None:
    assert parse_number("enforce", b"1") == b"1"
