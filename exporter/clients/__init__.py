"""Clients of other daemons' interfaces, for whoever needs them."""
