"""The query's tree as a condition in SQL: every value a bound parameter, every predicate in the form its index takes.

A word is a run of ASCII letters, digits, and bytes above 127. Words without a digit and the attributes' `key=value` are
in text indexes; numbers and ids, which have a digit, are in bloom filters, which only say where to look. Both are used
for `has` on exactly the columns of tables/0003_search.sql and tables/0008_search_words.sql.
"""

import re
from dataclasses import dataclass, field

from logbrook.query.syntax import (
    All,
    Any,
    Compares,
    Equals,
    Everything,
    Exists,
    Field,
    Fits,
    In,
    InNetwork,
    Matches,
    Node,
    Not,
    OfField,
    Place,
    Severity,
    Text,
    TextGlob,
    escaped,
    glob_pieces,
    is_unspaced,
    lowered,
    spellings,
)

_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")
# More words than this make the index slower, not narrower; the engine itself takes 64.
_MAX_INDEXED_WORDS = 12
_DIGIT = re.compile("[0-9]")
# From this length in bytes on, a word with a digit is an id.
_ID_BYTES = 8
# The columns that hold `key=value` and have a text index.
_ITEMS = {Place.LOG: "LogAttributeTerms", Place.RESOURCE: "ResourceAttributeItems"}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\0": "\\0"})


@dataclass
class Parameters:
    """The values of a statement, sent beside it, so that nothing that a user wrote is part of the SQL."""

    values: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, value: str | float) -> str:
        """Bind a value; returns what stands for it in the statement."""
        name = f"p{len(self.values)}"
        self.values[name] = value.translate(_ESCAPES) if isinstance(value, str) else repr(value)
        return f"{{{name}:{kind}}}"

    def text(self, value: str) -> str:
        """Bind a string."""
        return self.add("String", value)

    def inlined(self, sql: str) -> str:
        """SQL with the values in it: for people to copy, and for settings, where ClickHouse does not bind values."""

        def literal(found: re.Match[str]) -> str:
            value = self.values[found[1]]
            return "'" + value.replace("'", "\\'") + "'" if found[2] == "String" else value

        return re.sub(r"\{(p\d+):(\w+)\}", literal, sql)


def literal(node: Node) -> str:
    """The condition of a node with its values in it."""
    parameters = Parameters()
    return parameters.inlined(condition(node, parameters))


def words(text: str) -> list[str]:
    """The words of a text, as the index has them."""
    return [word.decode() for word in _WORD.findall(text.encode())]


def ids(text: str) -> list[str]:
    """Its words that are ids, as the bloom filter has them."""
    return [word for word in words(lowered(text)) if _DIGIT.search(word) and len(word.encode()) >= _ID_BYTES]


def condition(node: Node, parameters: Parameters) -> str:  # noqa: PLR0911 - one for each kind of node
    """SQL that is 1 for the rows that the tree matches and 0 for all others, never NULL."""
    match node:
        case Everything():
            return "1"
        case Text(text=text):
            return _any([_text(each, parameters) for each in spellings(text)])
        case TextGlob(glob=glob):
            return _any([_text_glob(each, parameters) for each in spellings(glob)])
        case Severity(lowest=lowest, highest=highest):
            return _severity(lowest, highest)
        case Not(part=part):
            return f"NOT {_bracketed(part, parameters)}"
        case All(parts=parts):
            return " AND ".join(_bracketed(part, parameters) for part in parts)
        case Any(parts=parts):
            return " OR ".join(_bracketed(part, parameters) for part in parts)
        case In(field=of, part=part, within=within):
            value = value_sql(of, parameters)
            found = f"FROM otel_logs WHERE {within} AND {_bracketed(part, parameters)} AND {value} != ''"
            # GLOBAL: on a cluster, one server runs the subquery for all.
            return f"{value} GLOBAL IN (SELECT DISTINCT {value} {found})"
    return _field(node, parameters)


