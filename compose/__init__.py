"""What runs in containers of docker-compose.yml beside the two daemons: the one-shot, the proxy, the seeding."""
