"""The shop whose logs `logbrook produce` makes up: its services, what they write, and how requests cross them.

In a body or an attribute, `<name>` is a slot that generator.py fills. Attributes are `key=value` separated by
blanks; `#` in front of a value makes it a number.
"""

from dataclasses import dataclass, field

SEVERITY_NUMBERS = {"DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}


@dataclass(frozen=True)
class Line:
    """One message template: severity, body, attributes, and the stack trace of a failure."""

    severity: str
    body: str
    attributes: str = ""
    stack: str = ""


@dataclass(frozen=True)
class Service:
    """One service: its release, what writes its logs, its number of pods, and its lines by occasion.

    `requests` are written within a trace, `background` without one, `failures` when a request goes wrong.
    """

    name: str
    version: str
    scope: str
    pods: int
    requests: tuple[Line, ...]
    background: tuple[Line, ...]
    failures: tuple[Line, ...] = field(default=())


_PYTHON_STACK = """Traceback (most recent call last):
  File "/app/{0}/views.py", line 112, in handle
    return self.service.{1}(request)
  File "/app/{0}/service.py", line 87, in {1}
    row = self.repository.get(key, timeout=self.timeout)
  File "/app/{0}/repository.py", line 41, in get
    raise {2}
{2}"""
_JAVA_STACK = """{2}
\tat com.example.shop.{0}.{1}.handle({1}.java:142)
\tat com.example.shop.{0}.{1}.lambda$submit$0({1}.java:87)
\tat java.base/java.util.concurrent.FutureTask.run(FutureTask.java:264)
\tat java.base/java.lang.Thread.run(Thread.java:840)
Caused by: java.net.SocketTimeoutException: Read timed out
\tat java.base/java.net.SocketInputStream.read(SocketInputStream.java:186)
\t... 14 more"""
_GO_STACK = """panic: {2}

goroutine <count> [running]:
main.(*{0}).{1}(0xc00018e000)
\t/src/{0}/server.go:214 +0x1d
net/http.HandlerFunc.ServeHTTP(0xc0000b4000)
\t/usr/local/go/src/net/http/server.go:2171 +0x29"""

SERVICES = (
    Service(
        "edge",
        "2.14.1",
        "nginx.access",
        6,
        (
            Line(
                "INFO",
                '<ip> "GET /products/<sku> HTTP/1.1" 200 <bytes> <ms>ms',
                "http.request.method=GET http.route=/products/{sku} url.path=/products/<sku> "
                "http.response.status_code=#200 http.response.body.size=#<bytes> client.address=<ip> duration_ms=#<ms>",
            ),
            Line(
                "INFO",
                '<ip> "POST /cart/items HTTP/1.1" 201 <bytes> <ms>ms',
                "http.request.method=POST http.route=/cart/items http.response.status_code=#201 "
                "http.response.body.size=#<bytes> client.address=<ip> user_agent.name=<agent> duration_ms=#<ms>",
            ),
            Line(
                "WARN",
                '<ip> "GET /products/<sku> HTTP/1.1" 404 <bytes> <ms>ms',
                "http.request.method=GET http.route=/products/{sku} http.response.status_code=#404 "
                "client.address=<ip> user_agent.name=<agent> duration_ms=#<ms>",
            ),
        ),
        (
            Line("INFO", "health check of <upstream> passed in <ms> ms", "upstream=<upstream> duration_ms=#<ms>"),
            Line(
                "DEBUG",
                "reused connection to <upstream>, <count> idle",
                "upstream=<upstream> connections.idle=#<count>",
            ),
            Line("WARN", "client <ip> closed the connection early", "client.address=<ip>"),
        ),
        (
            Line(
                "ERROR",
                '<ip> "POST /checkout HTTP/1.1" 502 <bytes> <slow>ms upstream <upstream> failed',
                "http.request.method=POST http.route=/checkout http.response.status_code=#502 "
                "client.address=<ip> upstream=<upstream> duration_ms=#<slow>",
            ),
        ),
    ),
    Service(
        "catalog",
        "1.31.0",
        "shop.catalog.views",
        4,
        (
            Line(
                "INFO", "product <sku> shown to <user> in <ms> ms", "product.sku=<sku> user.id=<user> duration_ms=#<ms>"
            ),
            Line("DEBUG", "cache hit for product:<sku>", "cache.hit=true cache.key=product:<sku>"),
            Line(
                "DEBUG",
                "SELECT on products took <ms> ms, <small> rows",
                "db.system=postgresql db.rows=#<small> duration_ms=#<ms>",
            ),
        ),
        (
            Line("INFO", "refreshed <count> prices in <slow> ms", "prices=#<count> duration_ms=#<slow>"),
            Line("WARN", "image of <sku> is missing, a placeholder is shown", "product.sku=<sku>"),
        ),
        (
            Line(
                "ERROR",
                "product <sku> could not be read",
                "product.sku=<sku> exception.type=TimeoutError",
                _PYTHON_STACK.format("catalog", "find_product", "TimeoutError: no connection after <slow> ms"),
            ),
        ),
    ),
    Service(
        "search",
        "3.2.7",
        "com.example.shop.search.Query",
        3,
        (
            Line(
                "INFO",
                "search '<term>' found <count> products in <ms> ms",
                "search.term=<term> search.hits=#<count> duration_ms=#<ms>",
            ),
            Line("DEBUG", "query plan for '<term>': <small> shards", "search.term=<term> search.shards=#<small>"),
        ),
        (
            Line("INFO", "merged <small> segments, <bytes> bytes", "segments=#<small> bytes=#<bytes>"),
            Line("WARN", "search '<term>' was slow: <slow> ms", "search.term=<term> duration_ms=#<slow>"),
        ),
        (
            Line(
                "ERROR",
                "shard <small> did not answer within <slow> ms",
                "search.shard=#<small> exception.type=ShardTimeoutException",
                _JAVA_STACK.format(
                    "search", "ShardReader", "com.example.shop.search.ShardTimeoutException: shard <small>"
                ),
            ),
        ),
    ),
    Service(
        "cart",
        "5.0.3",
        "cart/handler",
        3,
        (
            Line(
                "INFO",
                "added <small> x <sku> to cart <cart>",
                "cart.id=<cart> product.sku=<sku> quantity=#<small> user.id=<user>",
            ),
            Line(
                "INFO",
                "cart <cart> has <small> items, total <amount> EUR",
                "cart.id=<cart> cart.total=#<amount> user.id=<user>",
            ),
            Line("DEBUG", "redis GET cart:<cart> in <ms> ms", "db.system=redis cart.id=<cart> duration_ms=#<ms>"),
        ),
        (
            Line("INFO", "expired <count> abandoned carts", "carts=#<count>"),
            Line("WARN", "redis pool is <pct>% busy", "pool.busy_percent=#<pct>"),
        ),
        (
            Line(
                "ERROR",
                "cart <cart> could not be saved",
                "cart.id=<cart> exception.type=panic",
                _GO_STACK.format("cart", "Save", "runtime error: invalid memory address or nil pointer dereference"),
            ),
        ),
    ),
    Service(
        "recommendation",
        "0.9.12",
        "shop.recommendation.model",
        2,
        (
            Line(
                "INFO",
                "recommended <small> products to <user> in <ms> ms",
                "user.id=<user> products=#<small> duration_ms=#<ms>",
            ),
            Line("DEBUG", "features of <user> loaded, session <session>", "user.id=<user> session.id=<session>"),
        ),
        (
            Line("INFO", "model v<small> loaded, <bytes> bytes", "model.version=#<small> bytes=#<bytes>"),
            Line("WARN", "model answers are <slow> ms old", "age_ms=#<slow>"),
        ),
        (Line("WARN", "no recommendation for <user>: fell back to best sellers", "user.id=<user> fallback=true"),),
    ),
    Service(
        "identity",
        "4.4.0",
        "shop.identity.session",
        2,
        (
            Line("INFO", "user <user> logged in from <ip>", "user.id=<user> client.address=<ip> session.id=<session>"),
            Line("INFO", "session <session> renewed for <user>", "user.id=<user> session.id=<session>"),
            Line(
                "WARN",
                "wrong password for <user> from <ip>, attempt <small>",
                "user.id=<user> client.address=<ip> attempt=#<small>",
            ),
        ),
        (Line("INFO", "signing key rotated, <small> keys active", "keys=#<small>"),),
        (
            Line(
                "ERROR", "token of session <session> could not be verified: signature mismatch", "session.id=<session>"
            ),
        ),
    ),
    Service(
        "inventory",
        "2.8.5",
        "com.example.shop.inventory.Stock",
        2,
        (
            Line("INFO", "reserved <small> x <sku> in <city>", "product.sku=<sku> quantity=#<small> warehouse=<city>"),
            Line("DEBUG", "stock of <sku> in <city> is <count>", "product.sku=<sku> warehouse=<city> stock=#<count>"),
        ),
        (
            Line("WARN", "stock of <sku> is low: <small> left", "product.sku=<sku> stock=#<small>"),
            Line("INFO", "GC pause of <ms> ms, heap at <pct>%", "gc.pause_ms=#<ms> heap.percent=#<pct>"),
        ),
        (
            Line(
                "ERROR",
                "reservation of <sku> failed",
                "product.sku=<sku> exception.type=OptimisticLockException",
                _JAVA_STACK.format("inventory", "StockWriter", "jakarta.persistence.OptimisticLockException: <sku>"),
            ),
        ),
    ),
    Service(
        "checkout",
        "7.1.2",
        "shop.checkout.flow",
        3,
        (
            Line(
                "INFO",
                "order <order> placed by <user>, <amount> EUR",
                "order.id=<order> user.id=<user> order.total=#<amount>",
            ),
            Line(
                "INFO",
                "order <order>: step <small> done in <ms> ms",
                "order.id=<order> step=#<small> duration_ms=#<ms>",
            ),
        ),
        (Line("DEBUG", "outbox is empty, next look in <ms> ms", "delay_ms=#<ms>"),),
        (
            Line(
                "ERROR",
                "order <order> failed for <user>",
                "order.id=<order> user.id=<user> exception.type=PaymentDeclined",
                _PYTHON_STACK.format(
                    "checkout", "place_order", "PaymentDeclined: card of <user> refused, <amount> EUR"
                ),
            ),
            Line("FATAL", "order <order>: outbox can't be written, stopping", "order.id=<order>"),
        ),
    ),
    Service(
        "payment",
        "1.12.9",
        "com.example.shop.payment.Gateway",
        2,
        (
            Line(
                "INFO",
                "charged <amount> EUR for order <order> in <slow> ms",
                "order.id=<order> amount=#<amount> duration_ms=#<slow>",
            ),
            Line("DEBUG", "acquirer answered 00 for order <order>", "order.id=<order> acquirer.code=00"),
        ),
        (Line("INFO", "settled <count> payments, <amount> EUR", "payments=#<count> amount=#<amount>"),),
        (
            Line(
                "ERROR", "acquirer timed out after <slow> ms for order <order>", "order.id=<order> duration_ms=#<slow>"
            ),
            Line("WARN", "retry <small> of payment for order <order>", "order.id=<order> attempt=#<small>"),
        ),
    ),
    Service(
        "fraud",
        "0.4.18",
        "fraud/score",
        1,
        (
            Line(
                "INFO",
                "order <order> scored <pct> of 100 in <ms> ms",
                "order.id=<order> fraud.score=#<pct> duration_ms=#<ms>",
            ),
        ),
        (Line("INFO", "rules reloaded, <count> active", "rules=#<count>"),),
        (
            Line(
                "WARN",
                "order <order> held for review, score <pct>",
                "order.id=<order> fraud.score=#<pct> user.id=<user>",
            ),
        ),
    ),
    Service(
        "shipping",
        "2.2.2",
        "shipping/label",
        1,
        (Line("INFO", "label printed for order <order>, from <city>", "order.id=<order> warehouse=<city>"),),
        (Line("DEBUG", "carrier poll took <slow> ms, <small> parcels", "duration_ms=#<slow> parcels=#<small>"),),
        (Line("ERROR", "carrier refused order <order>: HTTP 500", "order.id=<order> http.response.status_code=#500"),),
    ),
    Service(
        "notification",
        "1.0.44",
        "shop.notification.mail",
        1,
        (
            Line(
                "INFO",
                "mail 'order received' sent to <user>",
                "order.id=<order> user.id=<user> template=order_received",
            ),
        ),
        (Line("INFO", "mail queue holds <count> messages", "queue.depth=#<count>"),),
        (Line("WARN", "mail to <user> bounced, attempt <small>", "user.id=<user> attempt=#<small>"),),
    ),
)

# Requests by falling frequency: the services that each one crosses, in order.
FLOWS = (
    ("edge", "catalog", "recommendation"),
    ("edge", "search", "catalog"),
    ("edge", "identity", "cart", "inventory"),
    ("edge", "cart", "catalog"),
    ("edge", "identity"),
    ("edge", "checkout", "cart", "inventory", "fraud", "payment", "shipping", "notification"),
)
