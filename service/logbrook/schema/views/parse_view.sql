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
    {places} AS places,
    {masks} AS masks,
    -- Of names that are none of these, and of values that are empty.
    bitShiftLeft(toUInt128(1), 127) AS other_bit,
    bitShiftLeft(toUInt128(1), 126) AS empty_bit,
    key -> bitShiftLeft(toUInt128(1), transform(lower(key), names, places, 127)) AS bit_of,
    {bits_of_field: time} AS time_bits,
    {bits_of_field: level} AS level_bits,
    {bits_of_field: body} AS body_bits,
    -- Of several keys that are the same, the second one is `key#2`.
    keys -> arrayMap((key, nth) -> if(nth = 1, key, concat(key, '#', toString(nth))), keys, arrayEnumerateUniq(keys)) AS numbered,

    -- As text, a string '{"a":1}' looks like an object. So a string that starts with a brace gets a mark before it, a
    -- character that Unicode keeps out of text, which is taken away once objects are flattened.
    '﷐' AS mark,
    '"﷐{' AS marked_brace,
    texts -> arrayMap(text -> replaceAll(text, mark, ''), texts) AS unmarked,

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
    (value, bit) -> NOT is_object(value) OR bitAnd(bit, {whole_bits}) != 0 AS stays,
    (nested, marked, texts, staying, leaves) -> multiIf(
        nested, unmarked(arrayConcat(staying, leaves)), marked, unmarked(texts), texts) AS rejoined,

    -- Outside 1980 to 2099 a clock or a unit is wrong.
    315532800000000000 AS earliest,
    4102444799999999999 AS latest,
    -- Numbers of seconds, milliseconds, microseconds, or nanoseconds: each is too small to be one of the next.
    number -> multiIf(number <= 4102444799, 1000000000, number <= 4102444799999, 1000000, number <= 4102444799999999, 1000, 1) AS unit_of,
    text -> ifNull(toUnixTimestamp64Nano(parseDateTime64BestEffortOrNull(text, 9, 'UTC')), 0) AS nanoseconds_of,
    -- A time in the value of a field, without formats of text: numbers, and ISO 8601 with a clock that exists.
    value -> multiIf(
        value = '', 0,
        toInt64OrZero(value) > 0, toInt64OrZero(value) * unit_of(toInt64OrZero(value)),
        toDecimal128OrZero(value, 9) > 0,
            toInt64(least(toDecimal128OrZero(value, 9) * unit_of(toDecimal128OrZero(value, 9)), toDecimal128(9000000000000000000, 9))),
        match(value, '^\\d{4}[-/]\\d\\d[-/]\\d\\d(?:$|[T ](?:[01]\\d|2[0-3]):[0-5]\\d(?:$|[^:\\d]|:(?:[0-5]\\d|60)(?:[.,]\\d+)?(?:Z| ?UTC| ?[-+]\\d\\d:?\\d\\d)?$))'),
            nanoseconds_of(replaceOne(value, ',', '.')),
        0) AS time_of,
    {time_pattern} AS time_pattern,
    {iso_pattern} AS iso_pattern,
    -- Hours above 23, and minutes and seconds above 59; but for a leap second.
    text -> match(text, '(?:^|[^:\\d])(?:2[4-9]|[3-9]\\d):\\d\\d|\\d:[6-9]\\d|:(?:6[1-9]|[7-9]\\d)(?:\\D|$)') AS is_impossible,
    -- What a terminal takes for colors and the like, and no reader for text.
    text -> if(position(text, '\x1b') = 0, text,
        replaceRegexpAll(text, '\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\x07\\x1b]*(?:\\x07|\x1b\\\\)?|[@-Z\\\\^_])', '')) AS without_colors,
    -- The start of a text, without what may stand before it in a file: a byte order mark, the zeros of a cut file.
    text -> substring(trimLeft(text, ' \t\r\n\0\xEF\xBB\xBF'), 1, 300) AS start_of,

    {level_values} AS level_values,
    {level_meanings} AS level_meanings,
    text -> transform(lower(text), level_values, level_meanings, 0) AS level_of,
    -- Padded, in brackets, colored, or with an offset, as Go's slog writes it.
    value -> level_of(if(match(value, '^\\w*$'), value,
        replaceRegexpAll(value, '\x1b\\[[\\d;]*m|^[\\s\\[(<{]+|[\\s\\])>}:]+$|[-+]\\d+$', ''))) AS level_in,
    {level_words} AS level_words,
    {any_level_word} AS any_level_word,
    -- What makes a word in any case a level.
    '(?:[ \\t]*[\\]>):|/]|\\t|  |(?: +[\\w.-]*\\[))' AS level_end,
    concat('(?:[\\[<(] *(?:[\\w. -]+/)?)?(?:[\\w.-]*[:.])?(?:((?i)', any_level_word, ')', level_end, '|(', level_words, ')(?:\\s|$)|\\[([DIWEFCV])\\]|([DIWEF])\\d? +[A-Z]{4,})') AS level_form,
    concat('^', level_form, '|^([A-Z]), \\[') AS level_at_start,
    -- Behind a time: the commonest case, which is quick to find, and all others. Numbers, brackets, dashes, a host and a
    -- program, or a logger's name may come first.
    concat('^["\\])|, \\t]*(?:(?:\\d+|\\[[^\\]]*\\]|-+) +){0,3}?\\[?(', level_words, ')(?:[\\s\\]]|$)') AS plain_level,
    concat('^["\\])|>, \\t]*(?:: )?(?:(?:\\d+|\\[[^\\]]*\\]:?|\\([^)]*\\)|\\{[^}]*\\}|-+|\\||(?:stdout|stderr) [FP]|PHP|root|[\\w.$/-]+ +-|',
        '[\\w.$/@-]*[.$/@_\\d-][\\w.$/@:-]*|\\w+  |\\S+\\[\\d+\\]:|\\S+ [\\w./()-]+(?:\\[\\d+\\])?:)[ \\t]*){0,5}?', level_form) AS level_after_words,
    -- A line of logfmt, whose level is one of its keys.
    '^["\\s]*(?:[\\w.@-]+=(?:"(?:[^"\\\\]|\\\\.)*"|[^" ]*) +)*(?:level|lvl|severity|loglevel|log_level|log\\.level)="?([A-Za-z]+)' AS level_key,
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
        if(are_lines, arrayFill(text -> match(text, time_pattern),
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
            pairs_of(replaceAll(mended(event), '"{', marked_brace)), found_pairs) AS pairs
    FROM events
    ARRAY JOIN all_events AS event, arrayEnumerate(all_events) AS number, time_lines AS time_line
),

