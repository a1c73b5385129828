"""The one decoder of JSON from others: strangers' requests, and a worker that may be in their hands.

Its only failure is ``DecodeError``, whatever the bytes are: not UTF-8, half a surrogate pair, cut short, nested as deep
as the message is long, or numbers of thousands of digits.
"""

from typing import Annotated, Final, Generic, TypeVar

import msgspec

Number = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
"""A whole number that JavaScript can count."""
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A whole number of 32 bits."""

_T = TypeVar("_T")
_DEEP: Final = "nested too deep"


class DecodeError(ValueError):
    """The text is no JSON, or not of the shape that was asked for. ``message`` says why and may be sent back."""

    code = "bad_json"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Decoder(Generic[_T]):
    """Reads values of one type."""

    def __init__(self, shape: type[_T]) -> None:
        """``shape``: what msgspec decodes to."""
        self._decoder: Final = msgspec.json.Decoder(shape)

    def decode(self, text: bytes | str) -> _T:
        """The value.

        Raises:
            DecodeError: there is none.
        """
        try:
            return self._decoder.decode(text)
        except RecursionError:
            raise DecodeError(_DEEP) from None
        except (ValueError, OverflowError) as error:  # msgspec's errors and those of Unicode are ValueErrors
            raise DecodeError(str(error)) from None
