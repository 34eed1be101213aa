"""The result of a query with stages, row by row, and hints about what is not in it."""

from logbrook.query import counts, hints, language, timerange
from logbrook.query.answers import QueryAnswer, QueryColumn
from logbrook.query.engine import Engine, Spent, Statement
from logbrook.query.pipeline import LISTED_CHARACTERS
from logbrook.query.selection import Selection
from logbrook.query.stages import Stages
from logbrook.query.timerange import SECOND

# For a query that lists events and has no limit.
_LISTED_EVENTS = 1000


async def table(engine: Engine, selection: Selection, text: str, limit: int) -> QueryAnswer:
    """At most `limit` rows, and at most LOGBROOK_QUERY_MAX_RESULT_ROWS. Raises RejectedError."""
    stages, spent = Stages(text, selection), Spent()
    pipeline, columns = stages.pipeline, stages.columns()
    most = min(limit, engine.query.max_result_rows)
    if stages.lists_events and pipeline.limit is None:
        most = min(most, _LISTED_EVENTS)
    pipeline.take(most + 1)
    sql = pipeline.statement(columns)
    # At most as large as an answer to SQL: no other request is answered while this one is assembled.
    statement = Statement(sql, pipeline.parameters.values, most_bytes=engine.query.max_sql_result_bytes)
    found = await engine.rows(statement, spent)
    rows, truncated = found[:most], len(found) > most
    node, end = language.split(text)
    notes = hints.of_query(text[:end], node)
    texts = {value for row in rows for value in row if isinstance(value, str)}
    if truncated:
        notes.append(f"Only the first {most:,} rows are here: filter, or group by less.")
    if any(len(each) == LISTED_CHARACTERS for each in texts):
        notes.append(f"Texts are cut at {LISTED_CHARACTERS:,} characters.")
    if pipeline.step and counts.OTHER in texts:
        notes.append(f"`{counts.OTHER}` is all but the {counts.MAX_SERIES} with the most events.")
    unfilled = [all(value in (None, "", 0) for value in column) for column in zip(*rows, strict=True)]
    if not rows or any(unfilled):
        notes += await hints.of_fields(engine, selection, stages.named, spent)
    if all(unfilled):
        notes += await hints.of_nothing(engine, selection, spent)
    return QueryAnswer(
        columns=[QueryColumn(name=each.name, kind=each.kind) for each in columns],
        rows=rows,
        truncated=truncated,
        step_seconds=pipeline.step / SECOND if pipeline.step else None,
        hints=list(dict.fromkeys(notes)),
        from_=timerange.rfc3339(pipeline.period.start),
        to=timerange.rfc3339(pipeline.period.end),
        sql=pipeline.parameters.inlined(sql),
        cost=await engine.cost(spent),
    )