keyed AS
(
    SELECT
        * EXCEPT (pairs, found_pairs),
        mapKeys(pairs) AS outer_keys,
        mapValues(pairs) AS outer_values,
        arrayMap(key -> bit_of(key), outer_keys) AS outer_bits,
        if(empty(pairs) AND looks_like_json, isValidJSON(event), looks_like_json) AS is_json,
        -- A body that is a text of JSON: Docker's, say, around an application's.
        if(position(event, '"{') = 0, 0, arrayFirstIndex((bit, value) ->
            bitAnd(bit, body_bits) != 0 AND startsWith(value, mark), outer_bits, outer_values)) AS wrapped_at,
        if(wrapped_at = 0, map(), pairs_of(substring(outer_values[wrapped_at], length(mark) + 1))) AS inner_pairs
    FROM parsed
),

-- The keys of such a body beside those around it; the body itself where it has none.
unwrapped AS
(
    SELECT
        * EXCEPT (outer_keys, outer_values, outer_bits, inner_pairs, wrapped_at),
        arrayMap(key -> bit_of(key), mapKeys(inner_pairs)) AS inner_bits,
        arrayExists(bit -> bitAnd(bit, body_bits) != 0, inner_bits) AS has_inner_body,
        if(empty(inner_pairs), outer_keys, arrayConcat(mapKeys(inner_pairs),
            arrayFilter((key, place) -> place != wrapped_at OR NOT has_inner_body, outer_keys, arrayEnumerate(outer_keys)))) AS keys,
        if(empty(inner_pairs), outer_values, arrayConcat(mapValues(inner_pairs),
            arrayFilter((value, place) -> place != wrapped_at OR NOT has_inner_body, outer_values, arrayEnumerate(outer_values)))) AS values,
        if(empty(inner_pairs), outer_bits, arrayConcat(inner_bits,
            arrayFilter((bit, place) -> place != wrapped_at OR NOT has_inner_body, outer_bits, arrayEnumerate(outer_bits)))) AS key_bits
    FROM keyed
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
    FROM unwrapped
),

