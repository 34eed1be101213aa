"""The tables of ClickHouse, as numbered SQL files, and how to insert into them."""

INSERT_SETTINGS: dict[str, int | str] = {
    # Parse the body in one thread, so that its rows stay in one stream of blocks.
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    # One block for the whole body: a block is what becomes a part.
    "max_insert_block_size": 1 << 30,
    "min_insert_block_size_rows": 1 << 30,
    "min_insert_block_size_bytes": 1 << 40,
    # The view multiplies rows (a message has many events): its blocks are put together again before the table.
    "min_insert_block_size_rows_for_materialized_views": 1 << 30,
    "min_insert_block_size_bytes_for_materialized_views": 1 << 40,
    # Views one after the other, in one thread.
    "parallel_view_processing": 0,
    "max_threads": 1,
    # Planning the long view costs more than a small insert itself: leave out the two most expensive steps of it.
    "optimize_and_compare_chain": 0,
    "query_plan_merge_expressions": 0,
    # An error in a view is an error of the insert, never a row left out.
    "materialized_views_ignore_errors": 0,
    # The answer comes after the part is there, and the insert is not merged with others.
    "async_insert": 0,
    "wait_end_of_query": 1,
}
"""Settings of an insert into an inlet or `arrivals` that put each of its messages into one part of otel_logs."""
