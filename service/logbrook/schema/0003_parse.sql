-- Messages to events, from top to bottom; docs/schema.md says the same in prose.
--
-- No step may throw, whatever bytes arrive: only functions with an answer for every input are used, and none relies on
-- `if` to keep an argument away from it. Steps are many and short because ClickHouse expands an alias wherever it is
-- used: an alias of an alias of an alias in one SELECT costs seconds before the first row is looked at.
CREATE MATERIALIZED VIEW IF NOT EXISTS parse_view TO otel_logs AS
WITH
    -- The names that a field may have, the preferred first; compared in lower case. Each has a bit, in this order.
    [
        'timestamp', '@timestamp', 'time_unix_nano', 'timeunixnano', 'time', 'ts', 'datetime', 'eventtime', 'asctime',
        'observed_timestamp', 'observedtimestamp', 'observed_time_unix_nano', 'observedtimeunixnano',
        'severity_text', 'severitytext', 'severity', 'level', 'log_level', 'loglevel', 'log.level', 'levelname',
        'level_name', 'lvl', 'levelno',
        'severity_number', 'severitynumber',
        'service.name', 'service_name', 'servicename', 'service', 'app', 'application', 'app_name', 'logger',
        'body', 'message', 'msg', 'log', 'text', 'event',
        'trace_id', 'traceid', 'trace.id',
        'span_id', 'spanid', 'span.id',
        'trace_flags', 'traceflags',
        'event_name', 'eventname', 'event.name',
        'resource_schema_url', 'resourceschemaurl',
        'resource', 'scope', 'attributes'
    ] AS names,
    arrayMap(place -> bitShiftLeft(1::UInt64, place), range(length(names))) AS bits_of_names,
    -- The bits of each field's names: time, level, level's number, service, body, trace, span, flags, event, schema URL.
    [0x1fff, 0xffe000, 0x3000000, 0x3fc000000, 0xfc00000000, 0x70000000000, 0x380000000000, 0xc00000000000,
     0x7000000000000, 0x18000000000000] AS masks,
    0x800000 AS levelno_bit,
    0x20000000000000 AS resource_bit,
    0x40000000000000 AS scope_bit,
    0x80000000000000 AS attributes_bit,
    -- Of names that are none of these, and of values that are empty.
    0x8000000000000000 AS other_bit,
    0x4000000000000000 AS empty_bit,
    -- Objects that are not flattened: body, message and msg stay JSON; resource, scope and attributes have columns.
    0xe0001c00000000 AS whole_mask,
    -- Values of a level, by name or number: OpenTelemetry's 1 to 24, pino's and bunyan's 10 to 60, syslog's 0 to 7.
    ['trace', 'trc', 'verbose', 'finest', 'finer', 'v', 't', 'debug', 'dbg', 'fine', 'd', 'info', 'inf', 'information',
     'informational', 'i', 'notice', 'note', 'n', 'warn', 'warning', 'wrn', 'w', 'error', 'err', 'eror', 'e', 'severe',
     'critical', 'crit', 'c', 'fatal', 'ftl', 'f', 'dpanic', 'alert', 'panic', 'emerg', 'emergency',
     '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '10', '11', '12', '13', '14', '15', '16', '17', '18', '19',
     '20', '21', '22', '23', '24', '30', '40', '50', '60'] AS level_values,
    [1, 1, 1, 1, 2, 1, 1, 5, 5, 5, 5, 9, 9, 9,
     9, 9, 10, 10, 10, 13, 13, 13, 13, 17, 17, 17, 17, 17,
     21, 21, 21, 21, 21, 21, 21, 22, 24, 24, 24,
     24, 22, 21, 17, 13, 10, 9, 5, 8, 9, 1, 11, 12, 13, 14, 15, 16, 17, 18, 19,
     5, 21, 22, 23, 24, 9, 13, 17, 21] AS level_meanings,
    ['TRACE', 'TRACE', 'TRACE', 'TRACE', 'DEBUG', 'DEBUG', 'DEBUG', 'DEBUG', 'INFO', 'INFO', 'INFO', 'INFO',
     'WARN', 'WARN', 'WARN', 'WARN', 'ERROR', 'ERROR', 'ERROR', 'ERROR', 'FATAL', 'FATAL', 'FATAL', 'FATAL'] AS level_texts,
    -- As text, a string '{"a":1}' looks like an object. So a string that starts with a brace gets a mark before it, a
    -- character that Unicode keeps out of text, which is taken away once objects are flattened.
    '﷐' AS mark,
    '"﷐{' AS marked_brace,
    -- Words that are a level in a text: in capitals before a blank, in any case before a bracket, colon, bar or tab.
    'TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRIT|CRITICAL|ALERT|FATAL|EMERG|PANIC' AS level_words,
    -- Outside 1980 to 2099 a clock or a unit is wrong.
    315532800000000000 AS earliest,
    4102444799999999999 AS latest,
    -- Each name of an attribute costs memory wherever it is counted. Of too many, the first stay, and the rest is JSON.
    {max_event_names} AS most_names,
    pairs -> if(length(pairs) <= most_names, pairs, mapFromArrays(
        arrayPushBack(arraySlice(mapKeys(pairs), 1, most_names), 'more_attributes'),
        arrayPushBack(arraySlice(mapValues(pairs), 1, most_names), toJSONString(mapFromArrays(
            arraySlice(mapKeys(pairs), most_names + 1), arraySlice(mapValues(pairs), most_names + 1)))))) AS bounded,

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
    FROM rest
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
            isValidJSON(lines[1]), lines,
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
        startsWith(event, '{') OR startsWith(trimLeft(event, ' \t\r\n\xEF\xBB\xBF'), '{') AS looks_like_json,
        if(looks_like_json, JSONExtract(replaceAll(event, '"{', marked_brace), 'Map(String, String)'), map()) AS pairs
    FROM events
    ARRAY JOIN all_events AS event, arrayEnumerate(all_events) AS number
),

