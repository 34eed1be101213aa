"""The bucket that ClickHouse backs itself up to, and the key that it uses."""

import pulumi
import pulumi_gcp as gcp

from infra.config import Settings
from infra.identity import Identity
from infra.secret_store import SecretStore

SECRET = "backup-key-secret"  # noqa: S105 - a name
# After this many days the node's next backup is full: an incremental one needs its base for as long as itself.
FULL_EVERY_DAYS = 7


class Backups(pulumi.ComponentResource):
    """`url` and `key_id` are for the node; the key's secret is in Secret Manager.

    ClickHouse writes to a Google bucket with S3's protocol, for which a service account's HMAC key is the only way to
    log in: https://cloud.google.com/storage/docs/authentication/hmackeys (read 2026-11-28). The account has rights on
    this bucket and no others.
    """

    def __init__(self, settings: Settings, store: SecretStore, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("logbrook:infra:Backups", "backups", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = gcp.storage.Bucket(
            "backups",
            # Bucket names are global.
            name=f"{settings.project}-{settings.name}-backups",
            location=settings.region,
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            force_destroy=not settings.protect_data,
            lifecycle_rules=[
                {"action": {"type": "Delete"}, "condition": {"age": settings.backup_days + FULL_EVERY_DAYS}},
                # Parts of uploads that were never finished.
                {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 1}},
            ],
            opts=pulumi.ResourceOptions(parent=self, protect=settings.protect_data),
        )
        identity = Identity(settings, "backup", "ClickHouse's backups", child)
        right = gcp.storage.BucketIAMMember(
            "backup-writes",
            bucket=bucket.name,
            # Reads, writes, lists and deletes objects: https://cloud.google.com/storage/docs/access-control/iam-roles
            role="roles/storage.objectUser",
            member=identity.member,
            opts=child,
        )
        key = gcp.storage.HmacKey("backup-key", service_account_email=identity.email, opts=child)
        store.add(SECRET, key.secret, readers=("node",))
        self.url = bucket.name.apply(lambda name: f"https://storage.googleapis.com/{name}/clickhouse")
        self.key_id: pulumi.Output[str] = key.access_id
        self.ready: list[pulumi.Resource] = [right]
        self.register_outputs({})
