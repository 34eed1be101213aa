"""Saved views, in an append-only table that a second ClickHouse user reads and adds rows to.

Each change is one more row, with who made it and when; the newest row of a name counts.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import orjson

from logbrook import config
from logbrook.errors import RejectedError
from logbrook.query import timerange
from logbrook.query.answers import SavedView, View, ViewAnswer, ViewsAnswer
from logbrook.query.engine import connect, post
from logbrook.query.refusals import BadRequestError, NotThereError

_HISTORY = 100
_COLUMNS = "name, version, toUnixTimestamp64Milli(saved_at), saved_by, owner, is_deleted, document"
_NEWEST = "SELECT * FROM saved_views ORDER BY version DESC, saved_at DESC LIMIT 1 BY name"


class Store:
    """The connection of the user `views`; without a password there is none. `close` it before its event loop ends."""

    def __init__(self, clickhouse: config.ClickHouse, query: config.Query) -> None:
        self._database, self.query = clickhouse.database, query
        # One change at a time: nothing is written between a change's check of the newest version and its own row.
        self.changing = asyncio.Lock()
        login = replace(clickhouse, username=query.views_username, password=query.views_password)
        self._client = connect(login, query.timeout_seconds)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def rows(self, sql: str, **parameters: str) -> list[list[Any]]:
        """The rows of a SELECT."""
        named = {f"param_{name}": value for name, value in parameters.items()}
        return orjson.loads(await self._send({"default_format": "JSONCompact", **named}, sql.encode()))["data"]  # type: ignore[no-any-return]

    async def add(self, **row: Any) -> None:
        """Add a row."""
        statement = f"INSERT INTO saved_views ({', '.join(row)}) FORMAT JSONEachRow"
        await self._send({"query": statement}, orjson.dumps(row))

    async def _send(self, url: dict[str, str], content: bytes) -> bytes:
        if not self.query.views_password:
            raise NotThereError("no_views", "saved views are not set up: set LOGBROOK_QUERY_VIEWS_PASSWORD")
        return await post(self._client, {"database": self._database, **url}, content)


@dataclass(frozen=True)
class Views:
    """The saved views, for one caller; with an empty name it may only read."""

    store: Store
    caller: str

    async def all(self) -> ViewsAnswer:
        """All views that are not deleted."""
        rows = await self.store.rows(f"SELECT {_COLUMNS} FROM ({_NEWEST}) WHERE NOT is_deleted ORDER BY name")
        return ViewsAnswer(views=[_saved(row) for row in rows])

    async def one(self, name: str) -> ViewAnswer:
        """One view with its history. Raises RejectedError if there is none, or it is deleted."""
        history = await self._history(name)
        if not history or history[0].deleted:
            raise NotThereError("no_such_view", f"there is no saved view {name!r}")
        return ViewAnswer(saved=history[0], history=history)

    async def save(self, name: str, version: int, view: View) -> ViewAnswer:
        """Save the version after `version`; 0 for a new view. Raises RejectedError if `version` is not the newest."""
        async with self.store.changing:
            history = await self._unchanged(name, version)
            limits = self.store.query
            [[changes, views]] = await self.store.rows(
                f"SELECT (SELECT count() FROM saved_views), countIf(NOT is_deleted) FROM ({_NEWEST})"
            )
            if changes >= limits.max_view_changes:
                message = f"there are {changes} changes of views: raise LOGBROOK_QUERY_MAX_VIEW_CHANGES"
                raise RejectedError(422, "too_many_changes", message)
            if not version and views >= limits.max_views:
                message = f"there are {views} views: delete some, or raise LOGBROOK_QUERY_MAX_VIEWS"
                raise RejectedError(422, "too_many_views", message)
            owner = history[0].owner if version else self.caller
            return await self._add(name, history, owner, view)

    async def delete(self, name: str, version: int) -> ViewAnswer:
        """Delete a view of the caller's own; the answer has what was deleted. Raises RejectedError."""
        async with self.store.changing:
            history = await self._unchanged(name, version)
            if not version:
                raise NotThereError("no_such_view", f"there is no saved view {name!r}")
            if history[0].owner != self.caller:
                raise RejectedError(403, "not_the_owner", f"only {history[0].owner} may delete {name!r}")
            return await self._add(name, history, self.caller, history[0].view, is_deleted=True)

    async def _history(self, name: str) -> list[SavedView]:
        sql = f"SELECT {_COLUMNS} FROM saved_views WHERE name = {{name:String}}"
        rows = await self.store.rows(f"{sql} ORDER BY version DESC, saved_at DESC LIMIT {_HISTORY}", name=name)
        return [_saved(row) for row in rows]

    async def _unchanged(self, name: str, version: int) -> list[SavedView]:
        """The history. Raises RejectedError if `version` is not the newest, or the caller has no name."""
        if not self.caller:
            raise BadRequestError("no_name", "say who you are in the header Logbrook-User")
        history = await self._history(name)
        current = history[0] if history and not history[0].deleted else None
        if (current.version if current else 0) != version:
            message = f"{name!r} was deleted meanwhile"
            if current:
                message = f"{current.saved_by} saved version {current.version} of {name!r} at {current.saved_at}"
            raise RejectedError(409, "changed_meanwhile", message)
        return history

    async def _add(
        self, name: str, history: list[SavedView], owner: str, view: View, *, is_deleted: bool = False
    ) -> ViewAnswer:
        version, document = history[0].version + 1 if history else 1, msgspec.json.encode(view).decode()
        await self.store.add(
            name=name, version=version, saved_by=self.caller, owner=owner, document=document, is_deleted=is_deleted
        )
        after = await self._history(name)
        if sum(each.version == version for each in after) > 1:
            # By another process of this service, between our check and our row.
            message = f"{name!r} was saved twice at the same moment; its history has both"
            raise RejectedError(409, "changed_meanwhile", message)
        return ViewAnswer(saved=after[0], history=after)


def _saved(row: list[Any]) -> SavedView:
    name, version, saved_ms, saved_by, owner, deleted, document = row
    return SavedView(
        name=name,
        version=version,
        saved_at=timerange.rfc3339(int(saved_ms) * (timerange.SECOND // 1000)),
        saved_by=saved_by,
        owner=owner,
        deleted=deleted,
        view=msgspec.json.decode(document, type=View),
    )