keyed AS
(
    SELECT
        * EXCEPT (pairs),
        mapKeys(pairs) AS keys,
        mapValues(pairs) AS values,
        arrayMap(key -> transform(lower(key), names, bits_of_names, other_bit), keys) AS key_bits,
        if(empty(pairs) AND looks_like_json, isValidJSON(event), looks_like_json) AS is_json
    FROM parsed
),

-- The objects of an OpenTelemetry event.
objects AS
(
    SELECT
        *,
        if(has(key_bits, resource_bit), values[indexOf(key_bits, resource_bit)], '') AS resource_text,
        if(has(key_bits, scope_bit), values[indexOf(key_bits, scope_bit)], '') AS scope_text,
        if(has(key_bits, attributes_bit), values[indexOf(key_bits, attributes_bit)], '') AS attributes_text,
        JSONExtract(resource_text, 'Map(String, String)') AS resource_pairs,
        JSONExtract(scope_text, 'Map(String, String)') AS scope,
        JSONExtract(attributes_text, 'Map(String, String)') AS attribute_pairs
    FROM keyed
),

opened AS
(
    SELECT
        * EXCEPT (resource_text, scope_text, attributes_text, resource_pairs, attribute_pairs),
        mapKeys(resource_pairs) AS resource_keys,
        mapValues(resource_pairs) AS resource_values,
        mapKeys(attribute_pairs) AS attribute_keys,
        mapValues(attribute_pairs) AS attribute_values,
        position(event, '"{') > 0 AS marked,
        -- What gave nothing is left over: not every text with a brace in front is an object.
        bitOr(
            if(notEmpty(resource_pairs) OR resource_text = '{}', resource_bit, 0), bitOr(
            if(notEmpty(scope) OR scope_text = '{}', scope_bit, 0),
            if(notEmpty(attribute_pairs) OR attributes_text = '{}', attributes_bit, 0))) AS opened_bits,
        -- Counting braces is quick, and says for most events that nothing is nested.
        countSubstrings(event, '{') > 1 + startsWith(resource_text, '{') + startsWith(attributes_text, '{')
            AND (arrayExists((value, bit) -> startsWith(value, '{') AND bitAnd(bit, whole_mask) = 0, values, key_bits)
            OR arrayExists(value -> startsWith(value, '{'), resource_values)
            OR arrayExists(value -> startsWith(value, '{'), attribute_values)) AS nested
    FROM objects
),

