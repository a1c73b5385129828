//! AMF0 values in, with a cap on depth and number. Sizes are capped by those of the message.

use thiserror::Error;

/// Objects in objects. Metadata of encoders has one level; two are in the wild.
pub const MAX_DEPTH: usize = 8;
/// Values of one message, those inside others included. Metadata of encoders has some thirty.
pub const MAX_VALUES: usize = 2048;

/// An AMF0 value (AMF0 specification §2). What nobody needs is [`Value::Null`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Numbers are doubles.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text, short or long.
    String(String),
    /// Names and values, in order; ECMA arrays too.
    Object(Vec<(String, Value)>),
    /// Values in order.
    Array(Vec<Value>),
    /// Milliseconds since 1970.
    Date(f64),
    /// Null, undefined, unsupported and references.
    Null,
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            Value::Number(_)
            | Value::Boolean(_)
            | Value::Object(_)
            | Value::Array(_)
            | Value::Date(_)
            | Value::Null => None,
        }
    }

    /// The first value of that name, if this is an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Object(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            Value::Number(_)
            | Value::Boolean(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Date(_)
            | Value::Null => None,
        }
    }
}

/// Why bytes are no AMF0 that we take.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AmfError {
    /// The bytes end within a value.
    #[error("an AMF value is cut short")]
    Truncated,
    /// Objects within objects, too deep.
    #[error("AMF values are nested too deep")]
    TooDeep,
    /// More values than anybody needs.
    #[error("there are too many AMF values in one message")]
    TooMany,
    /// A type that AMF0 does not have, or that cannot be read past.
    #[error("there is no AMF type {0}")]
    UnknownType(u8),
}

/// All values of a message.
///
/// # Errors
/// The message is not AMF0, or exceeds a cap. Nothing of it was taken.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, AmfError> {
    let mut reader = Reader {
        rest: bytes,
        left: MAX_VALUES,
    };
    let mut values = Vec::new();
    while !reader.rest.is_empty() {
        values.push(reader.value(0)?);
    }
    Ok(values)
}

struct Reader<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], AmfError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AmfError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(AmfError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Encoders write text in the code page of their machine. What is not UTF-8 is replaced: no text of a stream is worth its end.
    fn text(&mut self, length: usize) -> Result<String, AmfError> {
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn number(&mut self) -> Result<f64, AmfError> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn value(&mut self, depth: usize) -> Result<Value, AmfError> {
        if depth > MAX_DEPTH {
            return Err(AmfError::TooDeep);
        }
        self.left = self.left.checked_sub(1).ok_or(AmfError::TooMany)?;
        let [marker] = self.array()?;
        Ok(match marker {
            0 => Value::Number(self.number()?),
            1 => Value::Boolean(self.array::<1>()? != [0]),
            2 => {
                let length = u16::from_be_bytes(self.array()?);
                Value::String(self.text(length.into())?)
            }
            3 => Value::Object(self.fields(depth)?),
            5 | 6 | 13 => Value::Null,
            7 => {
                self.array::<2>()?; // a reference to an earlier value
                Value::Null
            }
            8 => {
                self.array::<4>()?; // a count that encoders do not keep to
                Value::Object(self.fields(depth)?)
            }
            10 => {
                let count = u32::from_be_bytes(self.array()?);
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(self.value(depth + 1)?);
                }
                Value::Array(values)
            }
            11 => {
                let milliseconds = self.number()?;
                self.array::<2>()?; // a time zone that is reserved
                Value::Date(milliseconds)
            }
            12 | 15 => {
                let length = u32::from_be_bytes(self.array()?);
                Value::String(self.text(usize::try_from(length).map_err(|_| AmfError::Truncated)?)?)
            }
            16 => {
                let length = u16::from_be_bytes(self.array()?);
                self.take(length.into())?; // the name of a class
                Value::Object(self.fields(depth)?)
            }
            other => return Err(AmfError::UnknownType(other)),
        })
    }

    /// Fields up to the end marker. Some encoders leave it out at the end of a message.
    fn fields(&mut self, depth: usize) -> Result<Vec<(String, Value)>, AmfError> {
        let mut fields = Vec::new();
        while !self.rest.is_empty() {
            let length = u16::from_be_bytes(self.array()?);
            if length == 0 && self.rest.first() == Some(&9) {
                self.take(1)?;
                break;
            }
            let name = self.text(length.into())?;
            fields.push((name, self.value(depth + 1)?));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_real_metadata_message_are_read() {
        let mut bytes = vec![2, 0, 10];
        bytes.extend(b"onMetaData");
        bytes.extend([8, 0, 0, 0, 2, 0, 5]);
        bytes.extend(b"width");
        bytes.push(0);
        bytes.extend(1280f64.to_be_bytes());
        bytes.extend([0, 6]);
        bytes.extend(b"stereo");
        bytes.extend([1, 1, 0, 0, 9]);
        let values = decode(&bytes).unwrap();
        assert_eq!(values[0].text(), Some("onMetaData"));
        assert_eq!(values[1].get("width"), Some(&Value::Number(1280.0)));
        assert_eq!(values[1].get("stereo"), Some(&Value::Boolean(true)));
    }

    #[test]
    fn an_array_that_lies_about_its_length_allocates_nothing_for_it() {
        assert_eq!(decode(&[10, 255, 255, 255, 255, 5]), Err(AmfError::Truncated));
    }

    #[test]
    fn objects_within_objects_end_at_the_cap() {
        let bytes = [3, 0, 1, b'a'].repeat(10_000);
        assert_eq!(decode(&bytes), Err(AmfError::TooDeep));
        let bytes = [10, 0, 0, 0, 1].repeat(10_000);
        assert_eq!(decode(&bytes), Err(AmfError::TooDeep));
    }

    #[test]
    fn a_message_of_too_many_values_is_refused() {
        assert_eq!(decode(&[5; MAX_VALUES]).map(|values| values.len()), Ok(MAX_VALUES));
        assert_eq!(decode(&[5; MAX_VALUES + 1]), Err(AmfError::TooMany));
    }
}
