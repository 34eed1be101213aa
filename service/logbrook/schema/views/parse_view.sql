-- Messages to events, from top to bottom; docs/schema.md says the same in prose, and docs/parser.md how to change it.
--
-- No step may throw, whatever bytes arrive: only functions with an answer for every input are used, and none relies on
-- `if` to keep an argument away from it. Steps are many and short because ClickHouse expands an alias wherever it is
-- used: an alias of an alias of an alias in one SELECT costs seconds before the first row is looked at.
--
-- Names in braces are filled in from vocabulary.toml by parsing.py.
CREATE MATERIALIZED VIEW IF NOT EXISTS parse_view{on_cluster} TO {database}.otel_logs{local} AS
WITH
    -- The names that a field may have, a bit for each; of each field the bits of its names.
    {names} AS names,
    arrayMap(place -> bitShiftLeft(1::UInt64, place), range(length(names))) AS bits_of_names,
    {masks} AS masks,
    -- Of names that are none of these, and of values that are empty.
    0x8000000000000000 AS other_bit,
    0x4000000000000000 AS empty_bit,
    key -> transform(lower(key), names, bits_of_names, other_bit) AS bit_of,

    -- As text, a string '{"a":1}' looks like an object. So a string that starts with a brace gets a mark before it, a
    -- character that Unicode keeps out of text, which is taken away once objects are flattened.
    '﷐' AS mark,
    '"﷐{' AS marked_brace,
    texts -> arrayMap(text -> replaceAll(text, mark, ''), texts) AS unmarked,

    -- An object as its keys and values, all as text; empty for what is not an object.
    text -> JSONExtract(text, 'Map(String, String)') AS pairs_of,
    value -> startsWith(value, '{') AS is_object,
    -- A leaf is (place, key, value). An object becomes its own leaves, whose keys begin with the object's.
    leaf -> if(is_object(leaf.3) AND notEmpty(pairs_of(leaf.3)),
        arrayMap(inner -> (leaf.1, concat(leaf.2, '.', inner.1), inner.2), pairs_of(leaf.3)::Array(Tuple(String, String))),
        [leaf]) AS leaves_of,
    leaves -> arrayFlatten(arrayMap(leaf -> leaves_of(leaf), leaves)) AS one_level_down,

    -- Of the objects at the top some stay whole: a body is JSON; resource, scope, and attributes have columns.
    (value, bit) -> NOT is_object(value) OR bitAnd(bit, {whole_bits}) != 0 AS stays,
    (nested, marked, texts, staying, leaves) -> multiIf(
        nested, unmarked(arrayConcat(staying, leaves)), marked, unmarked(texts), texts) AS rejoined,

    -- Outside 1980 to 2099 a clock or a unit is wrong.
    315532800000000000 AS earliest,
    4102444799999999999 AS latest,
    -- Numbers of seconds, milliseconds, microseconds, or nanoseconds: each is too small to be one of the next.
    number -> multiIf(number <= 4102444799, 1000000000, number <= 4102444799999, 1000000, number <= 4102444799999999, 1000, 1) AS unit_of,
    text -> ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(text, 9, 'UTC')), 0) AS nanoseconds_of,

    {level_values} AS level_values,
    {level_meanings} AS level_meanings,
    text -> transform(lower(text), level_values, level_meanings, 0) AS level_of,
    {level_words} AS level_words,
    {level_texts} AS level_texts,

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
        if(looks_like_json, pairs_of(replaceAll(event, '"{', marked_brace)), map()) AS pairs
    FROM events
    ARRAY JOIN all_events AS event, arrayEnumerate(all_events) AS number
),

keyed AS
(
    SELECT
        * EXCEPT (pairs),
        mapKeys(pairs) AS keys,
        mapValues(pairs) AS values,
        arrayMap(key -> bit_of(key), keys) AS key_bits,
        if(empty(pairs) AND looks_like_json, isValidJSON(event), looks_like_json) AS is_json
    FROM parsed
),

