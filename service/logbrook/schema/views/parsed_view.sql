-- Keys and values to the row of an event: the second stage of the long way. It has all that fields say; text_view.sql adds
-- what only the text says, and what was wrong, and sees only batches in which an event needs that.
CREATE MATERIALIZED VIEW IF NOT EXISTS parsed_view{on_cluster} TO {database}.parsed AS
WITH
    {shared: numbered},
    {shared: without_colors},
    {shared: start_of},
    {shared: nanoseconds_of},
    {shared: is_impossible},
    {shared: level_of},
    -- The names that a field may have are numbered: each key has the code of its name. Two codes are of no name: that of
    -- empty values, and that of all other keys.
    key -> transform(lower(key), {names}, {codes}, {other_code}) AS code_of,
    bits -> bitCount(bitAnd(bitNot(bits), bits - 1)) AS place_of_lowest,

    -- Numbers of seconds, milliseconds, microseconds, or nanoseconds: each is too small to be one of the next.
    number -> multiIf(number <= 4102444799, 1000000000, number <= 4102444799999, 1000000, number <= 4102444799999999, 1000, 1) AS unit_of,
    -- A time in the value of a field, without formats of text: numbers, and ISO 8601 with a clock that exists.
    value -> multiIf(
        value = '', 0,
        toInt64OrZero(value) > 0, toInt64OrZero(value) * unit_of(toInt64OrZero(value)),
        toDecimal128OrZero(value, 9) > 0,
            toInt64(least(toDecimal128OrZero(value, 9) * unit_of(toDecimal128OrZero(value, 9)), toDecimal128(9000000000000000000, 9))),
        match(value, '^\\d{4}[-/](?:0[1-9]|1[0-2])[-/](?:0[1-9]|[12]\\d|3[01])(?:$|[T ](?:[01]\\d|2[0-3]):[0-5]\\d(?:$|[^:\\d]|:(?:[0-5]\\d|60)(?:[.,]\\d+)?(?:Z| ?UTC| ?[-+](?:0\\d|1[0-4]):?[0-5]\\d)?$))'),
            nanoseconds_of(replaceOne(value, ',', '.')),
        0) AS time_of,
    -- Padded, in brackets, colored, named by its type, or with an offset, as Go's slog writes it, or a degree.
    value -> level_of(if(match(value, '^(?:[A-Za-z]+|\\d*)$'), value,
        extract(substring(value, 1, 100), '^(?:[\\s\\[(<{|*\']|\x1b\\[[\\d;]*m)*(?:(?i)(?:log|level|loglevel|severity)[._])?([A-Za-z]+(?: [A-Za-z]+)?|\\d+|[*#.])(?:[-+]?\\d)?(?:[\\s\\])>}|*\':.]|\x1b\\[[\\d;]*m)*$'))) AS level_in,
    {level_texts} AS level_texts,

coded AS
(
    SELECT
        *,
        arrayMap((code, value) -> if(value = '' AND code != {other_code}, {empty_code}, code),
            arrayMap(key -> code_of(key), top_keys), top_values) AS name_codes
    FROM {database}.fields
),

-- Which names are there, and for each field the preferred one of them: that with the lowest code.
preferred AS
(
    SELECT
        * EXCEPT (name_codes),
        -- Keys that fold to one name: the first is that name, and the others are attributes.
        arrayMap((code, nth) -> if(nth > 1 AND code != {empty_code}, {other_code}, code), name_codes, arrayEnumerateUniq(name_codes)) AS codes,
        arrayReduce('groupBitOr', arrayMap(code -> bitShiftLeft(toUInt128(1), code), name_codes)) AS seen_bits,
        arrayMap(mask -> place_of_lowest(bitAnd(seen_bits, mask)), {masks}) AS field_codes
    FROM coded
),