-- Nested values are parsed in turn, four levels from the innermost call outwards, into (place, key, value): place 0 is
-- the top, 1 the attributes, 2 the resource.
nests AS
(
    SELECT
        *,
        if(NOT nested, [],
        arrayFlatten(arrayMap(leaf -> if(startsWith(leaf.3, '{') AND notEmpty(JSONExtract(leaf.3, 'Map(String, String)')),
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2),
                JSONExtract(leaf.3, 'Map(String, String)')::Array(Tuple(String, String))), [leaf]),
        arrayFlatten(arrayMap(leaf -> if(startsWith(leaf.3, '{') AND notEmpty(JSONExtract(leaf.3, 'Map(String, String)')),
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2),
                JSONExtract(leaf.3, 'Map(String, String)')::Array(Tuple(String, String))), [leaf]),
        arrayFlatten(arrayMap(leaf -> if(startsWith(leaf.3, '{') AND notEmpty(JSONExtract(leaf.3, 'Map(String, String)')),
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2),
                JSONExtract(leaf.3, 'Map(String, String)')::Array(Tuple(String, String))), [leaf]),
        arrayFlatten(arrayMap(leaf -> if(startsWith(leaf.3, '{') AND notEmpty(JSONExtract(leaf.3, 'Map(String, String)')),
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2),
                JSONExtract(leaf.3, 'Map(String, String)')::Array(Tuple(String, String))), [leaf]),
        arrayFilter(leaf -> startsWith(leaf.3, '{'), arrayConcat(
            arrayMap((key, value, bit) -> (0, key, if(bitAnd(bit, whole_mask) = 0, value, '')), keys, values, key_bits),
            arrayMap((key, value) -> (1, key, value), attribute_keys, attribute_values),
            arrayMap((key, value) -> (2, key, value), resource_keys, resource_values)))))))))))) AS leaves
    FROM opened
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
        * EXCEPT (nested, marked, keys, values, key_bits, top_leaves, resource_keys, resource_values, resource_leaves,
            attribute_keys, attribute_values, attribute_leaves),
        multiIf(
            nested, arrayMap(key -> replaceAll(key, mark, ''), arrayConcat(
                arrayFilter((key, value, bit) -> NOT startsWith(value, '{') OR bitAnd(bit, whole_mask) != 0, keys, values, key_bits),
                top_leaves.2)),
            marked, arrayMap(key -> replaceAll(key, mark, ''), keys),
            keys) AS top_keys,
        multiIf(
            nested, arrayMap(value -> replaceAll(value, mark, ''), arrayConcat(
                arrayFilter((value, bit) -> NOT startsWith(value, '{') OR bitAnd(bit, whole_mask) != 0, values, key_bits),
                top_leaves.3)),
            marked, arrayMap(value -> replaceAll(value, mark, ''), values),
            values) AS top_values,
        if(nested, arrayConcat(
            arrayFilter((bit, value) -> NOT startsWith(value, '{') OR bitAnd(bit, whole_mask) != 0, key_bits, values),
            arrayMap(key -> transform(lower(key), names, bits_of_names, other_bit), top_leaves.2)), key_bits) AS name_bits,
        multiIf(
            nested, arrayMap(key -> replaceAll(key, mark, ''), arrayConcat(
                arrayFilter((key, value) -> NOT startsWith(value, '{'), resource_keys, resource_values),
                resource_leaves.2)),
            marked, arrayMap(key -> replaceAll(key, mark, ''), resource_keys),
            resource_keys) AS all_resource_keys,
        multiIf(
            nested, arrayMap(value -> replaceAll(value, mark, ''), arrayConcat(
                arrayFilter(value -> NOT startsWith(value, '{'), resource_values),
                resource_leaves.3)),
            marked, arrayMap(value -> replaceAll(value, mark, ''), resource_values),
            resource_values) AS all_resource_values,
        multiIf(
            nested, arrayMap(key -> replaceAll(key, mark, ''), arrayConcat(
                arrayFilter((key, value) -> NOT startsWith(value, '{'), attribute_keys, attribute_values),
                attribute_leaves.2)),
            marked, arrayMap(key -> replaceAll(key, mark, ''), attribute_keys),
            attribute_keys) AS all_attribute_keys,
        multiIf(
            nested, arrayMap(value -> replaceAll(value, mark, ''), arrayConcat(
                arrayFilter(value -> NOT startsWith(value, '{'), attribute_values),
                attribute_leaves.3)),
            marked, arrayMap(value -> replaceAll(value, mark, ''), attribute_values),
            attribute_values) AS all_attribute_values
    FROM placed
),

