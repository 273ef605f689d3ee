//! Vectors that stay encoded until they are read.

use std::fmt;
use std::marker::PhantomData;

use super::Record;
use crate::jute::{Malformed, Put, Reader};

/// A jute vector whose items were all validated when it was decoded, and are decoded again when
/// read. Null and empty are the same after decoding. Two lists are equal when their bytes are.
pub struct List<'a, T> {
    /// Invariant: exactly `count` well-formed items.
    items: &'a [u8],
    count: usize,
    item: PhantomData<T>,
}

/// A list of paths, or of names.
pub type PathList<'a> = List<'a, &'a str>;

impl<'a, T: Record<'a>> List<'a, T> {
    /// No items.
    pub const EMPTY: Self = List { items: &[], count: 0, item: PhantomData };

    /// Takes a list off `input`.
    #[inline]
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = input.vector_len()?.unwrap_or(0);
        Self::decode_items(count, input)
    }

    /// Like [`decode`](Self::decode), but fails if the list is null.
    pub(crate) fn decode_present(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = input.vector_len()?.ok_or(Malformed::Null)?;
        Self::decode_items(count, input)
    }

    #[inline]
    fn decode_items(count: usize, input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let items = input.span(|input| {
            for _ in 0..count {
                T::decode(input)?;
            }
            Ok(())
        })?;
        Ok(List { items, count, item: PhantomData })
    }

    /// Encodes `items` into `buffer`, replacing its content.
    pub fn encode_into<'i>(
        items: impl IntoIterator<Item = impl Record<'i>>,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        let mut count = 0;
        for item in items {
            item.encode(buffer);
            count += 1;
        }
        List { items: buffer, count, item: PhantomData }
    }

    /// Appends the list.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_len(self.count);
        out.extend_from_slice(self.items);
    }

    /// The items in order.
    #[inline]
    pub fn iter(&self) -> Items<'a, T> {
        Items { input: Reader::new(self.items), remaining: self.count, item: PhantomData }
    }
}

impl<T> List<'_, T> {
    /// Number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a, T: Record<'a>> Record<'a> for List<'a, T> {
    #[inline]
    fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        List::decode(input)
    }

    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        List::encode(self, out);
    }
}

// Implemented by hand: derives would require the same of `T`, which is only a marker here.
impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.items == other.items
    }
}

impl<T> Eq for List<'_, T> {}

impl<'a, T: Record<'a> + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Record<'a>> Default for List<'a, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<'a, T: Record<'a>> IntoIterator for List<'a, T> {
    type Item = T;
    type IntoIter = Items<'a, T>;

    fn into_iter(self) -> Items<'a, T> {
        self.iter()
    }
}

/// The items of a [`List`].
#[derive(Clone, Debug)]
pub struct Items<'a, T> {
    input: Reader<'a>,
    remaining: usize,
    item: PhantomData<T>,
}

impl<'a, T: Record<'a>> Iterator for Items<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.remaining = self.remaining.checked_sub(1)?;
        Some(T::decode(&mut self.input).expect("decoding validated the list"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl<'a, T: Record<'a>> ExactSizeIterator for Items<'a, T> {}