opened AS
(
    SELECT
        * EXCEPT (resource_text, scope_text, attributes_text, resource_pairs, attribute_pairs, inner_bits, has_inner_body),
        mapKeys(resource_pairs) AS resource_keys,
        mapValues(resource_pairs) AS resource_values,
        mapKeys(attribute_pairs) AS attribute_keys,
        mapValues(attribute_pairs) AS attribute_values,
        position(event, '"{') > 0 AS marked,
        -- What gave nothing is left over: not every text with a brace in front is an object.
        bitOr(bitOr(
            if(notEmpty(resource_pairs) OR resource_text = '{}', {bit_of: resource}, toUInt128(0)),
            if(notEmpty(scope) OR scope_text = '{}', {bit_of: scope}, toUInt128(0))),
            if(notEmpty(attribute_pairs) OR attributes_text = '{}', {bit_of: attributes}, toUInt128(0))) AS opened_bits,
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
        arrayMap((bit, value) -> if(value = '' AND bit != other_bit, empty_bit, bit), name_bits, top_values) AS valued_bits,
        -- Keys that fold to one name: the first is that name, and the others are attributes.
        arrayMap((bit, nth) -> if(nth > 1 AND bit != empty_bit, other_bit, bit), valued_bits, arrayEnumerateUniq(valued_bits)) AS bits,
        arrayReduce('groupBitOr', bits) AS seen_bits
    FROM flattened
),

preferred AS
(
    SELECT
        * EXCEPT (valued_bits),
        arrayMap(mask -> bitAnd(bitAnd(seen_bits, mask), bitNot(bitAnd(seen_bits, mask)) + 1), masks) AS field_bits
    FROM seen
),

chosen AS
(
    SELECT
        *,
        -- Values of times and levels, the preferred first.
        arraySort(arrayFilter(each -> bitAnd(each.1, bitOr(time_bits, level_bits)) != 0, arrayZip(bits, top_values))) AS named,
        {value_of: nanoseconds} AS nanoseconds_value,
        {value_of: level_number} AS level_number_value,
        {value_of: service} AS service_value,
        all_resource_values[indexOf(all_resource_keys, 'service.name')] AS resource_service,
        if(is_json, if({bit_found: body} = {bit_of: log} AND endsWith({value_of: body}, '\n'),
            -- The line end that Docker keeps.
            substring({value_of: body}, 1, length({value_of: body}) - 1), {value_of: body}), event) AS whole_body,
        without_colors(whole_body) AS body,
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
        *,
        arrayMap(each -> (each.1, time_of(each.2), each.2), arrayFilter(each -> bitAnd(each.1, time_bits) != 0, named)) AS times,
        arrayMap(each -> (each.1, multiIf(
                each.1 = {bit_of: levelno}, [0, 5, 9, 13, 17, 21][least(intDiv(toUInt16OrZero(each.2), 10), 5) + 1],
                bitAnd(each.1, if(bitAnd(seen_bits, {bit_of: __realtime_timestamp}) = 0, {shared_bits: level}, toUInt128(0))) != 0
                    AND match(each.2, '^-?\\d'), 0,
                level_in(each.2)), each.2),
            arrayFilter(each -> bitAnd(each.1, level_bits) != 0, named)) AS levels,
        origin.2 + {max_ahead_seconds} * 1000000000 AS latest_usable,
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
        * EXCEPT (named, trace_value, seen_bits, times, levels, latest_usable),
        arrayFirst(each -> clamp(each.2, earliest, latest_usable) = each.2
            OR (each.2 = 0 AND match(trimLeft(each.3, ' '), time_pattern) AND NOT is_impossible(each.3)), times) AS time_picked,
        time_picked.2 + if(nanoseconds_value = '', 0, least(toUInt32OrZero(nanoseconds_value), 999999999)) AS field_time,
        time_picked.2 > 0 AS time_usable,
        if(time_picked.1 != 0 AND time_picked.2 = 0, start_of(time_picked.3), '') AS time_as_text,
        -- The first of all, for those who look for what was wrong.
        arrayFirst(each -> bitAnd(each.1, {shared_bits: time}) = 0, times).3 AS time_value,
        arrayFirst(each -> each.2 > 0, levels) AS level_picked,
        level_picked.2 AS level_known,
        arrayFirst(each -> bitAnd(each.1, {shared_bits: level}) = 0, levels) AS level_preferred,
        level_preferred.3 AS level_value,
        latest_usable,
        greatest(level_known, level_number) > 0 AS level_usable
    FROM understood
),

