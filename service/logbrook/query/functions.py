"""The ClickHouse functions that a user's SQL may call.

An allow list: what is not here is refused, so that a function which a newer ClickHouse adds is refused, too, until
somebody has looked at it. Left out on purpose: whatever reads files, dictionaries, other tables or the server's state
(file, dictGet, joinGet, getSetting, version, user, ...), waits (sleep) or raises (throwIf), and functions whose single
call can run for minutes on one block of rows, where ClickHouse does not look at its deadline (editDistance, histogram,
arrayReduce, arrayPartialSort, arrayShuffle, base58Encode, parseReadableSize..., sparseGrams, ngrams, multiMatch...,
multiFuzzyMatch...: even twenty patterns of 500 characters compile for a quarter of a minute, again for each row if they
differ) or take memory that it does not count (printf with a width). tests/query/test_functions.py compares the
list with the engine.
"""

import re

_AGGREGATE = """
    any any_respect_nulls any_value anyHeavy anyLast approx_top_k argMax argMin array_agg avg avgWeighted corr count
    covarPop covarSamp deltaSum deltaSumTimestamp entropy first_value groupArray groupArrayLast groupArraySample
    groupArraySorted groupBitAnd groupBitOr groupBitXor groupConcat groupUniqArray last_value max max_by
    median min min_by quantile quantileExact quantileTDigest quantileTiming quantiles quantilesExact
    quantilesTDigest quantilesTiming simpleLinearRegression singleValueOrNull skewPop skewSamp stddevPop stddevSamp
    string_agg sum sumCount sumKahan topK topKWeighted uniq uniqCombined uniqCombined64 uniqExact uniqHLL12 varPop
    varSamp windowFunnel
"""
# They take microseconds for a value, and one row's array has a hundred thousand: minutes for one block of rows.
_ONE_A_ROW = frozenset({"groupconcat", "string_agg", "quantiletdigest", "quantilestdigest"})
_COMBINATOR = re.compile(r"(?:if|distinct|ornull|ordefault|array|map|foreach)+$")
_WINDOW = """
    cume_dist dense_rank denseRank lag lagInFrame lead leadInFrame nth_value ntile percent_rank percentRank rank
    row_number
"""
_OPERATORS = """
    and or xor not equals notEquals less lessOrEquals greater greaterOrEquals isDistinctFrom isNotDistinctFrom in
    notIn globalIn globalNotIn like notLike ilike notILike match notMatch exists plus minus multiply divide intDiv
    intDivOrZero modulo moduloOrZero negate concat if multiIf caseWithExpression lambda tuple array map arrayElement
    arrayElementOrNull tupleElement CAST _CAST interval grouping arrayJoin
"""
_CONDITIONS = """
    assumeNotNull coalesce firstNonDefault ifNull isNotNull isNull isZeroOrNull nullIf toNullable clamp greatest
    least max2 min2 isFinite isInfinite isNaN ifNotFinite transform identity materialize toTypeName
"""
_NUMBERS = """
    abs ceil ceiling floor round roundBankers roundDown roundToExp2 trunc truncate sign sqrt cbrt exp exp2 exp10 ln
    log log2 log10 log1p pow power sin cos tan asin acos atan atan2 pi e degrees radians hypot gcd lcm
    positiveModulo bitAnd bitOr bitXor bitNot bitCount bitShiftLeft bitShiftRight bitTest widthBucket width_bucket
"""
_TIMES = """
    addDays addHours addMicroseconds addMilliseconds addMinutes addMonths addNanoseconds addQuarters addSeconds
    addWeeks addYears addDate subDate subtractDays subtractHours subtractMicroseconds subtractMilliseconds
    subtractMinutes subtractMonths subtractNanoseconds subtractQuarters subtractSeconds subtractWeeks subtractYears
    age dateDiff date_diff dateName dateTrunc date_trunc formatDateTime fromUnixTimestamp fromUnixTimestamp64Micro
    fromUnixTimestamp64Milli fromUnixTimestamp64Nano fromUnixTimestamp64Second makeDate makeDateTime makeDateTime64
    monthName now now64 current_date current_timestamp curdate today yesterday timestamp timeSlot toDate toDate32
    toDateOrNull toDateOrZero toDateTime toDateTime64 toDateTime64OrNull toDateTimeOrNull toDateTimeOrZero
    toDayOfMonth toDayOfWeek toDayOfYear toHour toISOWeek toISOYear toLastDayOfMonth toMillisecond toMicrosecond
    toMinute toMonday toMonth toQuarter toSecond toStartOfDay toStartOfFifteenMinutes toStartOfFiveMinutes
    toStartOfHour toStartOfInterval toStartOfMicrosecond toStartOfMillisecond toStartOfMinute toStartOfMonth
    toStartOfNanosecond toStartOfQuarter toStartOfSecond toStartOfTenMinutes toStartOfWeek toStartOfYear toTimezone
    toTimeZone toUnixTimestamp toUnixTimestamp64Micro toUnixTimestamp64Milli toUnixTimestamp64Nano
    toUnixTimestamp64Second toWeek toYear toYearWeek toYYYYMM toYYYYMMDD toYYYYMMDDhhmmss time_bucket timezoneOffset
    parseDateTime parseDateTimeOrNull parseDateTimeBestEffort parseDateTimeBestEffortOrNull
    parseDateTimeBestEffortOrZero parseDateTime64BestEffort parseDateTime64BestEffortOrNull
    parseDateTime64BestEffortOrZero toIntervalDay toIntervalHour toIntervalMicrosecond toIntervalMillisecond
    toIntervalMinute toIntervalMonth toIntervalNanosecond toIntervalQuarter toIntervalSecond toIntervalWeek
    toIntervalYear tumble tumbleStart tumbleEnd
    localtime localtimestamp
"""
_CONVERSIONS = """
    accurateCast accurateCastOrDefault accurateCastOrNull toBool toString toStringCutToZero toFixedString toFloat32
    toFloat32OrNull toFloat32OrZero toFloat64 toFloat64OrDefault toFloat64OrNull toFloat64OrZero toInt8 toInt8OrNull
    toInt8OrZero toInt16 toInt16OrNull toInt16OrZero toInt32 toInt32OrDefault toInt32OrNull toInt32OrZero toInt64
    toInt64OrDefault toInt64OrNull toInt64OrZero toInt128 toInt256 toUInt8 toUInt8OrNull toUInt8OrZero toUInt16
    toUInt16OrNull toUInt16OrZero toUInt32 toUInt32OrDefault toUInt32OrNull toUInt32OrZero toUInt64
    toUInt64OrDefault toUInt64OrNull toUInt64OrZero toUInt128 toUInt256 toDecimal32 toDecimal64 toDecimal64OrNull
    toDecimal64OrZero toDecimal128 toLowCardinality toUUID toUUIDOrNull toUUIDOrZero reinterpretAsUInt64
    reinterpretAsInt64 formatReadableDecimalSize formatReadableQuantity formatReadableSize formatReadableTimeDelta
    bar
"""
_STRINGS = """
    ascii base32Decode base32Encode base64Decode base64Encode base64URLDecode base64URLEncode
    tryBase64Decode bin basename char concat_ws concatWithSeparator empty notEmpty endsWith endsWithUTF8 firstLine
    format hex initcap initcapUTF8 isValidUTF8 left leftUTF8 length lengthUTF8 char_length lower lcase lowerUTF8 mid
    normalizeUTF8NFC regexpQuoteMeta replace replaceAll replaceOne replaceRegexpAll replaceRegexpOne reverse
    reverseUTF8 right rightUTF8 startsWith startsWithUTF8 substr substring substringIndex substringUTF8 toValidUTF8
    translate translateUTF8 trim trimBoth trimLeft trimRight ltrim rtrim unhex upper ucase upperUTF8 CRC32 leftPad
    lpad leftPadUTF8 rightPad rpad rightPadUTF8 repeat space countMatches countMatchesCaseInsensitive
    countSubstrings countSubstringsCaseInsensitive extract extractAll extractAllGroups extractAllGroupsVertical
    extractAllGroupsHorizontal extractGroups hasAllTokens hasAnyTokens hasSubsequence hasToken
    hasTokenCaseInsensitive hasTokenOrNull instr locate multiSearchAny multiSearchAnyCaseInsensitive
    multiSearchFirstIndex multiSearchFirstPosition position positionCaseInsensitive
    positionCaseInsensitiveUTF8 positionUTF8 regexpExtract ngramDistance alphaTokens arrayStringConcat splitByAlpha
    splitByChar splitByNonAlpha splitByRegexp splitByString splitByWhitespace tokens JSONArrayLength JSONExtract
    JSONExtractArrayRaw JSONExtractBool JSONExtractFloat JSONExtractInt JSONExtractKeys JSONExtractKeysAndValues
    JSONExtractKeysAndValuesRaw JSONExtractRaw JSONExtractString JSONExtractUInt JSONHas JSONKey JSONLength JSONType
    JSON_EXISTS JSON_QUERY JSON_VALUE isValidJSON simpleJSONExtractBool simpleJSONExtractFloat simpleJSONExtractInt
    simpleJSONExtractRaw simpleJSONExtractString simpleJSONExtractUInt simpleJSONHas toJSONString cutFragment
    cutQueryString cutQueryStringAndFragment cutToFirstSignificantSubdomain cutURLParameter cutWWW
    decodeURLComponent decodeURLFormComponent domain domainWithoutWWW encodeURLComponent extractURLParameter
    extractURLParameterNames extractURLParameters firstSignificantSubdomain fragment netloc path pathFull port
    protocol queryString queryStringAndFragment topLevelDomain URLHierarchy URLPathHierarchy extractKeyValuePairs
    extractKeyValuePairsWithEscaping IPv4CIDRToRange IPv4NumToString IPv4NumToStringClassC IPv4StringToNum
    IPv4StringToNumOrDefault IPv4StringToNumOrNull IPv6CIDRToRange IPv6NumToString IPv6StringToNum
    IPv6StringToNumOrNull isIPAddressInRange isIPv4String isIPv6String toIPv4 toIPv4OrNull toIPv6 toIPv6OrNull
    cityHash64 sipHash64 sipHash128 xxHash32 xxHash64 xxh3 murmurHash3_64 farmHash64 halfMD5 intHash64 MD5 SHA1
    SHA256 UUIDStringToNum UUIDNumToString
"""
_ARRAYS_AND_MAPS = """
    arrayConcat arrayDistinct arrayEnumerate arrayEnumerateUniq arrayFlatten flatten arrayIntersect arrayPopBack
    arrayPopFront arrayPushBack arrayPushFront arrayReverse arraySlice arrayUniq arrayZip countEqual has hasAll
    hasAny hasSubstr indexOf range tupleNames mapAdd mapConcat mapContains mapContainsKey mapContainsKeyLike
    mapContainsValue mapContainsValueLike mapExtractKeyLike mapExtractValueLike mapFromArrays mapKeys mapSubtract
    mapUpdate mapValues
"""
_WITH_A_LAMBDA = """
    arrayAll arrayAvg arrayCompact arrayCount arrayCumSum arrayCumSumNonNegative arrayDifference arrayExists
    arrayFill arrayFilter arrayFirst arrayFirstIndex arrayFirstOrNull arrayLast arrayLastIndex arrayLastOrNull
    arrayMap arrayMax arrayMin arrayProduct arrayReverseFill arrayReverseSort arrayReverseSplit arraySort arraySplit
    arraySum mapAll mapApply mapExists mapFilter mapReverseSort mapSort
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(name.lower() for name in text.split())


AGGREGATE = _names(_AGGREGATE)
WITH_A_LAMBDA = _names(_WITH_A_LAMBDA)
"""Their first argument may be a function, which ClickHouse also takes by its bare name: `arrayMap(file, ...)`."""
SIZED = {
    "range": (slice(None), 100_000),
    **dict.fromkeys(("repeat", "space"), (slice(-1, None), 10_000)),
    **dict.fromkeys(_names("leftPad lpad leftPadUTF8 rightPad rpad rightPadUTF8 toFixedString"), (slice(1, 2), 10_000)),
}
"""Functions whose result grows with a number: which arguments give it, and the largest number allowed."""
PATTERN = dict.fromkeys(
    _names(
        "like notLike ilike notILike match notMatch countMatches countMatchesCaseInsensitive extract extractAll "
        "extractAllGroups extractAllGroupsVertical extractAllGroupsHorizontal extractGroups regexpExtract "
        "replaceRegexpAll replaceRegexpOne mapContainsKeyLike mapContainsValueLike mapExtractKeyLike "
        "mapExtractValueLike multiSearchAny multiSearchAnyCaseInsensitive multiSearchFirstIndex "
        "multiSearchFirstPosition"
    ),
    1,
) | {"splitbyregexp": 0}
"""Functions that take a pattern or a list of texts, and which argument it is. Matching a crafted pattern of ten
thousand wildcards, or preparing a search for each row, takes minutes for one block."""
TYPED = _names("CAST _CAST accurateCast accurateCastOrNull JSONExtract JSONExtractKeysAndValues")
"""Functions whose last argument is the name of a type."""
MAX_PATTERN_CHARACTERS = 500
BARE = _names(
    "currentDatabase current_database database schema currentHandler currentUser current_user user session_user "
    "system_user currentRequestURL"
)
"""Names that ClickHouse reads as a call of a function without brackets, and which the list does not hold."""
ALLOWED = AGGREGATE | WITH_A_LAMBDA | frozenset().union(
    *map(_names, (_WINDOW, _OPERATORS, _CONDITIONS, _NUMBERS, _TIMES, _CONVERSIONS, _STRINGS, _ARRAYS_AND_MAPS))
)  # fmt: skip
"""All names that are allowed, in lower case, without aggregates' combinators."""


def is_allowed(name: str) -> bool:
    """Whether SQL may call a function, aggregates with their combinators (sumIf, uniqArray) included."""
    lower = name.lower()
    base = _COMBINATOR.sub("", lower)
    if base in _ONE_A_ROW and re.search("array|map|foreach", lower.removeprefix(base)):
        return False
    return lower in ALLOWED or base in AGGREGATE
