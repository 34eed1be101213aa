"""Unsigned LEB128, a number in groups of seven bits, the lowest first.

RowBinary, ClickHouse's Native format, and protobuf write the length of a string in it
(clickhouse.com/docs/interfaces/formats/RowBinary, protobuf.dev/programming-guides/encoding).
"""


def encoded(number: int) -> bytes:
    """The number, which is not negative, in as few bytes as possible."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decoded(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins at this place, and the place behind it. Raises IndexError if it does not end."""
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


# Most strings are short, and each message has some: to look their lengths up takes a third of the time.
_SHORT = [encoded(number) for number in range(0x80)]


def string(value: bytes) -> bytes:
    """The value after its length."""
    length = len(value)
    return (_SHORT[length] if length < 0x80 else encoded(length)) + value