-- The objects of an OpenTelemetry event.
objects AS
(
    SELECT
        *,
        if(has(key_bits, {bit_of: resource}), values[indexOf(key_bits, {bit_of: resource})], '') AS resource_text,
        if(has(key_bits, {bit_of: scope}), values[indexOf(key_bits, {bit_of: scope})], '') AS scope_text,
        if(has(key_bits, {bit_of: attributes}), values[indexOf(key_bits, {bit_of: attributes})], '') AS attributes_text,
        pairs_of(resource_text) AS resource_pairs,
        pairs_of(scope_text) AS scope,
        pairs_of(attributes_text) AS attribute_pairs
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
        bitOr(bitOr(
            if(notEmpty(resource_pairs) OR resource_text = '{}', {bit_of: resource}, 0),
            if(notEmpty(scope) OR scope_text = '{}', {bit_of: scope}, 0)),
            if(notEmpty(attribute_pairs) OR attributes_text = '{}', {bit_of: attributes}, 0)) AS opened_bits,
        -- Counting braces is quick, and says for most events that nothing is nested.
        countSubstrings(event, '{') > 1 + is_object(resource_text) + is_object(attributes_text)
            AND (arrayExists((value, bit) -> NOT stays(value, bit), values, key_bits)
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
                arrayMap((key, value, bit) -> (0, key, if(stays(value, bit), '', value)), keys, values, key_bits),
                arrayMap((key, value) -> (1, key, value), attribute_keys, attribute_values),
                arrayMap((key, value) -> (2, key, value), resource_keys, resource_values))))))), []) AS leaves
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
        rejoined(nested, marked, keys,
            arrayFilter((key, value, bit) -> stays(value, bit), keys, values, key_bits), top_leaves.2) AS top_keys,
        rejoined(nested, marked, values,
            arrayFilter((value, bit) -> stays(value, bit), values, key_bits), top_leaves.3) AS top_values,
        if(nested, arrayConcat(
            arrayFilter((bit, value) -> stays(value, bit), key_bits, values),
            arrayMap(key -> bit_of(key), top_leaves.2)), key_bits) AS name_bits,
        rejoined(nested, marked, resource_keys,
            arrayFilter((key, value) -> NOT is_object(value), resource_keys, resource_values), resource_leaves.2) AS all_resource_keys,
        rejoined(nested, marked, resource_values,
            arrayFilter(value -> NOT is_object(value), resource_values), resource_leaves.3) AS all_resource_values,
        rejoined(nested, marked, attribute_keys,
            arrayFilter((key, value) -> NOT is_object(value), attribute_keys, attribute_values), attribute_leaves.2) AS all_attribute_keys,
        rejoined(nested, marked, attribute_values,
            arrayFilter(value -> NOT is_object(value), attribute_values), attribute_leaves.3) AS all_attribute_values
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
        {value_of: time} AS time_value,
        {value_of: level} AS level_value,
        {value_of: level_number} AS level_number_value,
        {value_of: service} AS service_value,
        all_resource_values[indexOf(all_resource_keys, 'service.name')] AS resource_service,
        if(is_json, {value_of: body}, event) AS body,
        lower({value_of: trace}) AS trace_value,
        lower({value_of: span}) AS span_value,
        {value_of: flags} AS flags_value,
        {value_of: event_name} AS event_name,
        {value_of: schema_url} AS resource_schema_url
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
            time_integer != 0, time_integer * unit_of(time_integer),
            time_decimal != 0, toInt64(least(time_decimal * unit_of(time_decimal), toDecimal128(9000000000000000000, 9))),
            match(time_value, '^\\d{4}[-/]\\d\\d[-/]\\d\\d'), nanoseconds_of(replaceOne(time_value, ',', '.')),
            match(time_value, '^[A-Z][a-z]{2}[ ,]'), nanoseconds_of(time_value),
            0) AS field_time,
        if(toUInt8OrZero(level_number_value) <= 24, toUInt8OrZero(level_number_value), 0) AS level_number,
        multiIf(
            level_value = '', 0,
            {bit_found: level} = {bit_of: levelno}, [0, 5, 9, 13, 17, 21][least(intDiv(toUInt16OrZero(level_value), 10), 5) + 1],
            level_of(level_value)) AS level_known,
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
        bitOr(bitOr(opened_bits, empty_bit), arraySum(arrayMap((bit, used) -> if(used, bit, 0), field_bits, {used:
            time = time_usable,
            level = level_usable,
            level_number = level_number > 0 OR level_number_value = '0',
            service = resource_service = '',
            body = true,
            trace = NOT trace_bad,
            span = NOT span_bad,
            flags = NOT flags_bad,
            event_name = true,
            schema_url = true}))) AS taken_bits
    FROM checked
),

