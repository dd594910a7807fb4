"""What Schemathesis has to know of the shop: how one logs in, what a file looks like, and what cannot be played through."""

import requests
import schemathesis
from hypothesis import strategies

# With room for every rule: a letter first, eight characters, none of the common ones.
CREDENTIALS = {"name": "visitor", "password": "correct horse"}


@schemathesis.auth(refresh_interval=60)
class LogIn:
    """One user, so that what one test leaves behind is there for others; a session of its own for each token, since a test
    may log out."""

    def get(self, case, context):
        shop = case.operation.base_url.rstrip("/")
        requests.post(f"{shop}/register", json=CREDENTIALS, timeout=10)
        session = requests.post(f"{shop}/login", json=CREDENTIALS, timeout=10)
        session.raise_for_status()
        return session.json()["token"]

    def set(self, case, token, context):
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {token}"


# Rows with and without what the query asks for, and anything else.
rows = strategies.lists(strategies.sampled_from(["k,v", "a,1", "b,2.5", "a,x", '"a,b",-3', "a", ""]), max_size=20)
anything = strategies.binary(max_size=200)
for media_type in ["text/csv", "application/x-ndjson"]:
    schemathesis.openapi.media_type(media_type, rows.map(lambda lines: "\n".join(lines).encode()) | anything)


@schemathesis.serializer("text/csv", "application/x-ndjson")
def as_it_is(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.deserializer("text/csv", "image/svg+xml")
def as_text(context, response):
    return response.content.decode()