-- Which names are there, a bit each; for each field the lowest of its bits, which is the preferred name.
seen AS
(
    SELECT
        *,
        arrayMap((bit, value) -> if(value = '' AND bit != other_bit, empty_bit, bit), name_bits, top_values) AS bits,
        arrayReduce('groupBitOr', bits) AS seen_bits
    FROM flattened
),

preferred AS
(
    SELECT
        * EXCEPT (seen_bits),
        arrayMap(mask -> bitAnd(bitAnd(seen_bits, mask), bitNot(bitAnd(seen_bits, mask)) + 1), masks) AS field_bits
    FROM seen
),

chosen AS
(
    SELECT
        *,
        top_values[indexOf(bits, field_bits[1])] AS time_value,
        top_values[indexOf(bits, field_bits[2])] AS level_value,
        top_values[indexOf(bits, field_bits[3])] AS level_number_value,
        top_values[indexOf(bits, field_bits[4])] AS service_value,
        all_resource_values[indexOf(all_resource_keys, 'service.name')] AS resource_service,
        if(is_json, top_values[indexOf(bits, field_bits[5])], event) AS body,
        lower(top_values[indexOf(bits, field_bits[6])]) AS trace_value,
        lower(top_values[indexOf(bits, field_bits[7])]) AS span_value,
        top_values[indexOf(bits, field_bits[8])] AS flags_value,
        top_values[indexOf(bits, field_bits[9])] AS event_name,
        top_values[indexOf(bits, field_bits[10])] AS resource_schema_url
    FROM preferred
),

-- What the values mean; 0 and '' where they mean nothing.
understood AS
(
    SELECT
        * EXCEPT (event),
        greatest(toInt64OrZero(time_value), 0) AS time_integer,
        if(time_value = '' OR time_integer != 0, toDecimal128(0, 9), greatest(toDecimal128OrZero(time_value, 9), 0)) AS time_decimal,
        multiIf(
            time_value = '', 0,
            time_integer != 0,
                time_integer * multiIf(time_integer <= 4102444799, 1000000000, time_integer <= 4102444799999, 1000000,
                    time_integer <= 4102444799999999, 1000, 1),
            time_decimal != 0,
                toInt64(least(time_decimal * multiIf(time_decimal <= 4102444799, 1000000000, time_decimal <= 4102444799999, 1000000,
                    time_decimal <= 4102444799999999, 1000, 1), toDecimal128(9000000000000000000, 9))),
            match(time_value, '^\\d{4}[-/]\\d\\d[-/]\\d\\d'),
                ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(replaceOne(time_value, ',', '.'), 9, 'UTC')), 0),
            match(time_value, '^[A-Z][a-z]{2}[ ,]'),
                ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(time_value, 9, 'UTC')), 0),
            0) AS field_time,
        if(toUInt8OrZero(level_number_value) <= 24, toUInt8OrZero(level_number_value), 0) AS level_number,
        multiIf(
            level_value = '', 0,
            field_bits[2] = levelno_bit, [0, 5, 9, 13, 17, 21][least(intDiv(toUInt16OrZero(level_value), 10), 5) + 1],
            transform(lower(level_value), level_values, level_meanings, 0)) AS level_known,
        if(trace_value = '', '', replaceAll(trace_value, '-', '')) AS trace_hex,
        trace_value != '' AND NOT match(trace_hex, '^(?:[0-9a-f]{16}|[0-9a-f]{32})$') AS trace_bad,
        span_value != '' AND NOT match(span_value, '^[0-9a-f]{16}$') AS span_bad,
        toUInt8OrNull(flags_value) AS flags_number,
        flags_value != '' AND flags_number IS NULL AS flags_bad
    FROM chosen
),