chosen AS
(
    SELECT
        * EXCEPT (resource_service, looks_like_json, seen_bits),
        -- Of times and levels all names count, the preferred first.
        arraySort(arrayFilter(code -> code {codes_of: time}, codes)) AS time_codes,
        arraySort((value, code) -> code, arrayFilter((value, code) -> code {codes_of: time}, top_values, codes),
            arrayFilter(code -> code {codes_of: time}, codes)) AS time_values,
        arraySort(arrayFilter(code -> code {codes_of: level}, codes)) AS level_codes,
        arraySort((value, code) -> code, arrayFilter((value, code) -> code {codes_of: level}, top_values, codes),
            arrayFilter(code -> code {codes_of: level}, codes)) AS level_values,
        {value_of: nanoseconds} AS nanoseconds_value,
        {value_of: level_number} AS level_number_value,
        resource_service = '' AS is_service_taken,
        -- A broken line has the service with which the producer begins it.
        multiIf(NOT is_service_taken, resource_service, looks_like_json != is_json, extract(substring(event, 1, 1000), '^\\{"service":"((?:[^"\\\\]|\\\\.)*)",'),
            {value_of: service}) AS ServiceName,
        -- Docker keeps the line end.
        if(is_json, if({code_found: body} = {code_of: log}, substring({value_of: body}, 1,
            length({value_of: body}) - endsWith({value_of: body}, '\n') - endsWith({value_of: body}, '\r\n')), {value_of: body}), event) AS whole_body,
        lower({value_of: trace}) AS trace_value,
        lower({value_of: span}) AS span_value,
        {value_of: flags} AS flags_value,
        {value_of: event_name} AS EventName,
        {value_of: schema_url} AS ResourceSchemaUrl,
        hasAny(codes, [{code_of: __realtime_timestamp}, {code_of: _source_realtime_timestamp}, {code_of: syslog_identifier}]) AS is_journald,
        looks_like_json != is_json AS is_invalid,
        whole_body = '' AND startsWith({value_of: envelope}, '[{') AS is_envelope
    FROM preferred
),

-- What the values mean; 0 and '' where they mean nothing.
understood AS
(
    SELECT
        * EXCEPT (is_journald, event, is_json),
        without_colors(whole_body) AS body,
        -- What stands for an event without a message: it is found by its words all the same.
        if(is_json AND whole_body = '', event, '') AS substitute,
        -- A day and a time of day may stand in two of them.
        arrayMap(value -> time_of(value), arrayMap(value -> if(match(value, '^\\d\\d:\\d\\d'), concat(arrayFirst(
            each -> match(each, '^\\d{4}[-/]\\d\\d[-/]\\d\\d$'), time_values), ' ', value), value), time_values)) AS time_numbers,
        arrayMap((value, code) -> multiIf(
                code = {code_of: levelno}, [0, 5, 9, 13, 17, 21][least(intDiv(toUInt16OrZero(value), 10), 5) + 1],
                code IN {shared_codes: level} AND NOT is_journald AND match(value, '^-?\\d'), 0,
                level_in(value)), level_values, level_codes) AS level_numbers,
        if(toUInt8OrZero(level_number_value) <= 24, toUInt8OrZero(level_number_value), 0) AS level_number,
        if(trace_value = '', '', replaceAll(trace_value, '-', '')) AS trace_hex,
        trace_value != '' AND NOT match(trace_hex, '^(?:[0-9a-f]{16}|[0-9a-f]{32})$') AS trace_bad,
        span_value != '' AND NOT match(span_value, '^[0-9a-f]{16}$') AS span_bad,
        toUInt8OrNull(flags_value) AS flags_number,
        flags_value != '' AND flags_number IS NULL AS flags_bad
    FROM chosen
),

-- Of several names the first whose value is understood, or may be, since it looks like one of the formats of text.
picked AS
(
    SELECT
        * EXCEPT (trace_value, trace_hex, span_value, flags_value, flags_number),
        -- Outside 1980 to 2099 a clock or a unit is wrong.
        arrayFirstIndex((number, value) -> clamp(number, 315532800000000000, origin.2 + {max_ahead_seconds} * 1000000000) = number
            -- 0001 and 1970 are what Go and Unix write for no time.
            OR (number = 0 AND match(start_of(value), {time_form}) AND NOT is_impossible(value) AND NOT match(value, '^(?:0001|1970)-01-01')), time_numbers, time_values) AS time_at,
        arrayFirstIndex(number -> number > 0, level_numbers) AS level_at,
        -- The first of all, for those who look for what was wrong.
        arrayFirst((value, code) -> code NOT IN {shared_codes: time}, time_values, time_codes) AS time_value,
        arrayFirst((value, code) -> code NOT IN {shared_codes: level}, level_values, level_codes) AS level_value,
        if(trace_bad OR trace_hex IN ('', '0000000000000000', '00000000000000000000000000000000'), '', leftPad(trace_hex, 32, '0')) AS TraceId,
        if(span_bad OR span_value = '0000000000000000', '', span_value) AS SpanId,
        ifNull(flags_number, 0) AS TraceFlags
    FROM understood
),

