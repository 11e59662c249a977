"""Chromium without a window: what a page looks like, and what its console says."""

import subprocess
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """One user's Chromium; `profile` is a folder of its own."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["chromium", *FLAGS, f"--user-data-dir={self._profile}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done

    def screenshot(self, url: str, file: Path, width: int, height: int, *more: str) -> None:
        self._run(f"--screenshot={file}", f"--window-size={width},{height}", *more, url)
        assert file.stat().st_size > 5000

    def dom(self, url: str) -> str:
        """Return the page as it stands once it is loaded."""
        return self._run("--dump-dom", url).stdout

    def console(self, url: str) -> list[str]:
        """Return what the page's console says."""
        done = self._run("--enable-logging=stderr", "--log-level=0", "--dump-dom", url)
        return [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
