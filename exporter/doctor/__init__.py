"""What is wrong with an installation, and how to mend it: `hostwatch doctor`. Blocks; changes nothing.

Each module looks at one part and yields findings. What one part tells of another (Alertmanager's configuration names
the relay) is handed on.
"""

from exporter.doctor.examination import PARTS, Parts, examine
from exporter.doctor.finding import Finding, Verdict

__all__ = ["PARTS", "Finding", "Parts", "Verdict", "examine"]
