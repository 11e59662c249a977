"""What `make up` runs: exporter, relay, Prometheus and Alertmanager on this machine, wired together, until Ctrl-C."""
