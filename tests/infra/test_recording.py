"""The stand-in for Google's APIs is as strict as their schemas. Its client here is Google's own.

What the real provider sends to it is in test_provider.py, where the provider's plugin is installed.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httplib2  # type: ignore[import-untyped]
import httpx
import pytest
from googleapiclient.discovery import Resource, build_from_document  # type: ignore[import-untyped]
from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

from tests.infra import runbooks
from tests.infra.discovery import PRODUCTS, _load
from tests.infra.google import Google
from tests.infra.recording import _ENDPOINTS, Server

PLACE = {"project": "p", "zone": "us-central1-a"}
ALL = {
    "certificatemanager",
    "cloudscheduler",
    "compute",
    "run",
    "secretmanager",
    "iam",
    "logging",
    "monitoring",
    "storage",
    "iap",
}
Client = Callable[[str], Any]


@pytest.fixture
def server() -> Iterator[Server]:
    """APIs that are enabled, and whose operations take a while."""
    with Server(Google(polls=2)) as running:
        running.google.enabled |= ALL
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Google's own client for one of its documents, with the server in place of googleapis.com."""
    with ExitStack() as stack:

        def connect(document: str) -> Resource:
            product = document.partition(".")[0]
            version = "beta" if product == "compute" else ""
            moved = {
                **_load(document),
                "rootUrl": f"{server.url}/",
                "servicePath": f"{product}/{version}",
                "batchPath": "b",
            }
            made = build_from_document(json.dumps(moved), http=httplib2.Http())
            stack.callback(made.close)
            return made

        yield connect


def test_a_disk_from_its_making_to_its_end(server: Server, client: Client) -> None:
    """An operation that is under way and then done; the disk with what Google adds; resized, deleted, gone."""
    disks = client("compute.beta").disks()
    operation = disks.insert(**PLACE, body={"name": "data", "sizeGb": "50", "type": "t"}).execute()
    assert operation["status"] == "RUNNING"
    wait = client("compute.beta").zoneOperations().wait(**PLACE, operation=operation["name"])
    assert [wait.execute()["status"] for _ in range(2)] == ["RUNNING", "DONE"]
    made = disks.get(**PLACE, disk="data").execute()
    assert made["sizeGb"] == "50"
    assert made["selfLink"].endswith("/compute/v1/projects/p/zones/us-central1-a/disks/data")
    disks.resize(**PLACE, disk="data", body={"sizeGb": "80"}).execute()
    assert disks.get(**PLACE, disk="data").execute()["sizeGb"] == "80"
    disks.delete(**PLACE, disk="data").execute()
    with pytest.raises(HttpError) as gone:
        disks.get(**PLACE, disk="data").execute()
    assert gone.value.status_code == 404
    assert server.google.writes() == [f"compute.disks.{name}" for name in ("insert", "resize", "delete")]
    assert server.google.problems == []


def test_an_instance_brings_its_disk(client: Client) -> None:
    """Tags and metadata have fingerprints, the interface an address; the boot disk is a disk of its own."""
    disk = {"boot": True, "initializeParams": {"diskSizeGb": "10", "sourceImage": "i"}}
    body = {"name": "node", "disks": [disk], "networkInterfaces": [{"network": "n"}], "metadata": {"items": []}}
    compute = client("compute.beta")
    compute.instances().insert(**PLACE, body=body).execute()
    node = compute.instances().get(**PLACE, instance="node").execute()
    assert node["metadata"]["fingerprint"]
    assert node["networkInterfaces"][0]["networkIP"]
    assert node["disks"][0]["source"].endswith("/disks/node")
    assert compute.disks().get(**PLACE, disk="node").execute()["sourceImage"] == "i"
    compute.instances().stop(**PLACE, instance="node").execute()
    compute.instances().setMachineType(**PLACE, instance="node", body={"machineType": "big"}).execute()
    node = compute.instances().get(**PLACE, instance="node").execute()
    assert (node["status"], node["machineType"]) == ("TERMINATED", "big")


