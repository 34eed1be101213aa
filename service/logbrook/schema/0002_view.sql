-- Messages to events, from top to bottom; docs/schema.md says the same in prose.
-- No step may throw, whatever bytes arrive: only functions with an answer for every input are used.
CREATE MATERIALIZED VIEW IF NOT EXISTS arrivals_view TO otel_logs AS
WITH
    -- The names that a field may have, the preferred first; compared in lower case.
    ['timestamp', '@timestamp', 'time_unix_nano', 'timeunixnano', 'time', 'ts', 'datetime', 'eventtime', 'asctime',
     'observed_timestamp', 'observedtimestamp', 'observed_time_unix_nano', 'observedtimeunixnano'] AS time_names,
    ['severity_text', 'severitytext', 'severity', 'level', 'log_level', 'loglevel', 'log.level', 'levelname',
     'level_name', 'lvl', 'levelno'] AS level_names,
    ['severity_number', 'severitynumber'] AS level_number_names,
    ['service.name', 'service_name', 'servicename', 'service', 'app', 'application', 'app_name', 'logger'] AS service_names,
    ['body', 'message', 'msg', 'log', 'text', 'event'] AS body_names,
    ['trace_id', 'traceid', 'trace.id'] AS trace_names,
    ['span_id', 'spanid', 'span.id'] AS span_names,
    ['trace_flags', 'traceflags'] AS flags_names,
    ['event_name', 'eventname', 'event.name'] AS event_name_names,
    ['resource_schema_url', 'resourceschemaurl'] AS resource_schema_url_names,
    ['resource', 'scope', 'attributes'] AS object_names,
    arrayConcat(time_names, level_names, level_number_names, service_names, body_names, trace_names, span_names,
        flags_names, event_name_names, resource_schema_url_names, object_names) AS all_names,
    -- Each name has a bit, in the order above: a field's are neighbours, its preferred name has the lowest.
    arrayMap(place -> bitShiftLeft(1::UInt64, place), range(length(all_names))) AS all_bits,
    length(time_names) AS to_time,
    to_time + length(level_names) AS to_level,
    to_level + length(level_number_names) AS to_level_number,
    to_level_number + length(service_names) AS to_service,
    to_service + length(body_names) AS to_body,
    to_body + length(trace_names) AS to_trace,
    to_trace + length(span_names) AS to_span,
    to_span + length(flags_names) AS to_flags,
    to_flags + length(event_name_names) AS to_event_name,
    to_event_name + length(resource_schema_url_names) AS to_resource_schema_url,
    toUInt64(bitShiftLeft(1::UInt64, to_time) - 1) AS time_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_level) - bitShiftLeft(1::UInt64, to_time)) AS level_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_level_number) - bitShiftLeft(1::UInt64, to_level)) AS level_number_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_service) - bitShiftLeft(1::UInt64, to_level_number)) AS service_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_body) - bitShiftLeft(1::UInt64, to_service)) AS body_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_trace) - bitShiftLeft(1::UInt64, to_body)) AS trace_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_span) - bitShiftLeft(1::UInt64, to_trace)) AS span_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_flags) - bitShiftLeft(1::UInt64, to_span)) AS flags_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_event_name) - bitShiftLeft(1::UInt64, to_flags)) AS event_name_mask,
    toUInt64(bitShiftLeft(1::UInt64, to_resource_schema_url) - bitShiftLeft(1::UInt64, to_event_name)) AS resource_schema_url_mask,
    bitShiftLeft(1::UInt64, to_resource_schema_url) AS resource_bit,
    bitShiftLeft(1::UInt64, to_resource_schema_url + 1) AS scope_bit,
    bitShiftLeft(1::UInt64, to_resource_schema_url + 2) AS attributes_bit,
    -- Objects that are not flattened: body, message, msg, and those with a column of their own.
    bitShiftLeft(7::UInt64, to_service) AS body_objects_mask,
    bitOr(body_objects_mask, bitShiftLeft(7::UInt64, to_resource_schema_url)) AS whole_mask,
    bitShiftLeft(1::UInt64, to_level - 1) AS python_level_bit,
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
    -- Outside 1980 to 2099 a clock or a unit is wrong.
    315532800000000000 AS earliest,
    4102444799999999999 AS latest,