checked AS
(
    SELECT
        * EXCEPT (time_integer, time_decimal, trace_value),
        clamp(field_time, earliest, latest) = field_time AS time_usable,
        greatest(level_known, level_number) > 0 AS level_usable,
        trace_bad + span_bad + flags_bad + notEmpty(split_error) + (looks_like_json != is_json)
            + if(time_usable, 0, time_value != '')
            + if(level_known > 0, 0, if(level_number > 0, 0, level_value != ''))
            + if(level_number > 0, 0, level_number_value NOT IN ('', '0')) AS problems
    FROM understood
),

taken AS
(
    SELECT
        *,
        if(time_usable, if(level_usable, '', substring(body, 1, 300)), substring(body, 1, 300)) AS head,
        -- Bits of the names that became a column; every other key is left over for LogAttributes.
        bitOr(bitOr(opened_bits, empty_bit), arraySum(arrayMap((bit, used) -> if(used, bit, 0), field_bits, [
            time_usable, level_usable, level_number > 0 OR level_number_value = '0', resource_service = '', true,
            NOT trace_bad, NOT span_bad, NOT flags_bad, true, true]))) AS taken_bits
    FROM checked
),

-- Where fields say no time or no level: what the text says in the usual places of the common formats.
timed AS
(
    SELECT
        * EXCEPT (name_bits, bits, field_bits, taken_bits, opened_bits, top_keys, top_values),
        arrayFilter((key, bit) -> bitAnd(bit, taken_bits) = 0, top_keys, bits) AS other_keys,
        arrayFilter((value, bit) -> bitAnd(bit, taken_bits) = 0, top_values, bits) AS other_values,
        -- The form of the time at or near the start, 0 for none; 6 and up lack the year or the date.
        multiIf(
            head = '', 0,
            -- 2024-05-06T12:00:00.123Z, after a word, a key or a bracket, or the head of an RFC 5424 message
            match(head, '^(?:<\\d{1,3}>\\d? ?)?(?:\\S+ )?(?:\\w+=)?["\\[(]?\\d{4}[-/.]\\d\\d[-/.]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d'), 1,
            -- [Mon May 06 12:00:00 2024]
            match(head, '^\\[?[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]?\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? \\d{4}\\b'), 2,
            -- 1:M 06 May 2024 12:00:00.123
            match(head, '^(?:\\S+ )?\\d{1,2} [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d'), 3,
            -- 192.0.2.1 - - [06/May/2024:12:00:00 +0000]
            match(head, '^\\S+ \\S+ \\S+ \\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d [-+]\\d{4}\\]'), 4,
            -- 24/05/06 12:00:00
            match(head, '^[\\[(]?\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d'), 5,
            -- 05-06 12:00:00.123
            match(head, '^\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3,9} '), 6,
            -- <34>May  6 12:00:00
            match(head, '^(?:<\\d{1,3}>)?[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? '), 7,
            -- I0506 12:00:00.123456
            match(head, '^[IWEF]\\d{4} \\d\\d:\\d\\d:\\d\\d\\.\\d{6} '), 8,
            -- 12:00:00.123
            match(head, '^[\\[(]?\\d\\d:\\d\\d:\\d\\d[.,]\\d{3,9}[\\]) ]'), 9,
            0) AS form
    FROM taken
),