def test_a_runbooks_gcloud_works_on_the_same_things(server: Server, client: Client) -> None:
    """A machine's protection, a snapshot, and a machine that is deleted: its boot disk goes, its data stays."""
    compute, project = client("compute.beta"), {"project": "my-project"}
    place, where = project | {"zone": "z"}, ("--project", "my-project", "--zone", "z")
    boot = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": "i"}}
    disks = [boot, {"source": "projects/my-project/zones/z/disks/data"}]
    compute.disks().insert(**place, body={"name": "data", "sizeGb": "50"}).execute()
    compute.instances().insert(**place, body={"name": "node", "disks": disks, "deletionProtection": True}).execute()

    def gcloud(*words: str) -> str:
        return runbooks.gcloud(server.google, [*words, *where])

    delete = ("compute", "instances", "delete", "node", "--keep-disks=data", "--quiet")
    with pytest.raises(AssertionError):
        gcloud(*delete)
    gcloud("compute", "instances", "update", "node", "--no-deletion-protection")
    gcloud("compute", "instances", "stop", "node")
    node = compute.instances().get(**place, instance="node").execute()
    assert (node["deletionProtection"], node["status"]) == (False, "TERMINATED")
    gcloud("compute", "snapshots", "create", "s", "--source-disk", "data", "--source-disk-zone", "z")
    assert compute.snapshots().get(**project, snapshot="s").execute()["diskSizeGb"] == "50"
    assert json.loads(gcloud("compute", "snapshots", "describe", "s"))["diskSizeGb"] == "50"
    assert gcloud("compute", "snapshots", "list", "--filter", "sourceDisk~/zones/z/disks/data$") == "s"
    found = ("compute", "instances", "list", "--zones=z", "--filter=name=node")
    assert gcloud(*found) == "node"
    gcloud(*delete)
    assert gcloud(*found) == ""
    assert [each["name"] for each in compute.disks().list(**place).execute()["items"]] == ["data"]
    with pytest.raises(AssertionError):
        gcloud("compute", "disks", "delete", "data")


