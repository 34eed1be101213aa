-- Messages to events, and events to keys and values: the first stage of the long way. parsed_view.sql goes on from there.
-- docs/schema.md says what the three stages do in prose, and docs/parser.md how to change them.
--
-- No step may throw, whatever bytes arrive: only functions with an answer for every input are used, and none relies on
-- `if` to keep an argument away from it. Steps are many and short because ClickHouse expands an alias wherever it is
-- used: an alias of an alias of an alias in one SELECT costs seconds before the first row is looked at.
--
-- Names in braces are filled in from vocabulary.toml by parsing.py.
CREATE MATERIALIZED VIEW IF NOT EXISTS fields_view{on_cluster} TO {database}.fields AS
WITH
    {shared: numbered},
    {shared: without_colors},
    {shared: start_of},

    -- As text, a string '{"a":1}' looks like an object. So a string that starts with a brace gets a mark before it, a
    -- character that Unicode keeps out of text, which is taken away once objects are flattened.
    '﷐' AS mark,
    '"﷐{' AS marked_brace,
    texts -> arrayMap(text -> replaceAll(text, mark, ''), texts) AS without_marks,

    -- An object as its keys and values, all as text; empty for what is not an object.
    text -> JSONExtract(text, 'Map(String, String)') AS pairs_of,
    -- JSON that other parsers take: halves of surrogate pairs become U+FFFD, numbers beyond a double a text.
    text -> arrayStringConcat(arrayMap(token -> multiIf(
            startsWith(token, '"'), arrayStringConcat(arrayMap(part -> if(match(part, '^\\\\u[dD][89a-fA-F]..$'), '\\ufffd', part),
                extractAll(token, '(?s)\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\\\u[0-9a-fA-F]{4}|\\\\.|[^\\\\]+'))),
            isInfinite(toFloat64OrZero(token)), concat('"', token, '"'),
            token),
        extractAll(text, '(?s)"(?:[^"\\\\]|\\\\.)*"|[-+.0-9a-zA-Z]+|.'))) AS mended,
    value -> startsWith(value, '{') AS is_object,
    -- A leaf is (place, key, value). An object becomes its own leaves, whose keys begin with the object's.
    leaf -> if(is_object(leaf.3) AND notEmpty(pairs_of(leaf.3)),
        arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2), pairs_of(leaf.3)::Array(Tuple(String, String))),
        [leaf]) AS leaves_of,
    leaves -> arrayFlatten(arrayMap(leaf -> leaves_of(leaf), leaves)) AS one_level_down,

    -- Of the objects at the top some stay whole: a body is JSON; resource, scope, and attributes have columns.
    (key, value) -> NOT is_object(value) OR lower(key) IN {whole_names} AS stays,
    (nested, texts, staying, leaves) -> if(nested, arrayConcat(staying, leaves), texts) AS rejoined,

-- What kind of message it is.
split AS
(
    SELECT
        (topic, topic_id, partition, offset, source, idempotency_key) AS message,
        timestamp_ms,
        payload,
        -- Most messages are one line that starts with a brace: nothing below looks at those.
        startsWith(payload, '{') AND position(payload, '\n') = 0 AS plain,
        if(plain, '', trimBoth(payload, ' \t\r\n\xEF\xBB\xBF')) AS trimmed,
        if(startsWith(trimmed, '{') AND position(trimmed, '\n') > 0,
            arrayFilter(line -> trimBoth(line, ' \t\r') != '', splitByChar('\n',
                if(position(payload, '\r\n') > 0, replaceAll(payload, '\r\n', '\n'), payload))),
            []) AS lines,
        if(match(trimmed, '^\\[[ \t\r\n]*[{\\]]'), JSONType(payload) = 'Array', false) AS is_array
    FROM {database}.rest
),

-- A message's events: lines, elements of an array, or the message itself.
divided AS
(
    SELECT
        message,
        timestamp_ms,
        payload,
        multiIf(
            empty(lines), if(is_array, JSONExtractArrayRaw(payload), []),
            -- Whoever sends lines counts them: whether they are valid plays no part.
            arrayAll(line -> startsWith(line, '{'), lines), lines,
            isValidJSON(payload), [],
            arrayExists(line -> startsWith(trimLeft(line, ' \t'), '{') AND isValidJSON(line), lines), lines,
            []) AS parts,
        multiIf(
            plain, '',
            trimmed = '', 'empty message',
            is_array AND empty(parts), 'empty array',
            NOT is_array AND match(trimmed, '^\\[[ \t\r\n]*\\{'), 'invalid JSON',
            '') AS split_error
    FROM split
),