stamped AS
(
    SELECT
        *,
        multiIf(
            form = 0, '',
            form = 1, extract(head, '\\d{4}[-/.]\\d\\d[-/.]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?(?: ?(?:Z|UTC|[-+]\\d\\d:?\\d\\d))?'),
            form = 2, extract(head, '[A-Z][a-z]{2} [ \\d]?\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? \\d{4}'),
            form = 3, extract(head, '\\d{1,2} [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?'),
            form = 4, extract(head, '\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d [-+]\\d{4}'),
            form = 5, extract(head, '\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?'),
            form = 6, extract(head, '^\\S+ \\S+'),
            form = 7, extract(head, '[A-Z][a-z]{2} [ \\d]\\d [\\d:.]+'),
            form = 8, substring(head, 2, 20),
            extract(head, '[\\d:.,]+')) AS time_text,
        if(form = 0, head, substring(head, position(head, time_text) + length(time_text))) AS after_time,
        fromUnixTimestamp64Nano(origin.2, 'UTC') AS arrival
    FROM timed
),

-- The time in a form that the date parser reads, and the level where the format has it.
dated AS
(
    SELECT
        * EXCEPT (time_text, after_time),
        replaceOne(time_text, if(form = 4, ':', ','), if(form = 4, ' ', '.')) AS stamp,
        multiIf(
            form = 0, 0,
            ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(concat(multiIf(
                form = 5, '20',
                form = 6, formatDateTime(arrival, '%Y-'),
                form = 7, formatDateTime(arrival, '%Y '),
                form = 8, formatDateTime(arrival, '%Y'),
                form = 9, formatDateTime(arrival, '%F '),
                ''), stamp), 9, 'UTC')), 0)) AS time_found,
        multiIf(
            head = '', '',
            match(head, '^<(?:\\d\\d?|1[0-8]\\d|19[01])>[^ ]'), toString(toUInt16OrZero(extract(head, '^<(\\d+)>')) % 8),
            form = 8, substring(head, 1, 1),
            form = 6, extract(after_time, '^ +\\d+ +\\d+ ([VDIWEF]) '),
            match(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?[A-Za-z]+'),
                extract(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?([A-Za-z]+)'),
            form = 0, '',
            -- Behind the time: numbers, brackets, dashes and a logger's name between dashes may come first.
            arrayStringConcat(extractGroups(after_time, concat(
                '^["\\])|, \\t]*(?:(?:\\d+|\\[[^\\]]*\\]|\\([^)]*\\)|\\{[^}]*\\}|-+|\\||[\\w.$/-]+ +-) *){0,5}?',
                '(?:[\\[<(]?(?:\\w+:)?((?i)', level_words, ')(?: *[\\]>):|]|\\t)|(', level_words, ')(?:\\s|$))')))) AS level_after_time,
        if(head = '', '', arrayStringConcat(extractGroups(head, concat(
            '^(?:[\\[<(]?((?i)', level_words, ')(?: *[\\]>):|]|\\t)|(', level_words, ')(?:\\s|$))')))) AS level_at_start,
        multiIf(
            form = 7, extract(after_time, '^ \\S+ ([\\w.@/-]+)(?:\\[\\d+\\])?:'),
            startsWith(head, '<'), extract(head, '^<\\d{1,3}>\\d \\S+ \\S+ (\\S+)'),
            '') AS program
    FROM stamped
),

inferred AS
(
    SELECT
        * EXCEPT (head, form, stamp, time_found, arrival, level_after_time, level_at_start),
        -- What would lie ahead without its year is of the year before; without its date, of the day before.
        multiIf(
            form < 6, time_found,
            form = 9, time_found - if(time_found > origin.2 + 43200000000000, 86400000000000, 0),
            if(time_found = 0, false, time_found <= origin.2 + 86400000000000), time_found,
            ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(concat(
                toString(toYear(arrival) - 1), transform(form, [6, 7], ['-', ' '], ''), stamp), 9, 'UTC')), 0)) AS text_time,
        transform(lower(if(level_after_time = '', level_at_start, level_after_time)), level_values, level_meanings, 0) AS text_level
    FROM dated
),

