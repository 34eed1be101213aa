"""The platform on GCP: one Pulumi program, one stack per environment. `docs/deploy.md` says how to use it."""
