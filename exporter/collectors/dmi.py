"""What the firmware tells of the machine (/sys/class/dmi/id)."""

from typing import ClassVar, Final

from exporter.collector import NoData
from exporter.collectors.sysfs import read_text
from exporter.exposition import Block, Family, Layout
from exporter.kernel import KernelFiles

# label: file; the serial numbers and the UUID are root's to read
_FILES: Final = {
    "bios_date": "bios_date",
    "bios_release": "bios_release",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "board_asset_tag": "board_asset_tag",
    "board_name": "board_name",
    "board_serial": "board_serial",
    "board_vendor": "board_vendor",
    "board_version": "board_version",
    "chassis_asset_tag": "chassis_asset_tag",
    "chassis_serial": "chassis_serial",
    "chassis_vendor": "chassis_vendor",
    "chassis_version": "chassis_version",
    "product_family": "product_family",
    "product_name": "product_name",
    "product_serial": "product_serial",
    "product_sku": "product_sku",
    "product_uuid": "product_uuid",
    "product_version": "product_version",
    "system_vendor": "sys_vendor",
}
INFO: Final = Family(
    "node_dmi_info", "gauge", "1, with what the firmware tells of the machine (/sys/class/dmi/id).", tuple(_FILES)
)


class Dmi:
    """Maker, model and firmware of the machine, read once: they change at a boot only."""

    name: ClassVar[str] = "dmi"
    families: ClassVar[tuple[Family, ...]] = (INFO,)
    blocking: ClassVar[bool] = False

    def __init__(self, files: KernelFiles) -> None:
        values = [read_text(files.path(f"sys/class/dmi/id/{file}")) for file in _FILES.values()]
        known = any(value is not None for value in values)
        self._block = Layout([(INFO, [[value or "" for value in values]])]).fill([b"1"]) if known else None

    def collect(self) -> Block:
        """Return the one row. Raises NoData where there is no DMI, as on most machines that are no PCs."""
        if self._block is None:
            raise NoData
        return self._block