split AS
(
    -- What kind of message it is.
    SELECT
        topic,
        topic_id,
        partition,
        offset,
        timestamp_ms,
        source,
        idempotency_key,
        payload,
        trimBoth(payload, ' \t\r\n\xEF\xBB\xBF') AS trimmed,
        if(startsWith(trimmed, '{') AND position(trimmed, '\n') > 0,
            arrayFilter(line -> trimBoth(line, ' \t\r') != '', splitByChar('\n', payload)),
            []) AS lines,
        if(match(trimmed, '^\\[[ \t\r\n]*[{\\]]'), JSONType(payload) = 'Array', false) AS is_array
    FROM arrivals
),

events AS
(
    -- A message's events: lines, elements of an array, or the message itself.
    SELECT
        topic,
        topic_id,
        partition,
        offset,
        timestamp_ms,
        source,
        idempotency_key,
        multiIf(
            empty(lines), if(is_array, JSONExtractArrayRaw(payload), []),
            isValidJSON(lines[1]), lines,
            isValidJSON(payload), [],
            arrayExists(line -> startsWith(trimLeft(line, ' \t'), '{') AND isValidJSON(line), lines), lines,
            []) AS parts,
        if(empty(parts), [payload], parts) AS found,
        multiIf(
            trimmed = '', 'empty message',
            is_array AND empty(parts), 'empty array',
            NOT is_array AND match(trimmed, '^\\[[ \t\r\n]*\\{'), 'invalid JSON',
            '') AS split_error
    FROM split
),

parsed AS
(
    -- One row an event; a JSON object as its keys and values, all as text.
    SELECT
        topic,
        topic_id,
        partition,
        offset,
        if(timestamp_ms BETWEEN intDiv(earliest, 1000000) AND intDiv(latest, 1000000), timestamp_ms,
            toUnixTimestamp64Milli(now64(3))) * 1000000 AS arrived,
        source,
        idempotency_key,
        split_error,
        number,
        event,
        startsWith(trimLeft(event, ' \t\r\n\xEF\xBB\xBF'), '{') AS looks_like_json,
        if(looks_like_json, JSONExtract(event, 'Map(String, String)'), map()) AS pairs
    FROM events
    ARRAY JOIN found AS event, arrayEnumerate(found) AS number
),

keyed AS
(
    SELECT
        *,
        mapKeys(pairs) AS keys,
        mapValues(pairs) AS values,
        arrayMap(key -> transform(lower(key), all_names, all_bits, 0), keys) AS key_bits,
        if(empty(pairs) AND looks_like_json, isValidJSON(event), looks_like_json) AS is_json
    FROM parsed
),

objects AS
(
    -- The objects of an OpenTelemetry event.
    SELECT
        *,
        if(has(key_bits, resource_bit), values[indexOf(key_bits, resource_bit)], '') AS resource_text,
        if(has(key_bits, scope_bit), values[indexOf(key_bits, scope_bit)], '') AS scope_text,
        if(has(key_bits, attributes_bit), values[indexOf(key_bits, attributes_bit)], '') AS attributes_text
    FROM keyed
),

opened AS
(
    SELECT
        *,
        startsWith(resource_text, '{') AS has_resource,
        startsWith(scope_text, '{') AS has_scope,
        startsWith(attributes_text, '{') AS has_attributes,
        if(has_resource, JSONExtract(resource_text, 'Map(String, String)'), map()) AS plain_resource,
        if(has_scope, JSONExtract(scope_text, 'Map(String, String)'), map()) AS scope,
        if(has_attributes, JSONExtract(attributes_text, 'Map(String, String)'), map()) AS plain_attributes
    FROM objects
),

