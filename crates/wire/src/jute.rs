//! Jute, ZooKeeper's serialization: big-endian integers, one-byte booleans, and length-prefixed
//! strings, buffers and vectors; a length of -1 means null.

/// Why bytes are not a valid record. The server answers `MarshallingError` or closes the
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field, length or count extends beyond the end of the record.
    #[error("the record ends in the middle of a field")]
    Truncated,
    /// A length below -1; -1, meaning null, is the only valid negative one.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// Null where the field requires a value.
    #[error("null where a value is required")]
    Null,
    /// A string that is not UTF-8. [`crate::lenient`] has ZooKeeper's reading of it.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// An operation that does not exist or is not allowed here.
    #[error("operation {0} is not allowed here")]
    Operation(i32),
    /// A number outside the closed set the field takes its values from.
    #[error("{0} is not a value of this field")]
    Value(i32),
    /// Trailing bytes after a record that must fill its space exactly.
    #[error("{0} trailing bytes")]
    Excess(usize),
}

/// Takes fields off the front of a record. After an error the position is unspecified.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their start.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next `count` bytes, uninterpreted.
    #[inline]
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A 32-bit integer.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// A 64-bit integer.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// A boolean: any byte but 0 is true, as in Java's `DataInput`.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.u8()? != 0)
    }

    #[inline]
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed::NegativeLength(length)),
        }
    }

    /// A buffer, or `None` for null.
    #[inline]
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.length()? {
            Some(length) => self.take(length).map(Some),
            None => Ok(None),
        }
    }

    /// A string, or `None` for null.
    #[inline]
    pub fn ustring(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.buffer()? {
            Some(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| Malformed::NotUtf8),
            None => Ok(None),
        }
    }

    /// A string that cannot be null.
    #[inline]
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        self.ustring()?.ok_or(Malformed::Null)
    }

    /// The number of items of the vector that follows, or `None` for null. It never exceeds the
    /// number of bytes left, since an item has at least one byte, so a caller may reserve that
    /// much. A count below -1 means 0, as in Java.
    #[inline]
    pub fn vector_len(&mut self) -> Result<Option<usize>, Malformed> {
        match self.length() {
            Ok(Some(count)) if count > self.bytes.len() => Err(Malformed::Truncated),
            Err(Malformed::NegativeLength(_)) => Ok(Some(0)),
            count => count,
        }
    }

    /// The bytes not read yet.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Fails if any bytes are unread. Not for client requests: ZooKeeper ignores trailing bytes
    /// there, which lets an old server read a record that has gained fields.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.bytes.is_empty() { Ok(()) } else { Err(Malformed::Excess(self.bytes.len())) }
    }

    /// The bytes that `walk` reads, if it succeeds.
    #[inline]
    pub(crate) fn span(
        &mut self,
        walk: impl FnOnce(&mut Self) -> Result<(), Malformed>,
    ) -> Result<&'a [u8], Malformed> {
        let start = self.bytes;
        walk(self)?;
        Ok(&start[..start.len() - self.bytes.len()])
    }
}

/// Appends fields to a record.
pub trait Put {
    /// Appends a 32-bit integer.
    fn put_i32(&mut self, value: i32);
    /// Appends a 64-bit integer.
    fn put_i64(&mut self, value: i64);
    /// Appends a boolean.
    fn put_bool(&mut self, value: bool);
    /// Appends one byte.
    fn put_u8(&mut self, value: u8);
    /// Appends a buffer, `None` as null.
    fn put_buffer(&mut self, value: Option<&[u8]>);
    /// Appends a string.
    fn put_str(&mut self, value: &str);
    /// Appends a string, `None` as null.
    fn put_opt_str(&mut self, value: Option<&str>);
    /// Appends a length or a count.
    ///
    /// # Panics
    /// If it is 2^31 or more: the protocol cannot express it, and the limits on frames are far
    /// below.
    fn put_len(&mut self, length: usize);
}

impl Put for Vec<u8> {
    #[inline]
    fn put_i32(&mut self, value: i32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn put_i64(&mut self, value: i64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    #[inline]
    fn put_bool(&mut self, value: bool) {
        self.push(u8::from(value));
    }

    #[inline]
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    #[inline]
    fn put_buffer(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => {
                self.put_len(bytes.len());
                self.extend_from_slice(bytes);
            }
            None => self.put_i32(-1),
        }
    }

    #[inline]
    fn put_str(&mut self, value: &str) {
        self.put_buffer(Some(value.as_bytes()));
    }

    #[inline]
    fn put_opt_str(&mut self, value: Option<&str>) {
        self.put_buffer(value.map(str::as_bytes));
    }

    #[inline]
    fn put_len(&mut self, length: usize) {
        self.put_i32(i32::try_from(length).expect("a jute length is below 2^31"));
    }
}
