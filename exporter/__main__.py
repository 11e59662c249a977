"""`python -m exporter` is the command `hostwatch`."""

from exporter.cli import main

if __name__ == "__main__":
    main()