named AS
(
    SELECT
        *,
        arrayExists((bit, value) -> startsWith(value, '{') AND bitAnd(bit, whole_mask) = 0, key_bits, values)
            OR arrayExists(value -> startsWith(value, '{'), mapValues(plain_resource))
            OR arrayExists(value -> startsWith(value, '{'), mapValues(plain_attributes)) AS nested
    FROM opened
),

-- Nested values (rare) are parsed again, with their types visible, a level at a time into (place, key, raw value).
-- Places: 0 top, 1 attributes, 2 resource, 3 a body, which stays whole.
level_1 AS
(
    SELECT
        *,
        if(nested, arrayFlatten(arrayMap((pair, bit) -> multiIf(
                bitAnd(bit, body_objects_mask) != 0, [(3, pair.1, pair.2)],
                bitAnd(bit, whole_mask) = 0 OR NOT startsWith(pair.2, '{'), [(0, pair.1, pair.2)],
                bit = scope_bit, [],
                arrayMap(inner -> (if(bit = resource_bit, 2, 1), inner.1, inner.2), JSONExtractKeysAndValuesRaw(pair.2))),
            JSONExtractKeysAndValuesRaw(event), key_bits)), []) AS leaves_1
    FROM named
),

level_2 AS
(
    SELECT
        *,
        if(nested, arrayFlatten(arrayMap(leaf -> if(leaf.1 = 3 OR NOT startsWith(leaf.3, '{') OR leaf.3 = '{}', [leaf],
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2), JSONExtractKeysAndValuesRaw(leaf.3))), leaves_1)), []) AS leaves_2
    FROM level_1
),

level_3 AS
(
    SELECT
        *,
        if(nested, arrayFlatten(arrayMap(leaf -> if(leaf.1 = 3 OR NOT startsWith(leaf.3, '{') OR leaf.3 = '{}', [leaf],
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2), JSONExtractKeysAndValuesRaw(leaf.3))), leaves_2)), []) AS leaves_3
    FROM level_2
),

level_4 AS
(
    SELECT
        *,
        if(nested, arrayFlatten(arrayMap(leaf -> if(leaf.1 = 3 OR NOT startsWith(leaf.3, '{') OR leaf.3 = '{}', [leaf],
            arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2), JSONExtractKeysAndValuesRaw(leaf.3))), leaves_3)), []) AS leaves_4
    FROM level_3
),

leaves AS
(
    SELECT
        *,
        if(nested, arrayMap(leaf -> (leaf.1, leaf.2, multiIf(
            startsWith(leaf.3, '"'), JSONExtractString(leaf.3), leaf.3 = 'null', '', leaf.3)), leaves_4), []) AS leaves_as_text
    FROM level_4
),

placed AS
(
    SELECT
        *,
        if(nested, arrayFilter(leaf -> leaf.1 IN (0, 3), leaves_as_text), []) AS top_leaves,
        if(nested, arrayFilter(leaf -> leaf.1 = 1, leaves_as_text), []) AS attribute_leaves,
        if(nested, arrayFilter(leaf -> leaf.1 = 2, leaves_as_text), []) AS resource_leaves
    FROM leaves
),

flattened AS
(
    SELECT
        *,
        if(nested, top_leaves.2, keys) AS top_keys,
        if(nested, top_leaves.3, values) AS top_values,
        if(nested, attribute_leaves.2, mapKeys(plain_attributes)) AS attribute_keys,
        if(nested, attribute_leaves.3, mapValues(plain_attributes)) AS attribute_values,
        if(nested, mapFromArrays(resource_leaves.2, resource_leaves.3), plain_resource) AS resource,
        if(nested, arrayMap(key -> transform(lower(key), all_names, all_bits, 0), top_leaves.2), key_bits) AS name_bits
    FROM placed
),

