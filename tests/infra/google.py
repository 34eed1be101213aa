"""A stand-in for Google's REST APIs: it keeps what it is given, echoes it, and records every request.

It knows the APIs' methods and schemas (discovery.py), that an API must be enabled before it is used, that names are
unique, how operations go on, and the few fields that Google adds (computed.py). It knows nothing of the products' other
rules: it shows what a client sends, and whether that client is content with its own words.
"""

import copy
import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.infra import discovery
from tests.infra.computed import PROJECT_NUMBER, SELF_LINK, Json, add_computed
from tests.infra.discovery import Method

# Enabling an API takes these two, so a person enables them before the first deploy.
ENABLED_BY_HAND = frozenset({"serviceusage", "cloudresourcemanager"})
# What Compute Engine has without our making it.
_CATALOG = re.compile(
    r"projects/[^/]+(/(zones|regions)/[^/]+)?(/(machineTypes|diskTypes)/[^/]+)?|projects/.+/images/.+"
)


class RefusedError(Exception):
    """An error that the API answers."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason

    def body(self) -> Json:
        """As Google writes it."""
        errors = [{"message": str(self), "reason": self.reason, "domain": "global"}]
        return {"error": {"code": self.status, "message": str(self), "status": self.reason, "errors": errors}}


@dataclass(frozen=True)
class Request:
    """What was asked of which product: the path is without its version, the method is None if there is none."""

    product: str
    verb: str
    path: str
    query: dict[str, str]
    body: Json | None
    method: Method | None

    @property
    def action(self) -> str:
        """insert, setIamPolicy, ..."""
        return self.method.action if self.method else ""

    @property
    def key(self) -> str:
        """The thing that is acted on, in `Google.resources`: without the action at the end of the path.

        A service account may be named in the project `-`: its e-mail address says in which it is.
        """
        subject = re.sub(rf"[:/]{self.action}$", "", self.path)
        return f"{self.product}/" + re.sub(r"^projects/-/(serviceAccounts/[^@]+@([^.]+)\.)", r"projects/\2/\1", subject)

    @property
    def writes(self) -> bool:
        """Whether it was meant to change something."""
        return self.verb != "GET" and self.action not in ("getIamPolicy", "wait")


@dataclass
class Google:
    """The state behind the APIs.

    `polls` is how often an operation must be looked at until it is done; `guest` is what an instance has written into
    each of its guest attributes.
    """

    enabled: set[str] = field(default_factory=lambda: set(ENABLED_BY_HAND))
    polls: int = 0
    guest: Callable[[Json], str] = lambda _instance: ""
    resources: dict[str, Json] = field(default_factory=dict)
    requests: list[tuple[Request, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _policies: dict[str, Json] = field(default_factory=dict)
    _payloads: dict[str, Json] = field(default_factory=dict)
    _operations: dict[str, tuple[int, Json]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1000))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, verb: str, path: str, query: dict[str, str], body: Json | None) -> tuple[int, Json]:
        """Look a request up, hold it against its method, carry it out, and record it with its status."""
        product, _, rest = path.strip("/").partition("/")
        method = discovery.find(product, verb, rest)
        request = Request(product, verb, discovery.relative(rest), query, body, method)
        with self._lock:
            try:
                status, found = 200, copy.deepcopy(self._carry_out(request))
            except RefusedError as error:
                status, found = error.status, error.body()
            self.requests.append((request, status))
        return status, found

    def writes(self) -> list[str]:
        """The methods that were asked to change something."""
        return [each.method.id for each, _ in self.requests if each.method and each.writes]

    def _carry_out(self, request: Request) -> Json:
        method = request.method
        if method is None:
            self.problems.append(f"{request.product} has no method for {request.verb} {request.path}")
            raise RefusedError(404, "notFound", self.problems[-1])
        if found := method.problems(request.query, request.body):
            self.problems += found
            raise RefusedError(400, "badRequest", "; ".join(found))
        if request.product not in self.enabled:
            name = f"{request.product}.googleapis.com"
            raise RefusedError(403, "SERVICE_DISABLED", f"{name} has not been used in this project, or is disabled")
        if request.product == "serviceusage":
            return self._service_usage(request)
        if "operations" in request.path.split("/"):
            return self._look_at_operation(request.key)
        return self._act(request, method)

    def _act(self, request: Request, method: Method) -> Json:
        if method.action.endswith("IamPolicy"):
            return self._policy(request)
        if request.verb == "GET":
            return self._read(request)
        if method.action in ("insert", "create", "addVersion"):
            key, resource = self._create(request)
            return self._outcome(method, key, resource)
        resource = self._existing(request)
        if method.action in ("delete", "destroy"):
            self.delete(request.key)
            return self._outcome(method, request.key, {})
        _change(resource, method.action, request)
        return self._outcome(method, request.key, resource)

    def _read(self, request: Request) -> Json:
        if request.action in ("list", "aggregatedList"):
            inside = [each for name, each in self.resources.items() if name.rpartition("/")[0] == request.key]
            return {"items": inside, request.key.rpartition("/")[2]: inside}
        resource = self._existing(request)
        if request.action == "getGuestAttributes":
            return {"queryPath": request.query.get("queryPath", ""), "variableValue": self.guest(resource)}
        return resource | ({"payload": self._payloads[request.key]} if request.action == "access" else {})

    def _existing(self, request: Request) -> Json:
        """What the request names: ours, or what is there without our making it."""
        if request.key in self.resources:
            return self.resources[request.key]
        name = request.path.rpartition("/")[2]
        if request.product == "cloudresourcemanager":
            project = {"projectId": name, "projectNumber": PROJECT_NUMBER, "name": f"projects/{PROJECT_NUMBER}"}
            return project | {"lifecycleState": "ACTIVE", "state": "ACTIVE"}
        if request.product == "cloudbilling":
            return {"projectId": request.path.split("/")[1], "billingEnabled": True}
        if request.product == "compute" and _CATALOG.fullmatch(request.path) and request.verb == "GET":
            link = SELF_LINK + request.path.replace("/images/family/", "/images/")
            return {"name": name, "selfLink": link, "status": "UP"}
        raise RefusedError(404, "notFound", f"{request.path} was not found")

    def _create(self, request: Request) -> tuple[str, Json]:
        key, body = request.key, copy.deepcopy(request.body or {})
        ids = [value for name, value in request.query.items() if name.endswith(("Id", "_id")) and name != "requestId"]
        name = ids[0] if ids else str(body.get("name", "")).rpartition("/")[2]
        if "accountId" in body:
            project = key.split("/")[2]
            name = f"{body['accountId']}@{project}.iam.gserviceaccount.com"
            body = body.get("serviceAccount", {}) | {"email": name, "projectId": project}
        elif request.action == "addVersion":
            key += "/versions"
            name = str(1 + sum(each.rpartition("/")[0] == key for each in self.resources))
            self._payloads[f"{key}/{name}"] = body["payload"]
            body = {"state": "ENABLED"}
        elif not name or request.product in ("monitoring", "billingbudgets"):
            name = str(next(self._numbers))
        # Pub/Sub's path names what is made.
        key = key if request.verb == "PUT" else f"{key}/{name}"
        if key in self.resources:
            raise RefusedError(409, "alreadyExists", f"{key} already exists")
        self.resources |= add_computed(key, body, next(self._numbers))
        return key, body

    def delete(self, key: str) -> None:
        """A machine takes those of its disks along that are to be deleted with it."""
        for disk in self.resources.pop(key).get("disks", []):
            if disk.get("autoDelete"):
                del self.resources["compute/" + disk["source"].removeprefix(SELF_LINK)]

    def _outcome(self, method: Method, key: str, resource: Json) -> Json:
        """The resource, or the operation that leads to it."""
        if not method.response.endswith("Operation"):
            return resource
        product, _, path = key.partition("/")
        place = re.match(r"projects/[^/]+(/(zones|regions|locations)/[^/]+)?", path)
        assert place, key
        where = place[0] + ("/global" if product == "compute" and not place[1] else "")
        number = next(self._numbers)
        name = f"{where}/operations/operation-{number}"
        if product == "compute":
            done: Json = {"kind": "compute#operation", "id": str(number), "name": f"operation-{number}"}
            done |= {"status": "DONE", "progress": 100, "selfLink": SELF_LINK + name, "targetLink": SELF_LINK + path}
            if place[2]:
                done[place[2].removesuffix("s")] = SELF_LINK + where
        else:
            done = {"name": name, "done": True, "response": resource}
        self._operations[f"{product}/{name}"] = (self.polls, done)
        return _pending(done) if self.polls else done

    def _look_at_operation(self, key: str) -> Json:
        if key not in self._operations:
            raise RefusedError(404, "notFound", f"{key} was not found")
        left, done = self._operations[key]
        self._operations[key] = (left - 1, done)
        return _pending(done) if left > 1 else done

    def _policy(self, request: Request) -> Json:
        """An allow policy. One that is set must be based on the last one."""
        policy = self._policies.get(request.key, {"version": 1, "etag": "BwAA", "bindings": []})
        if request.action == "setIamPolicy":
            body = request.body or {}
            given = body.get("policy", body)
            if given.get("etag", policy["etag"]) != policy["etag"]:
                raise RefusedError(409, "aborted", "There were concurrent policy changes")
            policy = self._policies[request.key] = given | {"etag": f"Bw{next(self._numbers)}"}
        return policy

    def _service_usage(self, request: Request) -> Json:
        name = request.key.rpartition("/")[2]
        short, _, domain = name.partition(".")
        if request.action == "list":
            return {"services": [_service(f"{each}.googleapis.com", enabled=True) for each in sorted(self.enabled)]}
        if request.action == "get" and domain:
            return _service(name, enabled=short in self.enabled)
        response = {}
        if request.action == "generateServiceIdentity":
            email = f"service-{PROJECT_NUMBER}@gcp-sa-{short}.iam.gserviceaccount.com"
            response = {"email": email, "uniqueId": str(next(self._numbers))}
        elif request.action in ("enable", "batchEnable"):
            names = (request.body or {}).get("serviceIds", [name])
            self.enabled |= {each.removesuffix(".googleapis.com") for each in names}
        return {"name": "operations/noop.DONE_OPERATION", "done": True, "response": response}


def _pending(done: Json) -> Json:
    return done | {"status": "RUNNING", "progress": 0} if "status" in done else {"name": done["name"], "done": False}


def _service(name: str, *, enabled: bool) -> Json:
    state = "ENABLED" if enabled else "DISABLED"
    return {"name": f"projects/{PROJECT_NUMBER}/services/{name}", "config": {"name": name}, "state": state}


def _change(resource: Json, action: str, request: Request) -> None:
    """What a method with an action of its own does to a thing; any other puts its body's fields in place."""
    body, policies = request.body or {}, resource.get("resourcePolicies", [])
    fields = {"setMetadata": "metadata", "setTags": "tags", "setScheduling": "scheduling"}
    fields["updateShieldedInstanceConfig"] = "shieldedInstanceConfig"
    if action == "addResourcePolicies":
        resource["resourcePolicies"] = [*policies, *body["resourcePolicies"]]
    elif action == "removeResourcePolicies":
        resource["resourcePolicies"] = [each for each in policies if each not in body["resourcePolicies"]]
    elif action == "setDeletionProtection":
        resource["deletionProtection"] = request.query.get("deletionProtection", "true") == "true"
    elif action in ("start", "stop"):
        resource["status"] = "RUNNING" if action == "start" else "TERMINATED"
    elif action == "setServiceAccount":
        resource["serviceAccounts"] = [body]
    elif action in fields:
        resource[fields[action]] = body | ({"fingerprint": "abc="} if action in ("setMetadata", "setTags") else {})
    else:
        resource |= body
