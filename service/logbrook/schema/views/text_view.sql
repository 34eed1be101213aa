-- What the text of an event says where its fields say nothing, what was wrong with it, and the bound of its names: the
-- third stage of the long way, for batches in which an event needs that.
CREATE MATERIALIZED VIEW IF NOT EXISTS text_view{on_cluster} TO {database}.otel_logs{local} AS
WITH
    {shared: nanoseconds_of},
    {shared: is_impossible},
    {shared: level_of},
    '^(?:npm )?(?:\\[[^\\]]*\\] +){0,2}?{level_form}|^([A-Z]), \\[' AS level_at_start,
    -- Behind a time: the commonest case, which is quick to find, and all others. Numbers, brackets, dashes, a host and a
    -- program, or a logger's name may come first.
    '^["\\])|,; \\t]*(?:(?:\\d+|\\[[^\\]]*\\]|-+) +){0,3}?\\[?({level_words})(?:[\\s\\],;"]|$)' AS plain_level,
    '^["\\])|>,; \\t]*(?:: )?(?:(?:\\[[^\\]]*\\]:?|\\([^)]*\\)|\\{[^}]*\\}|<[^>]*>|\\||\\S+:\\[\\d+\\]:)[ \\t]*|(?:#?\\d+|-+|(?:stdout|stderr) [FP]|PHP|npm|root|[\\w.$/-]+ +-|[\\w.$/@-]*[.$/@_\\d:-][\\w.$/@:()-]*|[\\w.]+=(?:"[^"]*"|[^\\s"]*)|\\w+ |\\S+\\[\\d+\\]:?|\\S+ [\\w./()-]+(?:\\[\\d+\\])?:)[ \\t]+|[\\w.$]+ [\\w.$<>]+\\n){0,6}?{level_form}' AS level_after_words,
    -- A line of logfmt, or JSON behind a time, whose level is one of its keys.
    '^["\\s]*(?:(?:stdout|stderr) [FP] )?(?:\\{.*?"(?:level|lvl|severity)" ?: ?"|(?:[\\w.@-]+=(?:"(?:[^"\\\\]|\\\\.)*"|[^" ]*) +)*(?:level|lvl|severity|loglevel|log_level|log\\.level)="?)([A-Za-z]+)' AS level_key,
    {level_texts} AS level_texts,
    {max_event_names} AS most_names,

-- Where fields say no time or no level: what the text says in the usual places of the common formats.
headed AS
(
    SELECT
        *,
        multiIf(time_as_text != '', time_as_text, head = '', '', time_line != '', time_line, head) AS time_head,
        arrived + {max_ahead_seconds} * 1000000000 AS latest_usable
    FROM {database}.texts
),

-- Most texts are ISO 8601, which is tried first.
found AS
(
    SELECT
        * EXCEPT (time_line),
        extract(time_head, {iso_pattern}) AS iso_time,
        if(iso_time = '', extract(time_head, {time_form}), '') AS time_found
    FROM headed
),

grouped AS
(
    SELECT
        *,
        -- The texts of the formats' groups: one of them is there, if any. Finding groups costs by the length of the text.
        multiIf(iso_time != '', [iso_time],
            time_found != '', extractGroups(substring(time_head, 1, length(time_found) + 1), {time_pattern}),
            []) AS time_groups
    FROM found
),

timed AS
(
    SELECT
        * EXCEPT (time_groups, iso_time, time_found),
        -- The number of the first format that fits, 0 for none.
        arrayFirstIndex(text -> text != '', time_groups) AS time_format,
        time_groups[time_format] AS time_text
    FROM grouped
),

zoned AS
(
    SELECT
        *,
        {time_replaced} AS time_replaced,
        substring(time_head, position(time_head, time_text) + length(time_text)) AS behind,
        if(time_format IN {formats_zoned}, extract(behind, {zone_pattern}), '') AS zone_text
    FROM timed
),

stamped AS
(
    SELECT
        * EXCEPT (behind, time_replaced, zone_text),
        concat(time_replaced, zone_text) AS time_and_zone,
        extract(time_and_zone, '(?:[A-Z]{3,4}(?:[-+]\\d{1,2}(?::?\\d\\d)?)?|[A-Z][a-z]+/\\w+|z)$') AS zone,
        if(time_head = head, {extracted: level}, '') AS format_level,
        if(time_head = head, substring(behind, length(zone_text) + 1), head) AS after_first,
        -- In a container's file an application's own time may follow that of the runtime.
        if(startsWith(after_first, ' std') OR startsWith(after_first, ' 20'), replaceRegexpOne(after_first,
            '^ (?:std(?:out|err) [FP] )?\\[?(?:20\\d\\d[-/]\\d\\d[-/]\\d\\d[T ])?\\d\\d:\\d\\d:\\d\\d[.,\\d]*(?:Z| ?[-+]\\d\\d:?\\d\\d| (?:UTC|GMT|[CEW]ES?T|[A-Z][SD]T)\\b)?', ''),
            after_first) AS after_time,
        fromUnixTimestamp64Nano(arrived, 'UTC') AS arrival,
        {completions}[time_format] AS completion
    FROM zoned
),