taken AS
(
    SELECT
        *,
        if(time_usable, if(level_usable, '', start_of(body)), start_of(body)) AS head,
        multiIf(time_as_text != '', time_as_text, head = '', '', time_line != '', time_line, head) AS time_head,
        -- The texts of the formats' groups: one of them is there, if any.
        -- Finding all groups costs fifty times as much as a look whether there are any; most texts are ISO 8601.
        multiIf(time_head = '', [],
            match(time_head, iso_pattern), [extract(time_head, iso_pattern)],
            match(time_head, time_pattern), extractGroups(time_head, time_pattern),
            []) AS time_groups
    FROM picked
),

-- Where fields say no time or no level: what the text says in the usual places of the common formats.
timed AS
(
    SELECT
        * EXCEPT (time_groups),
        -- The number of the first format that fits, 0 for none.
        arrayFirstIndex(text -> text != '', time_groups) AS time_format,
        time_groups[time_format] AS time_text
    FROM taken
),

stamped AS
(
    SELECT
        *,
        {time_replaced} AS time_replaced,
        extract(time_replaced, '(?:[A-Z]{3,4}(?:[-+]\\d{1,2}(?::?\\d\\d)?)?|[A-Z][a-z]+/\\w+|z)$') AS zone,
        if(time_head = head, substring(head, position(head, time_text) + length(time_text)), head) AS after_time,
        fromUnixTimestamp64Nano(origin.2, 'UTC') AS arrival,
        transform(time_format, range(1, length({completions}) + 1), {completions}, '') AS completion
    FROM timed
),

-- The time in a form that the date parser reads, and the level where the format has it.
dated AS
(
    SELECT
        * EXCEPT (time_text, time_replaced, zone),
        if(time_format = 0, '', concat(
            replaceOne(substring(time_replaced, 1, length(time_replaced) - length(zone)), ',', '.'),
            if(zone = '', '', transform(replaceRegexpOne(zone, '^(?:GMT|UTC)([-+]\\d\\d:?\\d\\d)$', '\\1'), {zones}, {offsets}, zone)))) AS stamp,
        if(time_format = 0 OR is_impossible(stamp), 0, nanoseconds_of(concat(
            replaceOne(replaceOne(completion, '%F', formatDateTime(arrival, '%F')), '%Y', formatDateTime(arrival, '%Y')), stamp))) AS time_found,
        multiIf(
            head = '', '',
            match(head, '^<(?:\\d\\d?|1[0-8]\\d|19[01])>[^ ]'), toString(toUInt16OrZero(extract(head, '^<(\\d+)>')) % 8),
            time_format IN {formats_with: level} AND time_head = head AND {extracted: level} != '', {extracted: level},
            match(after_time, plain_level), extract(after_time, plain_level),
            time_format != 0 AND match(after_time, level_after_words), arrayStringConcat(extractGroups(after_time, level_after_words)),
            match(head, level_at_start), arrayStringConcat(extractGroups(head, level_at_start)),
            match(head, level_key), extract(head, level_key),
            match(after_time, level_key), extract(after_time, level_key),
            '') AS level_word,
        multiIf(
            time_format IN {formats_with: service}, extract(after_time, '^:? \\S+ ([\\w./@-]+(?: \\w+){0,2})(?:\\([\\w./-]+\\))?(?:\\[\\d+\\])?(?: \\([^)]*\\))?(?: \\d[\\w.]*)?:'),
            startsWith(head, '<'), extract(head, '^<\\d{1,3}>\\d \\S+ \\S+ (\\S+)'),
            time_format = 0, '',
            extract(after_time, '^ \\S+ ([\\w./-]+)(?:\\([\\w./-]+\\))?\\[\\d+\\]: ')) AS program
    FROM stamped
),

inferred AS
(
    SELECT
        * EXCEPT (stamp, time_found, arrival, completion, level_word, after_time),
        -- What would lie ahead without its year is of the year before; without its date, of the day before.
        multiIf(
            time_format IN {formats_without: date}, time_found - if(time_found > latest_usable, 86400000000000, 0),
            time_format NOT IN {formats_without: year}, time_found,
            if(time_found = 0, false, time_found <= origin.2 + 86400000000000), time_found,
            is_impossible(stamp), 0,
            nanoseconds_of(concat(replaceOne(completion, '%Y', formatDateTime(subtractYears(arrival, 1), '%Y')), stamp))) AS text_time,
        clamp(text_time, earliest, latest_usable) = text_time AS text_time_usable,
        level_of(level_word) AS text_level
    FROM dated
),

