"""Metrics about Vault, read from the source when somebody scrapes."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.relay.vault_answers import Trouble
from exporter.relay.vault_source import CONDITIONS, VaultSource


class VaultMetrics(Collector):
    """How it is with Vault at the moment of a scrape. Register it where there is a VaultSource."""

    def __init__(self, source: VaultSource) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        """Return the families: the registry asks for the names once."""
        return self.collect()

    def collect(self) -> Iterable[Metric]:
        """Return the families with their values."""
        yield from self._gauges()
        yield from self._counters()

    def _gauges(self) -> Iterable[Metric]:
        status = self._source.status
        state = GaugeMetricFamily(
            "relay_vault_state",
            "1 for the state that Vault is in, 0 for all others; refused: the newest version cannot be put in force"
            " (Vault's last answer).",
            labels=["state"],
        )
        for condition in CONDITIONS:
            state.add_metric([condition], float(condition == status.condition))
        yield state
        for name, help_, value in (
            (
                "last_success_timestamp_seconds",
                "When Vault last told of the secret, in seconds since 1970; absent before (Vault).",
                status.last_success,
            ),
            (
                "lease_expiry_timestamp_seconds",
                "When the relay's token for Vault ends unless it is renewed, in seconds since 1970 (AppRole login).",
                status.lease_ends,
            ),
            ("secret_version", "Version of the secret that is in force (Vault, KV v2).", status.version),
            ("secret_latest_version", "Newest version of the secret (Vault, KV v2 metadata).", status.latest),
        ):
            family = GaugeMetricFamily(f"relay_vault_{name}", help_)
            if value is not None:
                family.add_metric([], float(value))
            yield family

    def _counters(self) -> Iterable[Metric]:
        counts = self._source.counts
        for name, help_, value in (
            ("logins", "Logins that Vault granted (AppRole).", counts.logins),
            ("login_failures", "Logins that failed (AppRole).", counts.login_failures),
            ("renewals", "Renewals of the relay's token that Vault granted (renew-self).", counts.renewals),
            ("renewal_failures", "Renewals of the relay's token that failed (renew-self).", counts.renewal_failures),
        ):
            yield CounterMetricFamily(f"relay_vault_{name}", help_, value=float(value))
        failures = CounterMetricFamily(
            "relay_vault_look_failures", "Looks at Vault that failed, by reason (Vault).", labels=["reason"]
        )
        for trouble in Trouble:
            failures.add_metric([trouble], float(self._source.failures[trouble]))
        yield failures
