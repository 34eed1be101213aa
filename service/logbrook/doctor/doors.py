"""The two HTTP doors: the gateway, where events come in, and the query API, where they come out."""

import httpx

from logbrook.doctor import network
from logbrook.doctor.diagnosis import Answer, Diagnosis, NotCheckedError
from logbrook.doctor.place import ANSWER_SECONDS, Place

NO_TOKEN = "the gateway wants a token, and nothing here has one (LOGBROOK_TOKEN)"  # noqa: S105 - a sentence
NOT_OURS = Diagnosis(
    "http.unexpected",
    "Something other than Logbrook answers at the URL, or something in front of it does.",
    "Correct the URL. 403 or 404 from Google: the service lets only some members in (logbrook:queryUsers; "
    "`make outputs` has the command that opens it), or was deployed under another name.",
)
NOT_READY = Diagnosis(
    "http.not_ready",
    "The process answers, and says that it can't work.",
    "It says why. If Kafka or ClickHouse is in order above, it stands elsewhere than this doctor: look from there.",
)
TOKEN = Diagnosis(
    "gateway.token",
    "The gateway does not know the token.",
    "Make one with `logbrook token NAME`, put the entry into LOGBROOK_GATEWAY_TOKENS and restart the gateway (on GCP: "
    "`make secrets`, `make up`), and give the token to the sender as LOGBROOK_TOKEN.",
)


def gateway_address(place: Place) -> Answer:
    """Whether the gateway's port can be reached."""
    return network.reach(network.target(place.gateway, 80, "LOGBROOK_GATEWAY_URL"))


def query_address(place: Place) -> Answer:
    """Whether the query API's port can be reached."""
    return network.reach(network.target(place.query, 80, "LOGBROOK_QUERY_URL"))


def gateway_ready(place: Place) -> Answer:
    """Whether the gateway can send to Kafka."""
    return _ready(place.gateway)


def query_ready(place: Place) -> Answer:
    """Whether the query API reaches ClickHouse."""
    return _ready(place.query)


def _ready(url: str) -> Answer:
    try:
        answer = httpx.get(f"{url}/readyz", timeout=ANSWER_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        return NOT_OURS.found(f"{url}/readyz: {type(error).__name__}")
    if answer.status_code == 503:
        return NOT_READY.found(f"{url}: {answer.text.strip()[:300]}")
    return f"{url} is ready" if answer.status_code == 200 else NOT_OURS.found(f"{url}/readyz: {answer.status_code}")


def token(place: Place) -> Answer:
    """Whether the gateway takes the token: it looks at it before it complains that there is no event."""
    url, known = f"{place.gateway}/ingest", place.parts["token"]
    headers = {"authorization": f"Bearer {known}"} if known else {}
    answer = httpx.post(url, headers=headers, timeout=ANSWER_SECONDS, trust_env=False)
    if answer.status_code == 401 and not known:
        raise NotCheckedError(NO_TOKEN)
    if answer.status_code == 401:
        return TOKEN.found(f"{place.gateway}, with the token of LOGBROOK_TOKEN")
    if answer.status_code != 400:
        return NOT_OURS.found(f"{url} answers an empty request with {answer.status_code}")
    return "it takes the token" if known else "it takes events without a token"