-- Which names are there, a bit each; for each field the lowest of its bits, which is the preferred name.
seen AS
(
    SELECT
        *,
        arrayMap((bit, value) -> if(value = '', 0, bit), name_bits, top_values) AS bits,
        arrayReduce('groupBitOr', bits) AS seen_bits
    FROM flattened
),

candidates AS
(
    SELECT
        *,
        bitAnd(seen_bits, time_mask) AS time_bits,
        bitAnd(seen_bits, level_mask) AS level_bits,
        bitAnd(seen_bits, level_number_mask) AS level_number_bits,
        bitAnd(seen_bits, service_mask) AS service_bits,
        bitAnd(seen_bits, body_mask) AS body_bits,
        bitAnd(seen_bits, trace_mask) AS trace_bits,
        bitAnd(seen_bits, span_mask) AS span_bits,
        bitAnd(seen_bits, flags_mask) AS flags_bits,
        bitAnd(seen_bits, event_name_mask) AS event_name_bits,
        bitAnd(seen_bits, resource_schema_url_mask) AS resource_schema_url_bits
    FROM seen
),

preferred AS
(
    SELECT
        *,
        bitAnd(time_bits, bitNot(time_bits) + 1) AS time_bit,
        bitAnd(level_bits, bitNot(level_bits) + 1) AS level_bit,
        bitAnd(level_number_bits, bitNot(level_number_bits) + 1) AS level_number_bit,
        bitAnd(service_bits, bitNot(service_bits) + 1) AS service_bit,
        bitAnd(body_bits, bitNot(body_bits) + 1) AS body_bit,
        bitAnd(trace_bits, bitNot(trace_bits) + 1) AS trace_bit,
        bitAnd(span_bits, bitNot(span_bits) + 1) AS span_bit,
        bitAnd(flags_bits, bitNot(flags_bits) + 1) AS flags_bit,
        bitAnd(event_name_bits, bitNot(event_name_bits) + 1) AS event_name_bit,
        bitAnd(resource_schema_url_bits, bitNot(resource_schema_url_bits) + 1) AS resource_schema_url_bit
    FROM candidates
),

chosen AS
(
    SELECT
        *,
        if(time_bit = 0, '', top_values[indexOf(bits, time_bit)]) AS time_value,
        if(level_bit = 0, '', top_values[indexOf(bits, level_bit)]) AS level_value,
        if(level_number_bit = 0, '', top_values[indexOf(bits, level_number_bit)]) AS level_number_value,
        if(service_bit = 0, '', top_values[indexOf(bits, service_bit)]) AS service_value,
        if(body_bit = 0, if(is_json, '', event), top_values[indexOf(bits, body_bit)]) AS body,
        if(trace_bit = 0, '', top_values[indexOf(bits, trace_bit)]) AS trace_value,
        if(span_bit = 0, '', top_values[indexOf(bits, span_bit)]) AS span_value,
        if(flags_bit = 0, '', top_values[indexOf(bits, flags_bit)]) AS flags_value,
        if(event_name_bit = 0, '', top_values[indexOf(bits, event_name_bit)]) AS event_name,
        if(resource_schema_url_bit = 0, '', top_values[indexOf(bits, resource_schema_url_bit)]) AS resource_schema_url
    FROM preferred
),

-- What the values mean.
read AS
(
    SELECT
        *,
        toInt64OrZero(time_value) AS time_integer,
        if(time_value = '' OR time_integer != 0, NULL, toDecimal128OrNull(time_value, 9)) AS time_decimal,
        toUInt8OrZero(level_number_value) AS level_number_given,
        if(level_bit = python_level_bit, toUInt16OrZero(level_value), 0) AS python_level,
        if(trace_value = '', '', lower(replaceAll(trace_value, '-', ''))) AS trace_hex,
        lower(span_value) AS span_hex,
        toUInt8OrNull(flags_value) AS flags_number
    FROM chosen
),

