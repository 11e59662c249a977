"""Drills: a real fault of our own making, watched on its way to Slack, and always undone."""
