"""The platform on GCP: one Pulumi program, one stack per environment. `docs/deploy.md` says how to use it."""

import sys
from pathlib import Path

# The service is not installed where only infra/requirements.txt is; log_alerts.py reads rules as it does.
sys.path.append(str(Path(__file__).parent.parent / "service"))