def value_sql(field: Field, parameters: Parameters) -> str:
    """SQL for a field's value as text; '' if the event does not have it."""
    if field.place is Place.COLUMN:
        return f"toString({field.name})" if field.numeric else field.name
    key = parameters.text(field.name)
    if field.place is Place.ANYWHERE:
        return f"if(mapContains(LogAttributes, {key}), LogAttributes[{key}], ResourceAttributes[{key}])"
    return f"{field.place.value}[{key}]"


def is_indexed(node: Node) -> bool:
    """Whether a text index alone can answer its condition."""
    match node:
        case Equals(field=Field(place=place, name=key), value=value):
            return place in _ITEMS and "=" not in key + value and not (place is Place.LOG and ids(value))
        case Text(text=text):
            return [words(text.lower())] == [spellings(text)] and not (is_unspaced(text) or _DIGIT.search(text))
    return False


def _any(conditions: list[str]) -> str:
    return conditions[0] if len(conditions) == 1 else " OR ".join(f"({each})" for each in conditions)


def _bracketed(node: Node, parameters: Parameters) -> str:
    return f"({condition(node, parameters)})"


def _severity(lowest: int, highest: int) -> str:
    if lowest > highest:
        return "0"
    if lowest == highest:
        return f"SeverityNumber = {lowest:d}"
    return f"SeverityNumber >= {lowest:d} AND SeverityNumber <= {highest:d}"


def _text(text: str, parameters: Parameters) -> str:
    if not text:
        return "1"
    if is_unspaced(text):
        return f"lower(Body) LIKE {parameters.text('%' + _like(escaped(text)) + '%')}"
    found = words(text)
    conditions: list[str] = []
    if found:
        rarest = sorted(set(found), key=len, reverse=True)[:_MAX_INDEXED_WORDS]
        conditions += [_has_word(word, parameters) for word in rarest]
        if digits := [word for word in rarest if _DIGIT.search(word)]:
            conditions.append(f"hasAllTokens(lower(Body), {parameters.text(' '.join(digits))})")
    if found != [text]:
        bound = parameters.text(text)
        conditions.append(f"position(lower(Body), {bound}) > 0")
        if found:
            conditions.append(f"hasSubstr(tokens(lower(Body)), tokens({bound}))")
    return " AND ".join(conditions)


def _has_word(word: str, parameters: Parameters) -> str:
    """SQL that an index answers for a word: exact for one without a digit."""
    if not _DIGIT.search(word):
        return f"has(BodyWords, {parameters.text(word)})"
    return f"has({'Ids' if ids(word) else 'BodyNumbers'}, {parameters.text(word)})"


def _text_glob(glob: str, parameters: Parameters) -> str:
    pieces = glob_pieces(glob)
    literal = "".join(character for character, wild in pieces if not wild)
    if words(literal) != [literal]:
        return f"lower(Body) LIKE {parameters.text('%' + _like(glob) + '%')}"
    runs = "".join("\0" if wild else character for character, wild in pieces).split("\0")
    longest = parameters.text(f"%{max(runs, key=len)}%")
    pattern = parameters.text(_like(glob))
    return f"lower(Body) LIKE {longest} AND arrayExists(word -> word LIKE {pattern}, tokens(lower(Body)))"


def _like(glob: str) -> str:
    """A glob as a pattern of LIKE."""
    wildcards = {"*": "%", "?": "_"}
    return "".join(
        wildcards[character] if wild else "\\" + character if character in "%_\\" else character
        for character, wild in glob_pieces(glob)
    )