judged AS
(
    SELECT
        * EXCEPT (time_numbers, time_values, time_codes, level_numbers, level_values, level_codes),
        time_numbers[time_at] AS time_number,
        time_number > 0 AS time_usable,
        time_codes[time_at] AS time_code,
        if(time_at = 0, '', if(time_usable, '', start_of(time_values[time_at]))) AS time_as_text,
        level_numbers[level_at] AS level_known,
        -- A name that nobody knows stands beside a number.
        if(level_at = 0 AND level_number > 0, arrayFirst(code -> code NOT IN {shared_codes: level}, level_codes), level_codes[level_at]) AS level_code
    FROM picked
),

-- What became a column, and what is left over for LogAttributes.
settled AS
(
    SELECT
        * EXCEPT (nanoseconds_value, time_number, opened, field_codes, level_number_value, is_service_taken),
        fromUnixTimestamp64Nano(if(time_usable, time_number + if(nanoseconds_value = '', 0, least(toUInt32OrZero(nanoseconds_value), 999999999)),
            origin.2), 'UTC') AS Timestamp,
        if(time_usable AND greatest(level_known, level_number) > 0, '', start_of(body)) AS head,
        [split_error != '', is_invalid, is_envelope, NOT time_usable AND time_as_text = '' AND time_value != '',
            level_value != '' AND greatest(level_known, level_number) = 0 AND lower(level_value) NOT IN {no_levels},
            level_number = 0 AND level_number_value NOT IN ('', '0'), trace_bad, span_bad, flags_bad] AS field_problems,
        [{empty_code}, time_code, level_code,
            opened.1 * {code_of: resource}, opened.2 * {code_of: scope}, opened.3 * {code_of: attributes},
            {code_found: body}, {code_found: event_name}, {code_found: schema_url},
            (time_usable AND nanoseconds_value != '') * {code_found: nanoseconds},
            (level_number > 0 OR level_number_value = '0') * {code_found: level_number},
            is_service_taken * {code_found: service},
            (NOT trace_bad) * {code_found: trace},
            (NOT span_bad) * {code_found: span},
            (NOT flags_bad) * {code_found: flags}] AS taken_codes
    FROM judged
),

leftover AS
(
    SELECT
        * EXCEPT (codes, top_keys, top_values, attribute_values, time_code, whole_body, taken_codes,
            is_invalid, is_envelope, trace_bad, span_bad, flags_bad),
        arrayMap(code -> NOT has(taken_codes, code), codes) AS are_left,
        arrayConcat(attribute_keys, arrayFilter((key, is_left) -> is_left, top_keys, are_left),
            if(whole_body = body, [], ['log.record.original']),
            -- Text that may be a time stands last: text_view.sql takes it away if it is one.
            if(time_as_text = '', [], [top_keys[indexOf(codes, time_code)]])) AS log_keys,
        arrayConcat(attribute_values, arrayFilter((value, is_left) -> is_left, top_values, are_left),
            if(whole_body = body, [], [whole_body]),
            if(time_as_text = '', [], [top_values[indexOf(codes, time_code)]])) AS log_values
    FROM settled
)

SELECT
    Timestamp,
    TraceId,
    SpanId,
    TraceFlags,
    toUInt8(if(level_number > 0, level_number, level_known)) AS SeverityNumber,
    multiIf(
        level_known > 0, level_texts[level_known],
        level_number > 0, if(level_value = '', level_texts[level_number], level_value),
        '') AS SeverityText,
    ServiceName,
    if(length(log_keys) > length(attribute_keys) AND body = '', substitute, body) AS Body,
    ResourceSchemaUrl,
    ResourceAttributes,
    ScopeSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeAttributes,
    mapFromArrays(numbered(log_keys), log_values) AS LogAttributes,
    EventName,
    now64(3) AS IngestedAt,
    origin.1.1 AS KafkaTopic,
    origin.1.2 AS KafkaTopicId,
    origin.1.3 AS KafkaPartition,
    origin.1.4 AS KafkaOffset,
    toUInt32(origin.3 - 1) AS KafkaIndex,
    origin.1.5 AS Source,
    origin.1.6 AS IdempotencyKey,
    -- Of the whole batch: a message must be in one part, so all of its events go the same way.
    max(head != '' OR time_as_text != '' OR has(problems, 1)) OVER () AS needs_text,
    origin.2 AS arrived,
    time_usable,
    head,
    time_line,
    time_as_text,
    time_as_text != '' AND body = '' AND length(log_keys) = length(attribute_keys) + 1 AS is_time_alone,
    split_error,
    arrayPushBack(field_problems, greatest(length(log_keys), length(ResourceAttributes), length(ScopeAttributes)) > {max_event_names}) AS problems
FROM leftover;
