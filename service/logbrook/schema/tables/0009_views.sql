-- Saved views of the explorer. Each change is a row of its own, a deletion too: the one with the highest version counts,
-- and the others are its history. The user `views` may SELECT and INSERT here, and nowhere else.
CREATE TABLE IF NOT EXISTS saved_views{on_cluster}
(
    name String,
    -- From 1, one more for each change of this name.
    version UInt32,
    saved_at DateTime64(3) DEFAULT now64(3),
    saved_by String,
    owner String,
    -- JSON: `View` in query/answers.py.
    document String,
    is_deleted Bool
)
ENGINE = {merge_tree_of_all}
ORDER BY (name, version);
