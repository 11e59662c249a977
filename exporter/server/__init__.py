"""The exporter's HTTP server: `listener` is the socket, `protocol` one connection, `http` what handlers see."""
