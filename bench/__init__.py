"""The side-by-side benchmark against node_exporter: `python -m bench`, or `make bench`."""