-- The time in a form that the date parser reads, and the level where the format has it.
dated AS
(
    SELECT
        * EXCEPT (time_text, time_and_zone, zone, after_first),
        if(time_format = 0, '', concat(
            replaceOne(substring(time_and_zone, 1, length(time_and_zone) - length(zone)), ',', '.'),
            if(zone = '', '', transform(replaceRegexpOne(zone, '^(?:GMT|UTC)([-+]\\d\\d:?\\d\\d)$', '\\1'), {zones}, {offsets}, zone)))) AS stamp,
        if(time_format = 0 OR is_impossible(stamp), 0, nanoseconds_of(concat(
            replaceOne(replaceOne(completion, '%F', formatDateTime(arrival, '%F')), '%Y', formatDateTime(arrival, '%Y')), stamp))) AS time_found,
        multiIf(
            head = '', '',
            match(head, '^<(?:\\d\\d?|1[0-8]\\d|19[01])>[^ ]'), toString(toUInt16OrZero(extract(head, '^<(\\d+)>')) % 8),
            format_level != '', format_level,
            extract(after_time, plain_level) != '', extract(after_time, plain_level),
            time_format != 0 AND match(after_time, level_after_words), arrayStringConcat(extractGroups(after_time, level_after_words)),
            match(head, level_at_start), arrayStringConcat(extractGroups(head, level_at_start)),
            extract(head, level_key) != '', extract(head, level_key),
            extract(after_time, level_key)) AS level_word,
        multiIf(
            time_format IN {formats_with: service}, extract(after_time, '^:? (?:\\S*[^\\s:\\]] )?([\\w./@-]+(?: \\w+){0,2})(?:\\([\\w./-]+\\))?(?: [\\d.]+)?(?:\\[\\d+\\])?(?: \\([^)]*\\))?(?: \\d[\\w.]*)?:'),
            match(head, '^<\\d{1,3}>\\d '), extract(head, '^<\\d{1,3}>\\d \\S+ \\S+ (\\S+)'),
            -- rsyslog's time, in microseconds and with an offset: a program need not say its number.
            length(time_and_zone) = length('2024-05-06 12:00:00.123456+00:00') AND position(time_text, 'T') > 0 AND match(after_time, '^ [a-z\\d][\\w.-]* [a-z][\\w./-]*: '),
                if(level_of(extract(after_time, '^ \\S+ ([^:]+)') AS unnumbered) = 0, unnumbered, ''),
            time_format = 0 OR NOT multiSearchAny(after_time, [']: ', '): ']), '',
            extract(after_time, '^ (?:\\S+ )?(?:([\\w./-]+)(?:\\([\\w./-]+\\))?\\[[\\w.]+\\](?: \\([^)]*\\))?: )')) AS program
    FROM stamped
),

inferred AS
(
    SELECT
        * EXCEPT (stamp, time_found, format_level, arrival, completion, level_word, after_time),
        -- What would lie ahead without its year is of the year before; without its date, of the day before.
        multiIf(
            time_format IN {formats_without: date}, time_found - if(time_found > latest_usable, 86400000000000, 0),
            time_format NOT IN {formats_without: year}, time_found,
            if(time_found = 0, false, time_found <= arrived + 86400000000000), time_found,
            is_impossible(stamp), 0,
            nanoseconds_of(concat(replaceOne(completion, '%Y', formatDateTime(subtractYears(arrival, 1), '%Y')), stamp))) AS text_time,
        level_of(level_word) AS text_level
    FROM dated
),

judged AS
(
    SELECT
        * EXCEPT (latest_usable),
        clamp(text_time, 315532800000000000, latest_usable) = text_time AS text_time_usable,
        SeverityNumber = 0 AS is_level_missing,
        -- A field's text that is a time, or the time in front of a text, unless it is that of the line before.
        NOT time_usable AND NOT text_time_usable AND (time_as_text != '' OR (time_format != 0 AND time_head = head)) AS text_time_bad,
        if(time_as_text != '' AND text_time_usable, mapFromArrays(arrayPopBack(mapKeys(LogAttributes)), arrayPopBack(mapValues(LogAttributes))),
            LogAttributes) AS attributes,
        -- Each name of an attribute costs memory wherever it is counted. Of too many, the first stay, and the rest is JSON.
        arrayMap(pairs -> if(length(pairs) <= most_names, pairs, mapFromArrays(
            arrayPushBack(arraySlice(mapKeys(pairs), 1, most_names), 'more_attributes'),
            arrayPushBack(arraySlice(mapValues(pairs), 1, most_names), toJSONString(mapFromArrays(
                arraySlice(mapKeys(pairs), most_names + 1), arraySlice(mapValues(pairs), most_names + 1)))))),
            [ResourceAttributes, ScopeAttributes, attributes]) AS bounded
    FROM inferred
)

SELECT
    if(NOT time_usable AND text_time_usable, fromUnixTimestamp64Nano(text_time, 'UTC'), Timestamp) AS Timestamp,
    TraceId,
    SpanId,
    TraceFlags,
    if(is_level_missing, toUInt8(text_level), SeverityNumber) AS SeverityNumber,
    if(is_level_missing, level_texts[text_level], SeverityText) AS SeverityText,
    if(ServiceName = '' AND program != '-', program, ServiceName) AS ServiceName,
    -- With its time, an event that has nothing else has nothing to be found by.
    if(is_time_alone AND text_time_usable, '', Body) AS Body,
    ResourceSchemaUrl,
    bounded[1] AS ResourceAttributes,
    ScopeSchemaUrl,
    ScopeName,
    ScopeVersion,
    bounded[2] AS ScopeAttributes,
    bounded[3] AS LogAttributes,
    EventName,
    IngestedAt,
    KafkaTopic,
    KafkaTopicId,
    KafkaPartition,
    KafkaOffset,
    KafkaIndex,
    Source,
    IdempotencyKey,
    arrayStringConcat(arrayFilter((reason, is_so) -> is_so, [
        split_error,
        'invalid JSON',
        'envelope of several events',
        'unusable timestamp',
        'unusable severity',
        'unusable severity number',
        'unusable trace id',
        'unusable span id',
        'unusable trace flags',
        'too many names'],
        if(text_time_bad, arrayConcat(arraySlice(problems, 1, 3), [1], arraySlice(problems, 5)), problems)), ', ') AS ParseError
FROM judged;