events AS
(
    SELECT
        message,
        if(timestamp_ms BETWEEN 315532800000 AND 4102444799999, timestamp_ms,
            toUnixTimestamp64Milli(now64(3))) * 1000000 AS arrived,
        if(empty(parts), [payload], parts) AS all_events,
        -- Lines of text, as the gateway and the producer write them: one without a time has that of the line before it.
        length(parts) > 1 AND match(payload, '^\\{(?:"service":"(?:[^"\\\\]|\\\\.)*",)?"body":"') AS are_lines,
        if(are_lines, arrayFill(text -> match(text, {time_form}),
            arrayMap(part -> start_of(without_colors(JSONExtractString(part, 'body'))), parts)), arrayMap(each -> '', all_events)) AS time_lines,
        split_error
    FROM divided
),

-- One row an event; a JSON object as its keys and values, all as text.
parsed AS
(
    SELECT
        (message, arrived, number) AS origin,
        split_error,
        event,
        time_line,
        startsWith(event, '{') OR startsWith(trimLeft(event, ' \t\r\n\xEF\xBB\xBF'), '{') AS looks_like_json,
        if(looks_like_json, pairs_of(replaceAll(event, '"{', marked_brace)), map()) AS found_pairs,
        if(looks_like_json AND empty(found_pairs) AND NOT isValidJSON(event) AND isValidUTF8(event),
            pairs_of(replaceAll(mended(event), '"{', marked_brace)), found_pairs) AS outer_pairs
    FROM events
    ARRAY JOIN all_events AS event, arrayEnumerate(all_events) AS number, time_lines AS time_line
),

-- A body that is a text of JSON: Docker's, say, around an application's.
wrapped AS
(
    SELECT
        * EXCEPT (found_pairs),
        position(event, '"{') > 0 AS marked,
        if(empty(outer_pairs) AND looks_like_json, isValidJSON(event), looks_like_json) AS is_json,
        if(marked, arrayFirst((key, value) -> startsWith(value, mark) AND lower(key) IN {names_of: body},
            mapKeys(outer_pairs), mapValues(outer_pairs)), '') AS wrapping_key,
        if(wrapping_key = '', map(), pairs_of(substring(outer_pairs[wrapping_key], length(mark) + 1))) AS inner_pairs
    FROM parsed
),

-- The keys of such a body beside those around it; the body itself where it has none.
unwrapped AS
(
    SELECT
        * EXCEPT (outer_pairs, inner_pairs, wrapping_key),
        if(empty(inner_pairs), outer_pairs, mapConcat(inner_pairs,
            mapFilter((key, value) -> key != wrapping_key OR NOT startsWith(value, mark)
                OR NOT arrayExists(inner -> lower(inner) IN {names_of: body}, mapKeys(inner_pairs)), outer_pairs))) AS pairs
    FROM wrapped
),

keyed AS
(
    SELECT
        * EXCEPT (pairs),
        mapKeys(pairs) AS keys,
        mapValues(pairs) AS values,
        arrayMap(key -> lower(key), mapKeys(pairs)) AS lower_keys
    FROM unwrapped
),

-- The objects of an OpenTelemetry event.
objects AS
(
    SELECT
        * EXCEPT (lower_keys),
        values[indexOf(lower_keys, 'resource')] AS resource_text,
        values[indexOf(lower_keys, 'scope')] AS scope_text,
        values[indexOf(lower_keys, 'attributes')] AS attributes_text,
        pairs_of(resource_text) AS resource_pairs,
        pairs_of(scope_text) AS scope,
        pairs_of(attributes_text) AS attribute_pairs
    FROM keyed
),

inside AS
(
    SELECT
        * EXCEPT (resource_text, scope_text, attributes_text, resource_pairs, attribute_pairs),
        mapKeys(resource_pairs) AS resource_keys,
        mapValues(resource_pairs) AS resource_values,
        mapKeys(attribute_pairs) AS attribute_keys,
        mapValues(attribute_pairs) AS attribute_values,
        -- What gave nothing is left over: not every text with a brace in front is an object.
        (notEmpty(resource_pairs) OR resource_text = '{}', notEmpty(scope) OR scope_text = '{}',
            notEmpty(attribute_pairs) OR attributes_text = '{}') AS opened,
        -- Counting braces is quick, and says for most events that nothing is nested.
        countSubstrings(event, '{') > 1 + is_object(resource_text) + is_object(attributes_text)
            AND (arrayExists((key, value) -> NOT stays(key, value), keys, values)
            OR arrayExists(value -> is_object(value), resource_values)
            OR arrayExists(value -> is_object(value), attribute_values)) AS nested
    FROM objects
),