def test_a_worker_pool(client: Client) -> None:
    """Cloud Run's operations carry the outcome; a pool is ready; a patch changes what it names and keeps the rest."""
    projects = client("run.v2").projects().locations()
    parent, template = "projects/p/locations/l", {"containers": [{"image": "i"}]}
    created = projects.workerPools().create(parent=parent, workerPoolId="w", body={"template": template}).execute()
    assert created == {"name": created["name"], "done": False}
    operation = projects.operations().get(name=created["name"])
    assert [operation.execute()["done"] for _ in range(2)] == [False, True]
    name = f"{parent}/workerPools/w"
    assert operation.execute()["response"]["name"] == name
    projects.workerPools().patch(name=name, body={"scaling": {"manualInstanceCount": 3}}).execute()
    pool = projects.workerPools().get(name=name).execute()
    assert (pool["template"], pool["scaling"]) == (template, {"manualInstanceCount": 3})
    assert pool["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"


def test_a_schedule(client: Client) -> None:
    """It is on, with the pauses between retries and the scope that Google chooses; the provider then resumes it."""
    jobs = client("cloudscheduler.v1").projects().locations().jobs()
    parent, token = "projects/p/locations/l", {"serviceAccountEmail": "a@p.iam.gserviceaccount.com"}
    target = {"uri": "https://run.googleapis.com/v2/j:run", "httpMethod": "POST", "oauthToken": token}
    body = {"name": f"{parent}/jobs/j", "schedule": "7 * * * *", "httpTarget": target, "retryConfig": {"retryCount": 3}}
    jobs.create(parent=parent, body=body).execute()
    jobs.resume(name=body["name"], body={}).execute()
    made = jobs.get(name=body["name"]).execute()
    assert (made["state"], made["schedule"]) == ("ENABLED", "7 * * * *")
    assert (made["retryConfig"]["retryCount"], made["retryConfig"]["maxDoublings"]) == (3, 5)
    assert made["httpTarget"]["oauthToken"]["scope"].endswith("/cloud-platform")


def test_a_certificate(client: Client) -> None:
    """Google says which record proves that the domain is ours, and is still at work on the certificate when asked."""
    locations, parent = client("certificatemanager.v1").projects().locations(), "projects/p/locations/global"
    body = {"domain": "logs.example.com", "type": "PER_PROJECT_RECORD"}
    locations.dnsAuthorizations().create(parent=parent, dnsAuthorizationId="a", body=body).execute()
    name = f"{parent}/dnsAuthorizations/a"
    record = locations.dnsAuthorizations().get(name=name).execute()["dnsResourceRecord"]
    assert (record["type"], record["name"].endswith(".logs.example.com.")) == ("CNAME", True)
    managed = {"domains": ["logs.example.com"], "dnsAuthorizations": [name]}
    locations.certificates().create(parent=parent, certificateId="c", body={"managed": managed}).execute()
    made = locations.certificates().get(name=f"{parent}/certificates/c").execute()
    assert made["managed"] == managed | {"state": "PROVISIONING"}


def test_a_secret_and_its_versions(client: Client) -> None:
    """A version is numbered; its payload comes only when it is accessed."""
    secrets = client("secretmanager.v1").projects().secrets()
    secrets.create(parent="projects/p", secretId="s", body={"replication": {"automatic": {}}}).execute()
    payload = {"payload": {"data": "c2VjcmV0"}}
    names = [secrets.addVersion(parent="projects/p/secrets/s", body=payload).execute()["name"] for _ in range(2)]
    assert names == [f"projects/p/secrets/s/versions/{number}" for number in (1, 2)]
    assert "payload" not in secrets.versions().get(name=names[0]).execute()
    assert secrets.versions().access(name=names[0]).execute()["payload"] == payload["payload"]


def test_policies_are_not_overwritten(client: Client) -> None:
    """A policy that is based on an old one is refused; a service account is found in any project, by its address."""
    accounts = client("iam.v1").projects().serviceAccounts()
    made = accounts.create(name="projects/p", body={"accountId": "node"}).execute()
    assert made["email"] == "node@p.iam.gserviceaccount.com"
    name = f"projects/-/serviceAccounts/{made['email']}"
    assert accounts.get(name=name).execute() == made
    old = accounts.getIamPolicy(resource=name).execute()
    binding = {"role": "roles/iam.serviceAccountUser", "members": ["user:a@example.org"]}
    accounts.setIamPolicy(resource=made["name"], body={"policy": old | {"bindings": [binding]}}).execute()
    assert accounts.getIamPolicy(resource=name).execute()["bindings"] == [binding]
    with pytest.raises(HttpError, match="concurrent"):
        accounts.setIamPolicy(resource=name, body={"policy": old}).execute()


def test_names_are_unique(client: Client) -> None:
    """The second of a name is a conflict; where Google makes names up, each is another."""
    buckets = client("storage.v1").buckets()
    buckets.insert(project="p", body={"name": "b"}).execute()
    with pytest.raises(HttpError) as conflict:
        buckets.insert(project="p", body={"name": "b"}).execute()
    assert conflict.value.status_code == 409
    alerts = client("monitoring.v3").projects().alertPolicies()
    names = {alerts.create(name="projects/p", body={"displayName": "a"}).execute()["name"] for _ in range(2)}
    assert len(names) == 2


def test_an_api_must_be_enabled_first(server: Server, client: Client) -> None:
    """Until then the answer is Google's 403; these two are enabled by hand."""
    server.google.enabled -= ALL
    metrics = client("logging.v2").projects().metrics()
    with pytest.raises(HttpError, match="has not been used") as refused:
        metrics.list(parent="projects/p").execute()
    assert refused.value.status_code == 403
    services = client("serviceusage.v1").services()
    enabling = services.batchEnable(parent="projects/p", body={"serviceIds": ["logging.googleapis.com"]}).execute()
    assert enabling["done"]
    assert metrics.list(parent="projects/p").execute() == {"items": [], "metrics": []}
    assert services.get(name="projects/p/services/run.googleapis.com").execute()["state"] == "DISABLED"
    assert client("cloudresourcemanager.v1").projects().get(projectId="p").execute()["projectNumber"]


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("compute/beta/projects/p/zones/z/disks", {"nam": "x"}, "compute.disks.insert.nam: there is no such field"),
        ("compute/beta/projects/p/zones/z/disks", {"sizeGb": True}, "sizeGb: True is not of type string"),
        ("compute/beta/projects/p/zones/z/disks", {"labels": ["a"]}, "labels: ['a'] is not an object"),
        ("compute/beta/projects/p/zones/z/disks?sise=5", {}, "?sise is not a parameter of compute.disks.insert"),
        ("compute/beta/projects/p/global/firewalls", {"direction": "UP"}, "'UP' is not one of EGRESS, INGRESS"),
        (
            "run/v2/projects/p/locations/l/workerPools?workerPoolId=w",
            {"template": {"containers": [{"image": "i", "comand": ["x"]}]}},
            "template.containers[0].comand: there is no such field",
        ),
        ("run/v2/projects/p/locations/l/workerPools", {"template": {"containers": {}}}, "containers: {} is not a list"),
        ("monitoring/v3/projects/p/alertPolicies", {"conditions": [{"kind": "x"}]}, "conditions[0].kind: there is no"),
        ("compute/beta/projects/p/zones/z/dics", {}, "compute has no method for POST projects/p/zones/z/dics"),
    ],
)
def test_what_google_does_not_have_is_refused(server: Server, path: str, body: object, problem: str) -> None:
    """Unknown fields, parameters and paths, wrong types and values: refused, and kept for the test to see."""
    answer = httpx.post(f"{server.url}/{path}", json=body)
    assert answer.status_code in (400, 404)
    assert problem in answer.json()["error"]["message"]
    assert any(problem in each for each in server.google.problems)
    assert server.google.resources == {}


def test_what_is_output_only_is_ignored(server: Server) -> None:
    """Clients send whole objects back; Google ignores the fields that it alone sets (AIP-203)."""
    body = {"name": "projects/p/locations/l/workerPools/w", "uid": 5, "template": {}}
    answer = httpx.post(f"{server.url}/run/v2/projects/p/locations/l/workerPools?worker_pool_id=w", json=body)
    assert answer.status_code == 200, answer.text


def test_every_product_has_a_variable(server: Server) -> None:
    """No product is left to the provider's default, which is Google itself."""
    products = {place.partition("/")[0] for place in _ENDPOINTS.values()}
    assert products == set(PRODUCTS)
    assert all(value.startswith(server.url) and value.endswith("/") for value in server.endpoints().values())