mapped AS
(
    SELECT
        * EXCEPT (all_resource_keys, all_resource_values, all_attribute_keys, all_attribute_values, other_keys, other_values),
        mapFromArrays(all_resource_keys, all_resource_values) AS resource_attributes,
        mapFromArrays(arrayConcat(all_attribute_keys, other_keys), arrayConcat(all_attribute_values, other_values)) AS log_attributes,
        mapApply((key, value) -> (replaceAll(key, mark, ''), replaceAll(value, mark, '')), mapConcat(
            mapFilter((key, value) -> key NOT IN ('name', 'version', 'schema_url') AND NOT (key = 'attributes' AND startsWith(value, '{')), scope),
            JSONExtract(scope['attributes'], 'Map(String, String)'))) AS scope_attributes,
        greatest(length(resource_attributes), length(log_attributes), length(scope_attributes)) > most_names AS too_many_names
    FROM inferred
)

SELECT
    fromUnixTimestamp64Nano(multiIf(time_usable, field_time, clamp(text_time, earliest, latest) = text_time, text_time, origin.2), 'UTC') AS Timestamp,
    if(trace_bad OR trace_hex IN ('', '0000000000000000', '00000000000000000000000000000000'), '', leftPad(trace_hex, 32, '0')) AS TraceId,
    if(span_bad OR span_value = '0000000000000000', '', span_value) AS SpanId,
    ifNull(flags_number, 0) AS TraceFlags,
    toUInt8(multiIf(level_number > 0, level_number, level_known > 0, level_known, text_level)) AS SeverityNumber,
    multiIf(
        level_known > 0, level_texts[level_known],
        level_number > 0, if(level_value = '', level_texts[level_number], level_value),
        level_texts[text_level]) AS SeverityText,
    multiIf(resource_service != '', resource_service, service_value != '', service_value, program = '-', '', program) AS ServiceName,
    body AS Body,
    resource_schema_url AS ResourceSchemaUrl,
    bounded(resource_attributes) AS ResourceAttributes,
    replaceAll(scope['schema_url'], mark, '') AS ScopeSchemaUrl,
    replaceAll(scope['name'], mark, '') AS ScopeName,
    replaceAll(scope['version'], mark, '') AS ScopeVersion,
    bounded(scope_attributes) AS ScopeAttributes,
    bounded(log_attributes) AS LogAttributes,
    event_name AS EventName,
    now64(3) AS IngestedAt,
    origin.1.1 AS KafkaTopic,
    origin.1.2 AS KafkaTopicId,
    origin.1.3 AS KafkaPartition,
    origin.1.4 AS KafkaOffset,
    toUInt32(origin.3 - 1) AS KafkaIndex,
    origin.1.5 AS Source,
    origin.1.6 AS IdempotencyKey,
    if(problems + too_many_names = 0, '', arrayStringConcat(arrayFilter(reason -> reason != '', [
        split_error,
            if(looks_like_json != is_json, 'invalid JSON', ''),
            if(time_usable, '', if(time_value = '', '', 'unusable timestamp')),
            if(level_usable, '', if(level_value = '', '', 'unusable severity')),
            if(level_number > 0, '', if(level_number_value IN ('', '0'), '', 'unusable severity number')),
            if(trace_bad, 'unusable trace id', ''),
            if(span_bad, 'unusable span id', ''),
            if(flags_bad, 'unusable trace flags', ''),
            if(too_many_names, 'too many names', '')]), ', ')) AS ParseError
FROM mapped;
