"""NVMe controllers; the rest is in test_machines."""

from pathlib import Path

from exporter.collectors.nvme import Nvme
from exporter.kernel import KernelFiles


def test_controller_without_any_answer_has_no_row_and_one_with_some_has(tmp_path: Path) -> None:
    for name in ("nvme0", "nvme1"):
        (tmp_path / "class/nvme" / name).mkdir(parents=True)
    (tmp_path / "class/nvme/nvme1/model").write_text("Linux\n")
    page = Nvme(KernelFiles(sys=tmp_path)).collect()
    assert b"nvme0" not in page
    assert b'node_nvme_info{device="nvme1",firmware_revision="",model="Linux",serial="",state=""} 1\n' in page
