"""The exporter with one more collector, a sick one: python sick_daemon.py raises|hangs.

The real daemon, wired as ever; only the table of collectors has a row more.
"""

import asyncio
import sys
import threading
from typing import ClassVar

from exporter import collectors, logs
from exporter.collector import Collector
from exporter.daemon import Daemon
from exporter.exposition import Block, Family
from exporter.settings.exporter import Exporter

SICK = Family("host_sick_value", "gauge", "Never there (test).")


class Sick:
    name: ClassVar[str] = "sick"
    families: ClassVar[tuple[Family, ...]] = (SICK,)
    blocking = False

    def collect(self) -> Block:
        raise NotImplementedError


class Raises(Sick):
    def collect(self) -> Block:
        raise RuntimeError("always")


class Hangs(Sick):
    blocking = True

    def collect(self) -> Block:
        threading.Event().wait()
        raise AssertionError


def main() -> None:
    kind = {"raises": Raises, "hangs": Hangs}[sys.argv[1]]
    real = collectors.make

    def make(*arguments: object) -> list[Collector]:
        return [*real(*arguments), kind()]  # type: ignore[arg-type]

    collectors.make = make  # type: ignore[assignment]
    logs.setup()

    async def serve() -> None:
        await Daemon(Exporter(listen="127.0.0.1:0"), None, {}).run()

    asyncio.run(serve())
    logs.Log("test").info("ended by itself")
    import os

    os._exit(0)


if __name__ == "__main__":
    main()
