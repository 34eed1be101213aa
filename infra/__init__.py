"""The platform on GCP: one Pulumi program, one stack per environment. `docs/deploy.md` says how to use it."""

import sys
from pathlib import Path

# With infra/requirements.txt alone, the service is not installed, and rule_files.py uses its readers.
sys.path.append(str(Path(__file__).parent.parent / "service"))