checked AS
(
    SELECT
        *,
        multiIf(
            time_value = '', 0,
            time_integer != 0, time_integer * multiIf(
                abs(time_integer) < 100000000000, 1000000000, abs(time_integer) < 100000000000000, 1000000,
                abs(time_integer) < 100000000000000000, 1000, 1),
            time_decimal IS NOT NULL, ifNull(accurateCastOrNull(least(time_decimal, toDecimal128(10000000000000000000, 9)) * multiIf(
                abs(time_decimal) < 100000000000, 1000000000, abs(time_decimal) < 100000000000000, 1000000,
                abs(time_decimal) < 100000000000000000, 1000, 1), 'Int64'), 0),
            match(time_value, '^(?:\\d{4}[-/]\\d\\d[-/]\\d\\d|[A-Z][a-z]{2}[ ,])'),
                ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(replaceOne(time_value, ',', '.'), 9, 'UTC')), 0),
            0) AS field_time,
        if(level_number_given <= 24, level_number_given, 0) AS level_number,
        multiIf(
            level_value = '', 0,
            level_bit = python_level_bit, multiIf(python_level >= 50, 21, python_level >= 40, 17, python_level >= 30, 13,
                python_level >= 20, 9, python_level >= 10, 5, 0),
            transform(lower(level_value), level_values, level_meanings, 0)) AS level_known,
        trace_value != '' AND NOT match(trace_hex, '^(?:[0-9a-f]{16}|[0-9a-f]{32})$') AS trace_bad,
        span_value != '' AND NOT match(span_hex, '^[0-9a-f]{16}$') AS span_bad,
        flags_value != '' AND flags_number IS NULL AS flags_bad
    FROM read
),

usable AS
(
    SELECT
        *,
        field_time BETWEEN earliest AND latest AS time_usable,
        level_known > 0 OR level_number > 0 AS level_usable
    FROM checked
),

understood AS
(
    SELECT
        *,
        -- Bits of the names that became a column; every other key is left over for LogAttributes.
        bitOr(bitOr(bitOr(
            bitOr(if(time_usable, time_bit, 0), if(level_usable, level_bit, 0)),
            bitOr(if(level_number > 0 OR level_number_value = '0', level_number_bit, 0), if(resource['service.name'] = '', service_bit, 0))),
            bitOr(bitOr(if(trace_bad, 0, trace_bit), if(span_bad, 0, span_bit)), bitOr(if(flags_bad, 0, flags_bit), body_bit))),
            bitOr(bitOr(event_name_bit, resource_schema_url_bit),
            bitOr(if(has_resource, resource_bit, 0), bitOr(if(has_scope, scope_bit, 0), if(has_attributes, attributes_bit, 0))))) AS taken,
        NOT (time_usable AND level_usable) AS needs_text,
        if(NOT (time_usable AND level_usable), substring(body, 1, 300), '') AS head
    FROM usable
),

-- Where fields say no time or no level: what the text says in the usual places of the common formats.
timed AS
(
    SELECT
        *,
        arrayMap((name_bit, bit) -> name_bit = 0 OR bitAnd(bit, bitNot(taken)) != 0, name_bits, bits) AS left_over,
        multiIf(
            NOT needs_text, '',
            match(head, '^(?:<\\d{1,3}>\\d? ?)?(?:\\S{1,100} )?(?:\\w+=)?["\\[(]?\\d{4}[-/]\\d\\d[-/]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d'),
                extract(head, '\\d{4}[-/]\\d\\d[-/]\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?(?: ?(?:Z|UTC|[-+]\\d\\d:?\\d\\d))?'),
            match(head, '^[\\[(]?\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d'),
                extract(head, '\\d\\d/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?'),
            match(head, '^\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3,9} '),
                extract(head, '^\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3,9}'),
            match(head, '^\\[?[A-Z][a-z]{2} [A-Z][a-z]{2} [ \\d]?\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? \\d{4}\\b'),
                extract(head, '[A-Z][a-z]{2} [ \\d]?\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? \\d{4}'),
            match(head, '^\\S+ \\S+ \\S+ \\[\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d [-+]\\d{4}\\]'),
                extract(head, '\\d\\d/[A-Z][a-z]{2}/\\d{4}:\\d\\d:\\d\\d:\\d\\d [-+]\\d{4}'),
            match(head, '^(?:<\\d{1,3}>)?[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})? '),
                extract(head, '[A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?'),
            match(head, '^[IWEF]\\d{4} \\d\\d:\\d\\d:\\d\\d\\.\\d{6} '),
                extract(head, '^[IWEF](\\d{4} \\d\\d:\\d\\d:\\d\\d\\.\\d{6})'),
            '') AS time_text,
        if(startsWith(head, '<'), toUInt16OrZero(extract(head, '^<(\\d{1,3})>[^ ]')), 999) AS syslog_priority,
        toYear(fromUnixTimestamp64Nano(arrived, 'UTC')) AS year
    FROM understood
),

