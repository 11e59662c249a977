"""What the relay expects of Vault: ours keeps it, and so must a real one, where VAULT_ADDR and VAULT_TOKEN are set."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.logs import Secret
from exporter.relay.vault import VaultApi
from exporter.relay.vault_answers import Trouble, VaultError
from exporter.relay.vault_source import VaultSource
from tests.support.client import until
from tests.support.vault_backends import BACKENDS, PATH, Backend
from tests.support.vault_world import write_secret


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with BACKENDS[request.param]() as running:
        running.allow("data", "metadata")
        yield running


@pytest.fixture
def api(backend: Backend) -> VaultApi:
    return VaultApi(backend.settings())


@pytest.fixture
def token(backend: Backend, api: VaultApi) -> Secret:
    return api.login(*backend.ids()).token


def test_a_login_gives_a_token_and_its_lease(backend: Backend, api: VaultApi) -> None:
    backend.role(token_ttl=600)
    grant = api.login(*backend.ids())
    assert (grant.seconds, grant.renewable) == (600, True)
    assert api.is_valid(grant.token)


@pytest.mark.parametrize("wrong", ["role_id", "secret_id"])
def test_a_login_with_wrong_ids_is_denied(backend: Backend, api: VaultApi, wrong: str) -> None:
    role_id, secret_id = backend.ids()
    other = Secret("00000000-0000-0000-0000-000000000000")
    with pytest.raises(VaultError) as err:
        api.login(*((other, secret_id) if wrong == "role_id" else (role_id, other)))
    assert (err.value.trouble, err.value.status) == (Trouble.DENIED, 400)


def test_a_secret_id_is_good_for_as_many_logins_as_were_asked_for(backend: Backend, api: VaultApi) -> None:
    ids = backend.ids(uses=2)
    api.login(*ids)
    api.login(*ids)
    with pytest.raises(VaultError) as err:
        api.login(*ids)
    assert err.value.trouble is Trouble.DENIED


def test_a_renewal_gives_the_lease_anew_with_the_same_token(api: VaultApi, token: Secret) -> None:
    grant = api.renew(token)
    assert (grant.seconds, grant.token, grant.renewable) == (600, token, True)


def test_a_renewal_gives_no_more_than_the_role_allows(backend: Backend, api: VaultApi) -> None:
    backend.role(token_ttl=60, token_max_ttl=60)
    token = api.login(*backend.ids()).token
    until(lambda: api.renew(token).seconds < 60, "a renewal is shortened", seconds=5, every=0.2)


def test_a_batch_token_cannot_be_renewed(backend: Backend, api: VaultApi) -> None:
    backend.role(token_type="batch")
    grant = api.login(*backend.ids())
    assert not grant.renewable
    with pytest.raises(VaultError) as err:
        api.renew(grant.token)
    assert err.value.trouble is Trouble.DENIED


def test_a_revoked_token_is_denied_everything(backend: Backend, api: VaultApi, token: Secret) -> None:
    backend.write(bot_token="xoxb-1")
    backend.revoke(token)
    assert not api.is_valid(token)
    for call in (api.renew, api.latest, api.read):
        with pytest.raises(VaultError) as err:
            call(token)
        assert err.value.trouble is Trouble.DENIED


def test_versions_count_up_and_each_can_be_read(backend: Backend, api: VaultApi, token: Secret) -> None:
    assert [backend.write(bot_token=f"xoxb-{number}", channel="#a") for number in (1, 2)] == [1, 2]
    latest = api.latest(token)
    assert (latest.number, latest.gone) == (2, False)
    newest, first = api.read(token), api.read(token, 1)
    assert (newest.token.reveal(), first.token.reveal()) == ("xoxb-2", "xoxb-1")
    assert newest.channels == {"": "#a"}
    # the metadata and the secret tell of a version in the same words
    assert newest.version == latest
    assert first.version.created != latest.created


def test_values_may_be_objects(backend: Backend, api: VaultApi, token: Secret) -> None:
    backend.write(bot_token="xoxb-1", channels={"team-a": "#a"})
    assert api.read(token).channels == {"team-a": "#a"}


def test_a_deleted_version_is_gone_until_it_is_undeleted(backend: Backend, api: VaultApi, token: Secret) -> None:
    number = backend.write(bot_token="xoxb-1")
    backend.delete(number)
    assert api.latest(token).gone
    with pytest.raises(VaultError, match="has deleted this version") as err:
        api.read(token, number)
    assert (err.value.trouble, err.value.status) == (Trouble.MISSING, 404)
    backend.undelete(number)
    assert not api.latest(token).gone
    assert api.read(token).token.reveal() == "xoxb-1"


def test_a_destroyed_version_is_gone(backend: Backend, api: VaultApi, token: Secret) -> None:
    number = backend.write(bot_token="xoxb-1")
    backend.destroy(number)
    assert api.latest(token).gone
    with pytest.raises(VaultError) as err:
        api.read(token, number)
    assert err.value.trouble is Trouble.MISSING


def test_a_secret_that_was_never_written_is_missing(api: VaultApi, token: Secret) -> None:
    for call in (api.latest, api.read):
        with pytest.raises(VaultError) as err:
            call(token)
        assert (err.value.trouble, err.value.status) == (Trouble.MISSING, 404)


@pytest.mark.parametrize("allowed", ["data", "metadata", ""])
def test_what_the_policy_does_not_name_is_denied(backend: Backend, api: VaultApi, token: Secret, allowed: str) -> None:
    backend.write(bot_token="xoxb-1")
    backend.allow(*filter(None, [allowed]))
    for kind, call in (("data", api.read), ("metadata", api.latest)):
        if kind == allowed:
            call(token)
            continue
        with pytest.raises(VaultError) as err:
            call(token)
        assert (err.value.trouble, err.value.status) == (Trouble.DENIED, 403)
    assert api.is_valid(token)


def test_another_secret_is_denied(backend: Backend, token: Secret) -> None:
    with pytest.raises(VaultError) as err:
        VaultApi(backend.settings(path="somebody/else")).read(token)
    assert err.value.trouble is Trouble.DENIED


def test_a_login_at_a_mount_that_is_not_there_fails(backend: Backend) -> None:
    with pytest.raises(VaultError) as err:
        VaultApi(backend.settings(auth_mount="nothing-here")).login(*backend.ids())
    assert err.value.trouble in {Trouble.MISSING, Trouble.DENIED}


def test_a_token_of_nobody_is_denied(backend: Backend, api: VaultApi) -> None:
    backend.write(bot_token="xoxb-1")
    assert not api.is_valid(Secret("hvs.nobody"))
    with pytest.raises(VaultError) as err:
        api.read(Secret("hvs.nobody"))
    assert err.value.trouble is Trouble.DENIED


def test_a_source_follows_the_secret(backend: Backend, tmp_path: Path) -> None:
    role_id, secret_id = backend.ids()
    files = {
        "role_id_file": str(write_secret(tmp_path / "role-id", role_id.reveal())),
        "secret_id_file": str(write_secret(tmp_path / "secret-id", secret_id.reveal())),
    }
    settings = backend.settings(**files)
    source = VaultSource(settings, lambda _token: None, VaultApi(settings))
    seen = []
    for step in (
        lambda: backend.write(bot_token="xoxb-1"),
        lambda: backend.write(bot_token="xoxb-2", channel="#a"),
        lambda: backend.delete(2),
        lambda: backend.undelete(2),
    ):
        step()
        source.look()
        current = source.current()
        assert current is not None
        seen.append((current.token.reveal(), source.status.condition))
    assert seen == [("xoxb-1", "ok"), ("xoxb-2", "ok"), ("xoxb-2", "missing"), ("xoxb-2", "ok")]
    assert PATH in source.state.text