-- What became a column, and what is left over for LogAttributes.
settled AS
(
    SELECT
        * EXCEPT (head, time_head, time_line, time_format, latest_usable),
        if(time_usable, false, if(time_as_text = '', time_value != '' OR (time_format != 0 AND time_head = head AND NOT text_time_usable), NOT text_time_usable)) AS time_bad,
        level_value != '' AND NOT level_usable AS level_bad,
        level_number = 0 AND level_number_value NOT IN ('', '0') AS level_number_bad,
        if(bitAnd({bit_found: envelope}, {bits_of_field: envelope}) != 0, startsWith({value_of: envelope}, '['), false) AS is_envelope,
        bitOr(bitOr(bitOr(opened_bits, empty_bit), bitOr(
            if(time_usable OR (time_as_text != '' AND text_time_usable), time_picked.1, toUInt128(0)),
            -- A name that nobody knows stands beside a number.
            if(level_picked.1 = 0 AND level_number > 0, level_preferred.1, level_picked.1))),
            arraySum(arrayMap((bit, used) -> if(used, bit, toUInt128(0)), field_bits, {used:
            time = false,
            nanoseconds = nanoseconds_value != '' AND time_usable,
            level = false,
            level_number = level_number > 0 OR level_number_value = '0',
            service = resource_service = '',
            body = true,
            trace = NOT trace_bad,
            span = NOT span_bad,
            flags = NOT flags_bad,
            event_name = true,
            schema_url = true,
            envelope = false}))) AS taken_bits
    FROM inferred
),

leftover AS
(
    SELECT
        * EXCEPT (name_bits, bits, field_bits, taken_bits, opened_bits, top_keys, top_values),
        arrayFilter((key, bit) -> bitAnd(bit, taken_bits) = 0, top_keys, bits) AS other_keys,
        arrayFilter((value, bit) -> bitAnd(bit, taken_bits) = 0, top_values, bits) AS other_values,
        if(whole_body = body, [], ['log.record.original']) AS original_keys,
        if(whole_body = body, [], [whole_body]) AS original_values,
        trace_bad + span_bad + flags_bad + notEmpty(split_error) + (looks_like_json != is_json) + time_bad + level_bad
            + level_number_bad + is_envelope AS problems
    FROM settled
),

mapped AS
(
    SELECT
        * EXCEPT (all_resource_keys, all_resource_values, all_attribute_keys, all_attribute_values, other_keys, other_values),
        mapFromArrays(numbered(all_resource_keys), all_resource_values) AS resource_attributes,
        mapFromArrays(numbered(arrayConcat(all_attribute_keys, other_keys, original_keys)),
            arrayConcat(all_attribute_values, other_values, original_values)) AS log_attributes,
        mapApply((key, value) -> (replaceAll(key, mark, ''), replaceAll(value, mark, '')), mapConcat(
            mapFilter((key, value) -> key NOT IN ('name', 'version', 'schema_url') AND NOT (key = 'attributes' AND startsWith(value, '{')), scope),
            pairs_of(scope['attributes']))) AS scope_attributes,
        notEmpty(other_keys) AS has_others,
        greatest(length(resource_attributes), length(log_attributes), length(scope_attributes)) > most_names AS too_many_names
    FROM leftover
)

SELECT
    fromUnixTimestamp64Nano(multiIf(time_usable, field_time, text_time_usable, text_time, origin.2), 'UTC') AS Timestamp,
    if(trace_bad OR trace_hex IN ('', '0000000000000000', '00000000000000000000000000000000'), '', leftPad(trace_hex, 32, '0')) AS TraceId,
    if(span_bad OR span_value = '0000000000000000', '', span_value) AS SpanId,
    ifNull(flags_number, 0) AS TraceFlags,
    toUInt8(multiIf(level_number > 0, level_number, level_known > 0, level_known, text_level)) AS SeverityNumber,
    multiIf(
        level_known > 0, level_texts[level_known],
        level_number > 0, if(level_value = '', level_texts[level_number], level_value),
        level_texts[text_level]) AS SeverityText,
    multiIf(resource_service != '', resource_service, service_value != '', service_value, program = '-', '', program) AS ServiceName,
    -- An event without a message is found by its words all the same.
    if(body = '' AND is_json AND has_others, event, body) AS Body,
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
            if(is_envelope, 'envelope of several events', ''),
            if(time_bad, 'unusable timestamp', ''),
            if(level_bad, 'unusable severity', ''),
            if(level_number_bad, 'unusable severity number', ''),
            if(trace_bad, 'unusable trace id', ''),
            if(span_bad, 'unusable span id', ''),
            if(flags_bad, 'unusable trace flags', ''),
            if(too_many_names, 'too many names', '')]), ', ')) AS ParseError
FROM mapped;