phrased AS
(
    SELECT
        *,
        -- In a form that the date parser reads; %s stands for a year that is not there.
        multiIf(
            time_text = '', '',
            match(time_text, '^\\d{4}[-/]'), replaceOne(time_text, ',', '.'),
            match(time_text, '^\\d\\d/\\d\\d/\\d\\d '), replaceRegexpOne(time_text, '^(\\d\\d)/(\\d\\d)/(\\d\\d) ([\\d:]+)[,.]?', '20\\1-\\2-\\3 \\4.0'),
            match(time_text, '^\\d\\d-\\d\\d '), concat('%s-', time_text),
            match(time_text, '^\\d{4} '), replaceRegexpOne(time_text, '^(\\d\\d)(\\d\\d)', '%s-\\1-\\2'),
            match(time_text, '^\\d\\d/[A-Z]'), replaceRegexpOne(time_text, '^(\\d\\d)/(\\w+)/(\\d{4}):(\\S+)', '\\1 \\2 \\3 \\4'),
            match(time_text, ' \\d{4}$'), replaceRegexpOne(time_text, '^(\\w+) +(\\d+) (\\S+) (\\d+)$', '\\2 \\1 \\4 \\3'),
            replaceRegexpOne(time_text, '^(\\w+) +(\\d+) (\\S+)$', '\\2 \\1 %s \\3')) AS time_pattern,
        if(time_text = '', head, substring(head, position(head, time_text) + length(time_text))) AS after_time
    FROM timed
),

dated AS
(
    SELECT
        *,
        if(time_text = '', 0, ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(
            replaceOne(time_pattern, '%s', toString(year)), 9, 'UTC')), 0)) AS time_this_year,
        multiIf(
            NOT needs_text, '',
            syslog_priority < 192, toString(syslog_priority % 8),
            match(head, '^[IWEF]\\d{4} \\d\\d:'), substring(head, 1, 1),
            match(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?[A-Za-z]+'),
                extract(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?([A-Za-z]+)'),
            match(time_text, '^\\d\\d-\\d\\d '), extract(after_time, '^ +\\d+ +\\d+ ([VDIWEF]) '),
            time_text != '', arrayStringConcat(extractGroups(after_time, '^["\\])|, \\t]*(?:(?:\\d+|\\[[^\\]]*\\]|\\([^)]*\\)|-+|\\||[\\w.$/-]+ +-) *){0,5}?(?:[\\[<(]?(?:\\w+:)?((?i)TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRIT|CRITICAL|ALERT|FATAL|EMERG|PANIC) *[\\]>):|]|(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRIT|CRITICAL|ALERT|FATAL|EMERG|PANIC)(?:\\s|$))')),
            arrayStringConcat(extractGroups(head, '^(?:[\\[<(]?((?i)TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRIT|CRITICAL|ALERT|FATAL|EMERG|PANIC) *[\\]>):|]|(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|CRIT|CRITICAL|ALERT|FATAL|EMERG|PANIC)(?:\\s|$))'))) AS level_text,
        multiIf(
            is_json, '',
            match(head, '^<\\d{1,3}>\\d \\S+ \\S+ \\S'), extract(head, '^<\\d{1,3}>\\d \\S+ \\S+ (\\S+)'),
            match(time_text, '^[A-Z][a-z]{2} [ \\d]\\d [\\d:.]+$'), extract(after_time, '^ \\S+ ([\\w.@/-]+)(?:\\[\\d+\\])?:'),
            '') AS program
    FROM phrased
),

inferred AS
(
    SELECT
        *,
        multiIf(
            time_text = '', 0,
            position(time_pattern, '%s') > 0 AND (time_this_year = 0 OR time_this_year > arrived + 86400000000000),
                ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(
                    replaceOne(time_pattern, '%s', toString(year - 1)), 9, 'UTC')), 0),
            time_this_year) AS text_time,
        transform(lower(level_text), level_values, level_meanings, 0) AS text_level
    FROM dated
)

