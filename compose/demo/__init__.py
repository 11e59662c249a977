"""What the profile `demo` runs: things to watch that misbehave now and then."""
