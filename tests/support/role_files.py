"""The programs that the roles run on machines, as modules: `load("hostwatch_release/files/deploy.py")`."""

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.support.playbooks import ANSIBLE


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ANSIBLE / "roles" / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