def _field(node: OfField, parameters: Parameters) -> str:
    if node.field.place is Place.COLUMN:
        return _column(node, parameters)
    if node.field.place is Place.ANYWHERE:
        places = (Place.LOG, Place.RESOURCE)
        if isinstance(node, Equals) and ids(node.value):
            # Not each with its own index: ClickHouse does not combine a bloom filter with a text index by OR.
            pairs = " OR ".join(f"({_pair(place, node.field.name, node.value, parameters)})" for place in places)
            return f"{_has_ids(node.value, parameters)} AND ({pairs})"
        return " OR ".join(f"({_attribute(node, place, node.field.name, parameters)})" for place in places)
    if node.field.place is Place.MADE:
        return _made(node, parameters)
    return _attribute(node, node.field.place, node.field.name, parameters)


def _made(node: OfField, parameters: Parameters) -> str:
    """The condition for a column that a stage made; a number may be NULL."""
    name, numeric = node.field.name, node.field.numeric
    match node:
        case Compares(operator=operator, number=number):
            value = name if numeric else f"toFloat64OrNull({name})"
            return f"ifNull({value} {operator} {parameters.add('Float64', float(number))}, 0)"
        case Exists():
            return f"{name} IS NOT NULL" if numeric else f"{name} != ''"
    return _column(node, parameters)


def _column(node: OfField, parameters: Parameters) -> str:
    column = node.field.name
    match node:
        case Equals(value=value):
            return f"{column} = {parameters.text(value)}"
        case Fits(glob=glob):
            return f"{column} LIKE {parameters.text(_like(glob))}"
        case Matches(pattern=pattern):
            return f"match({column}, {parameters.text(pattern)})"
        case InNetwork(network=network):
            return _in_network(column, network, parameters)
        case Exists(field=Field(numeric=numeric)):
            return f"{column} != {0 if numeric else repr('')}"
        case Compares(operator=operator, number=number):
            return f"{column} {operator} {parameters.add('Int64', int(number))}"


def _attribute(node: OfField, place: Place, key: str, parameters: Parameters) -> str:
    if isinstance(node, Equals):
        return _attribute_equals(place, key, node.value, parameters)
    bound = parameters.text(key)
    value = f"{place.value}[{bound}]"
    match node:
        case Fits(glob=glob):
            return f"mapContains({place.value}, {bound}) AND {value} LIKE {parameters.text(_like(glob))}"
        case Matches(pattern=pattern):
            return f"mapContains({place.value}, {bound}) AND match({value}, {parameters.text(pattern)})"
        case InNetwork(network=network):
            return _in_network(value, network, parameters)
        case Exists():
            return f"{value} != ''"
        case Compares(operator=operator, number=number):
            return f"ifNull(toFloat64OrNull({value}) {operator} {parameters.add('Float64', float(number))}, 0)"


def _in_network(value: str, network: str, parameters: Parameters) -> str:
    # The function raises for what is not an address.
    address = f"(isIPv4String({value}) OR isIPv6String({value}))"
    return f"{address} AND isIPAddressInRange(if({address}, {value}, '::'), {parameters.text(network)})"


def _attribute_equals(place: Place, key: str, wanted: str, parameters: Parameters) -> str:
    if place is Place.LOG and ids(wanted):
        return f"{_has_ids(wanted, parameters)} AND {_pair(place, key, wanted, parameters)}"
    if place not in _ITEMS:
        return _pair(place, key, wanted, parameters)
    has_item = f"has({_ITEMS[place]}, {parameters.text(f'{key}={wanted}')})"
    # `a=b` with the value c and `a` with the value b=c are the same item: only then must the row itself be checked.
    return f"{has_item} AND {_pair(place, key, wanted, parameters)}" if "=" in key + wanted else has_item


def _has_ids(text: str, parameters: Parameters) -> str:
    found = ids(text)[:_MAX_INDEXED_WORDS]
    return " AND ".join(f"has(Ids, {parameters.text(word)})" for word in found)


def _pair(place: Place, key: str, wanted: str, parameters: Parameters) -> str:
    bound = parameters.text(key)
    return f"mapContains({place.value}, {bound}) AND {place.value}[{bound}] = {parameters.text(wanted)}"
