//! The wire format of protocol buffers, walked field by field over borrowed bytes.
//!
//! Knows no message: who reads one names the numbers of the fields. Nothing is allocated and nothing
//! is trusted; what cannot be a message ends the walk with [`Damaged`].
//!
//! The format: <https://protobuf.dev/programming-guides/encoding/>.

/// The fields of one message, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        // Nearly all are of one byte: tags, lengths, small steps.
        let (&first, rest) = self.0.split_first()?;
        if first < 0x80 {
            self.0 = rest;
            return Some(u64::from(first));
        }
        let mut value = 0;
        for (i, &byte) in self.0.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take()?)),
            // Groups went out of use before any of these files were written.
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Damaged>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Damaged))
    }
}

/// For tests: messages to read back.
#[cfg(test)]
pub(super) mod write {
    /// A number in the base 128 of the format.
    pub(in super::super) fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    /// A field of wire type 0.
    pub(in super::super) fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    /// A field of wire type 1.
    pub(in super::super) fn double(field: u64, value: f64) -> Vec<u8> {
        [varint(field << 3 | 1), value.to_le_bytes().to_vec()].concat()
    }

    /// A field of wire type 5.
    pub(in super::super) fn float(field: u64, value: f32) -> Vec<u8> {
        [varint(field << 3 | 5), value.to_le_bytes().to_vec()].concat()
    }

    /// A field of wire type 2.
    pub(in super::super) fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_were_written() {
        let message = [
            write::number(2, 300),
            write::double(1, 1.5),
            write::bytes(5, b"inner"),
            write::float(100, -2.0),
            write::number(3, u64::MAX),
        ]
        .concat();
        let read: Vec<_> = Fields::of(&message).collect::<Result<_, _>>().unwrap();
        let expected = [
            (2, Value::Varint(300)),
            (1, Value::Fixed64(1.5_f64.to_bits())),
            (5, Value::Bytes(b"inner")),
            (100, Value::Fixed32((-2.0_f32).to_bits())),
            (3, Value::Varint(u64::MAX)),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn what_is_cut_short_is_damaged_and_ends() {
        let message = [write::number(2, 300), write::bytes(5, b"inner"), write::double(1, 1.5)].concat();
        let whole = [0, 3, 10, 19];
        for cut in 0..message.len() {
            let fields: Vec<_> = Fields::of(&message[..cut]).collect();
            let damaged = fields.iter().filter(|field| field.is_err()).count();
            assert_eq!(damaged, usize::from(!whole.contains(&cut)), "cut at {cut}");
        }
        for bad in [&[0x0b][..], &[0xff; 11], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]] {
            assert_eq!(Fields::of(bad).collect::<Vec<_>>(), [Err(Damaged)], "{bad:?}");
        }
    }
}
