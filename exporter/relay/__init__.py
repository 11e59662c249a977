"""The relay: Alertmanager's webhook in, Slack out; every snapshot on disk before it is answered."""