-- Nested objects are opened four levels deep. Place 0 is the top, 1 the attributes, 2 the resource.
nests AS
(
    SELECT
        *,
        if(nested, one_level_down(one_level_down(one_level_down(one_level_down(arrayFilter(leaf -> is_object(leaf.3),
            arrayConcat(
                arrayMap((key, value) -> (0, key, if(stays(key, value), '', value)), keys, values),
                arrayMap((key, value) -> (1, key, value), attribute_keys, attribute_values),
                arrayMap((key, value) -> (2, key, value), resource_keys, resource_values))))))), []) AS leaves
    FROM inside
),

placed AS
(
    SELECT
        * EXCEPT (leaves),
        if(nested, arrayFilter(leaf -> leaf.1 = 0, leaves), []) AS top_leaves,
        if(nested, arrayFilter(leaf -> leaf.1 = 1, leaves), []) AS attribute_leaves,
        if(nested, arrayFilter(leaf -> leaf.1 = 2, leaves), []) AS resource_leaves
    FROM nests
),

-- Together again: what was not nested, and the leaves of what was.
flattened AS
(
    SELECT
        * EXCEPT (nested, keys, values, top_leaves, resource_keys, resource_values, resource_leaves,
            attribute_keys, attribute_values, attribute_leaves),
        rejoined(nested, keys, arrayFilter((key, value) -> stays(key, value), keys, values), top_leaves.2) AS marked_keys,
        rejoined(nested, values, arrayFilter((value, key) -> stays(key, value), values, keys), top_leaves.3) AS marked_values,
        rejoined(nested, resource_keys,
            arrayFilter((key, value) -> NOT is_object(value), resource_keys, resource_values), resource_leaves.2) AS marked_resource_keys,
        rejoined(nested, resource_values, arrayFilter(value -> NOT is_object(value), resource_values), resource_leaves.3) AS marked_resource_values,
        rejoined(nested, attribute_keys,
            arrayFilter((key, value) -> NOT is_object(value), attribute_keys, attribute_values), attribute_leaves.2) AS marked_attribute_keys,
        rejoined(nested, attribute_values, arrayFilter(value -> NOT is_object(value), attribute_values), attribute_leaves.3) AS marked_attribute_values
    FROM placed
),

unmarked AS
(
    SELECT
        * EXCEPT (marked, marked_keys, marked_values, marked_resource_keys, marked_resource_values, marked_attribute_keys, marked_attribute_values),
        if(marked, without_marks(marked_keys), marked_keys) AS top_keys,
        if(marked, without_marks(marked_values), marked_values) AS top_values,
        if(marked, without_marks(marked_resource_keys), marked_resource_keys) AS resource_keys,
        if(marked, without_marks(marked_resource_values), marked_resource_values) AS resource_values,
        if(marked, without_marks(marked_attribute_keys), marked_attribute_keys) AS attribute_keys,
        if(marked, without_marks(marked_attribute_values), marked_attribute_values) AS attribute_values
    FROM flattened
)

SELECT
    origin,
    split_error,
    event,
    time_line,
    looks_like_json,
    is_json,
    opened,
    top_keys,
    top_values,
    attribute_keys,
    attribute_values,
    resource_values[indexOf(resource_keys, 'service.name')] AS resource_service,
    mapFromArrays(numbered(resource_keys), resource_values) AS ResourceAttributes,
    replaceAll(scope['schema_url'], mark, '') AS ScopeSchemaUrl,
    replaceAll(scope['name'], mark, '') AS ScopeName,
    replaceAll(scope['version'], mark, '') AS ScopeVersion,
    mapApply((key, value) -> (replaceAll(key, mark, ''), replaceAll(value, mark, '')), mapConcat(
        mapFilter((key, value) -> key NOT IN ('name', 'version', 'schema_url') AND NOT (key = 'attributes' AND startsWith(value, '{')), scope),
        pairs_of(scope['attributes']))) AS ScopeAttributes
FROM unmarked;
