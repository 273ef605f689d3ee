//! The body of a reply in the making: as long as it may be and no longer, and long parts shared
//! with the tree instead of copied.
//!
//! Whoever makes a reply holds the machine, and all others wait for it. So data and listings that
//! are long are not copied there: the reply gets a [`Piece`], which is a count more on what the
//! tree has, and its bytes are copied when the client takes them.

use std::sync::Arc;

use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::stat::Stat;

use super::Shown;
use crate::tree::Listing;

/// Bytes of names from which on a listing is shared.
const NAMES_SHARED_MIN: usize = 8 << 10;

/// What a client is told whose request would make a reply that is too long.
pub(super) const TOO_LONG: ErrorCode = ErrorCode::MarshallingError;

/// A long part of a reply. It stays as it was when the tree changes.
#[derive(Clone)]
pub struct Piece(Content);

#[derive(Clone)]
enum Content {
    Names(Listing),
    Data(Arc<[u8]>),
}

impl Piece {
    /// Bytes of it.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Names(names) => names.names_bytes(),
            Content::Data(data) => data.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, in parts that are counted from 0; `None` behind the last one.
    pub fn part(&self, number: usize) -> Option<&[u8]> {
        match &self.0 {
            Content::Names(names) => names.part(number),
            Content::Data(data) => (number == 0).then_some(data),
        }
    }

    /// Bytes of memory it takes: data may be gone from the tree meanwhile, while most of a listing
    /// is in the tree as well.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Content::Names(names) => names.own_bytes(),
            Content::Data(data) => data.len(),
        }
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} shared bytes", self.len())
    }
}

/// The body of a reply in the making.
pub struct Body<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    bytes_max: usize,
    pieces: Vec<(usize, Piece)>,
    pieces_bytes: usize,
}

/// A place in a body, to go back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    out: usize,
    pieces: usize,
    pieces_bytes: usize,
}

impl<'o> Body<'o> {
    /// Begins at the end of `out` a body of at most `bytes_max` bytes.
    pub fn new(out: &'o mut Vec<u8>, bytes_max: usize) -> Self {
        let start = out.len();
        Self { out, start, bytes_max, pieces: Vec::new(), pieces_bytes: 0 }
    }

    /// Ends it: the pieces, each with the position in `out` of the byte before which it belongs.
    pub fn finish(self) -> Vec<(usize, Piece)> {
        self.pieces
    }

    /// Refuses what would make the body too long. To be asked before anything is added whose length
    /// has no bound of its own.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<(), ErrorCode> {
        let len = self.out.len() - self.start + self.pieces_bytes;
        if bytes <= self.bytes_max.saturating_sub(len) { Ok(()) } else { Err(TOO_LONG) }
    }

    /// Where fields of a few bytes are appended. What is longer has its own functions here.
    pub(crate) fn short(&mut self) -> &mut Vec<u8> {
        self.out
    }

    pub(crate) fn put_stat(&mut self, stat: &Stat) -> Result<(), ErrorCode> {
        self.make_room(Stat::ENCODED_LEN)?;
        stat.encode(self.out);
        Ok(())
    }

    pub(crate) fn put_str(&mut self, text: &str) -> Result<(), ErrorCode> {
        self.put_bytes(text.as_bytes())
    }

    /// Appends a buffer: raw bytes with their length before them.
    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.make_room(4 + bytes.len())?;
        self.out.put_buffer(Some(bytes));
        Ok(())
    }

    /// Appends bytes as they are.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.make_room(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends the data of a node.
    pub(crate) fn put_data(&mut self, data: &Shown<'_>) -> Result<(), ErrorCode> {
        match data {
            Shown::Shared(data) => {
                self.make_room(4 + data.len())?;
                self.out.put_len(data.len());
                self.push(Piece(Content::Data(Arc::clone(data))));
                Ok(())
            }
            Shown::Stored(Some(data)) => self.put_bytes(data),
            Shown::Stored(None) => self.put_null(),
            Shown::Made(text) => self.put_str(text),
        }
    }

    /// Appends the buffer that is null.
    pub(crate) fn put_null(&mut self) -> Result<(), ErrorCode> {
        self.make_room(4)?;
        self.out.put_buffer(None);
        Ok(())
    }

    /// Appends the vector of the names.
    pub(crate) fn put_names(&mut self, names: Listing) -> Result<(), ErrorCode> {
        let bytes = names.names_bytes();
        self.make_room(4 + bytes)?;
        self.out.put_len(names.len());
        if bytes < NAMES_SHARED_MIN {
            names.write_names(self.out);
        } else {
            self.push(Piece(Content::Names(names)));
        }
        Ok(())
    }

    /// Begins a vector whose number of items is not known yet, which
    /// [`end_vector`](Self::end_vector) adds.
    pub(crate) fn begin_vector(&mut self) -> usize {
        let at = self.out.len();
        self.out.put_len(0);
        at
    }

    pub(crate) fn end_vector(&mut self, begun_at: usize, items: u32) {
        self.out[begun_at..begun_at + 4].copy_from_slice(&items.to_be_bytes());
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { out: self.out.len(), pieces: self.pieces.len(), pieces_bytes: self.pieces_bytes }
    }

    /// Takes back everything that was appended since.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.out.truncate(mark.out);
        self.pieces.truncate(mark.pieces);
        self.pieces_bytes = mark.pieces_bytes;
    }

    fn push(&mut self, piece: Piece) {
        self.pieces_bytes += piece.len();
        self.pieces.push((self.out.len(), piece));
    }
}
