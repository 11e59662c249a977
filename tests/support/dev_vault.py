"""`vault server -dev` as a stand-in: the fake Vault, with a root token and what an administrator asks of it.

It runs in a container without anything but Python: `python -m tests.support.dev_vault server -dev
-dev-listen-address=HOST:PORT`. It prints and keeps its root token as Vault's own command does in dev mode.
"""

import os
import secrets
import signal
import sys
import threading
import uuid
from pathlib import Path

from tests.support.fake_vault import Answer, FakeVault, SecretId, VaultRequest


class DevVault(FakeVault):
    """Nothing is there at first but the engine `secret/`."""

    def __init__(self, root_token: str) -> None:
        super().__init__()
        self.root_token = root_token
        self.auth_mounts: set[str] = set()
        self.has_role = False

    def _answer(self, request: VaultRequest) -> Answer:
        path = request.path.removeprefix("/v1/")
        if path == "sys/health":
            return 200, {"initialized": True, "sealed": False}
        if path == "auth/approle/login" and not self.has_role:
            return 400, {"errors": ["invalid role or secret ID"]}
        if request.token != self.root_token:
            return super()._answer(request)
        return self._administer(path, request)

    def _administer(self, path: str, request: VaultRequest) -> Answer:
        get = request.method == "GET"
        match path:
            case "sys/auth":
                return 200, {"data": {f"{mount}/": {"type": mount} for mount in (*self.auth_mounts, "token")}}
            case "sys/auth/approle" if not get:
                self.auth_mounts.add("approle")
            case "sys/policies/acl/hostwatch" if not get:
                assert "secret/data/hostwatch/slack" in request.body["policy"]
            case "auth/approle/role/hostwatch" if not get and self.auth_mounts:
                assert request.body["token_policies"] == "hostwatch"
                self.has_role = True
            case "auth/approle/role/hostwatch/role-id" if get and self.has_role:
                return 200, {"data": {"role_id": self.role.role_id}}
            case "auth/approle/role/hostwatch/secret-id" if not get and self.has_role:
                self.role.secret_ids.append(SecretId(str(uuid.uuid4())))
                return 200, {"data": {"secret_id": self.role.secret_ids[-1].value}}
            case "secret/data/hostwatch/slack":
                return self._secret(request)
            case _:
                return 404, {"errors": []}
        return 204, {}

    def _secret(self, request: VaultRequest) -> Answer:
        if request.method != "GET":
            return 200, {"data": {"version": self.write(**request.body["data"])}}
        return self._kv("secret/data/hostwatch/slack", request)


def main(arguments: list[str]) -> None:
    assert arguments[:2] == ["server", "-dev"], arguments
    host, _, port = arguments[2].removeprefix("-dev-listen-address=").partition(":")
    vault = DevVault("hvs." + secrets.token_hex(14))
    file = Path(os.environ["HOME"], ".vault-token")
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as kept:
        kept.write(vault.root_token)
    vault.port = int(port)
    vault.start(host)
    print("==> Vault server started! Log data will stream in below:")
    print(f"\nUnseal Key: {secrets.token_urlsafe(32)}\nRoot Token: {vault.root_token}\n", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # process 1 of a container has no other way
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