SELECT
    fromUnixTimestamp64Nano(multiIf(time_usable, field_time, text_time BETWEEN earliest AND latest, text_time, arrived), 'UTC') AS Timestamp,
    if(trace_bad OR trace_hex IN ('', '0000000000000000', '00000000000000000000000000000000'), '', leftPad(trace_hex, 32, '0')) AS TraceId,
    if(span_bad OR span_hex = '0000000000000000', '', span_hex) AS SpanId,
    ifNull(flags_number, 0) AS TraceFlags,
    toUInt8(multiIf(level_number > 0, level_number, level_known > 0, level_known, text_level)) AS SeverityNumber,
    multiIf(
        level_known > 0, level_texts[level_known],
        level_number > 0 AND level_value != '', level_value,
        level_texts[SeverityNumber]) AS SeverityText,
    multiIf(resource['service.name'] != '', resource['service.name'], is_json, service_value, program = '-', '', program) AS ServiceName,
    body AS Body,
    resource_schema_url AS ResourceSchemaUrl,
    resource AS ResourceAttributes,
    scope['schema_url'] AS ScopeSchemaUrl,
    scope['name'] AS ScopeName,
    scope['version'] AS ScopeVersion,
    if(has_scope, mapConcat(
        mapFilter((key, value) -> key NOT IN ('name', 'version', 'schema_url', 'attributes'), scope),
        if(startsWith(scope['attributes'], '{'), JSONExtract(scope['attributes'], 'Map(String, String)'),
            mapFilter((key, value) -> key = 'attributes', scope))), map()) AS ScopeAttributes,
    mapFromArrays(
        arrayConcat(attribute_keys, arrayFilter((key, left) -> left, top_keys, left_over)),
        arrayConcat(attribute_values, arrayFilter((value, left) -> left, top_values, left_over))) AS LogAttributes,
    event_name AS EventName,
    now64(3) AS IngestedAt,
    topic AS KafkaTopic,
    topic_id AS KafkaTopicId,
    partition AS KafkaPartition,
    offset AS KafkaOffset,
    toUInt32(number - 1) AS KafkaIndex,
    source AS Source,
    idempotency_key AS IdempotencyKey,
    arrayStringConcat(arrayFilter(reason -> reason != '', [
        split_error,
        if(looks_like_json AND NOT is_json, 'invalid JSON', ''),
        if(time_value != '' AND NOT time_usable, 'unusable timestamp', ''),
        if(level_value != '' AND NOT level_usable, 'unusable severity', ''),
        if(level_number_value NOT IN ('', '0') AND level_number = 0, 'unusable severity number', ''),
        if(trace_bad, 'unusable trace id', ''),
        if(span_bad, 'unusable span id', ''),
        if(flags_bad, 'unusable trace flags', '')]), ', ') AS ParseError
FROM inferred;