-- Where fields say no time or no level: what the text says in the usual places of the common formats.
timed AS
(
    SELECT
        * EXCEPT (name_bits, bits, field_bits, taken_bits, opened_bits, top_keys, top_values),
        arrayFilter((key, bit) -> bitAnd(bit, taken_bits) = 0, top_keys, bits) AS other_keys,
        arrayFilter((value, bit) -> bitAnd(bit, taken_bits) = 0, top_values, bits) AS other_values,
        -- The number of the first format that fits, 0 for none.
        {time_format} AS time_format
    FROM taken
),

stamped AS
(
    SELECT
        *,
        {time_text} AS time_text,
        if(time_format = 0, head, substring(head, position(head, time_text) + length(time_text))) AS after_time,
        fromUnixTimestamp64Nano(origin.2, 'UTC') AS arrival
    FROM timed
),

-- The time in a form that the date parser reads, and the level where the format has it.
dated AS
(
    SELECT
        * EXCEPT (time_text, after_time),
        {time_replaced} AS stamp,
        if(time_format = 0, 0, nanoseconds_of(concat({time_completed: arrival}, stamp))) AS time_found,
        multiIf(
            head = '', '',
            match(head, '^<(?:\\d\\d?|1[0-8]\\d|19[01])>[^ ]'), toString(toUInt16OrZero(extract(head, '^<(\\d+)>')) % 8),
            time_format IN {formats_with: level}, {extracted: level},
            match(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?[A-Za-z]+'),
                extract(head, '(?:^|[ ,{])(?:level|lvl|severity|loglevel|log_level)="?([A-Za-z]+)'),
            time_format = 0, '',
            -- Behind the time: numbers, brackets, dashes and a logger's name between dashes may come first.
            arrayStringConcat(extractGroups(after_time, concat(
                '^["\\])|, \\t]*(?:(?:\\d+|\\[[^\\]]*\\]|\\([^)]*\\)|\\{[^}]*\\}|-+|\\||[\\w.$/-]+ +-) *){0,5}?',
                '(?:[\\[<(]?(?:\\w+:)?((?i)', level_words, ')(?: *[\\]>):|]|\\t)|(', level_words, ')(?:\\s|$))')))) AS level_after_time,
        if(head = '', '', arrayStringConcat(extractGroups(head, concat(
            '^(?:[\\[<(]?((?i)', level_words, ')(?: *[\\]>):|]|\\t)|(', level_words, ')(?:\\s|$))')))) AS level_at_start,
        multiIf(
            time_format IN {formats_with: service}, {extracted: service},
            startsWith(head, '<'), extract(head, '^<\\d{1,3}>\\d \\S+ \\S+ (\\S+)'),
            '') AS program
    FROM stamped
),

inferred AS
(
    SELECT
        * EXCEPT (head, time_format, stamp, time_found, arrival, level_after_time, level_at_start),
        -- What would lie ahead without its year is of the year before; without its date, of the day before.
        multiIf(
            time_format IN {formats_without: date}, time_found - if(time_found > origin.2 + 43200000000000, 86400000000000, 0),
            time_format NOT IN {formats_without: year}, time_found,
            if(time_found = 0, false, time_found <= origin.2 + 86400000000000), time_found,
            nanoseconds_of(concat({time_completed: subtractYears(arrival, 1)}, stamp))) AS text_time,
        level_of(if(level_after_time = '', level_at_start, level_after_time)) AS text_level
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
            pairs_of(scope['attributes']))) AS scope_attributes,
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
