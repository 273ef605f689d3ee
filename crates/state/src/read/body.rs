//! The body of a reply under construction: bounded in length, with long parts shared with the tree
//! instead of copied.
//!
//! Building a reply holds the machine, and all other requests wait. So long data and listings are
//! not copied then: the reply gets a [`Piece`], a reference to what the tree has, and its bytes are
//! copied when they are sent to the client.

use std::sync::Arc;

use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::stat::Stat;

use super::Shown;
use crate::tree::Listing;

/// Bytes of names from which a listing is shared.
const NAMES_SHARED_MIN: usize = 8 << 10;

/// The error for a request whose reply would be too long.
pub(super) const TOO_LONG: ErrorCode = ErrorCode::MarshallingError;

/// A long part of a reply. Changes of the tree do not affect it.
#[derive(Clone)]
pub struct Piece(Content);

#[derive(Clone)]
enum Content {
    Names(Listing),
    Data(Arc<[u8]>),
}

impl Piece {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match &self.0 {
            Content::Names(names) => names.names_bytes(),
            Content::Data(data) => data.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, in parts counted from 0; `None` after the last one.
    pub fn part(&self, number: usize) -> Option<&[u8]> {
        match &self.0 {
            Content::Names(names) => names.part(number),
            Content::Data(data) => (number == 0).then_some(data),
        }
    }

    /// Bytes of memory it keeps alive: its data may have been removed from the tree, while most of
    /// a listing is shared with the tree.
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

/// The body of a reply under construction.
pub struct Body<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    bytes_max: usize,
    pieces: Vec<(usize, Piece)>,
    pieces_bytes: usize,
}

/// A position in a body, to which it can be reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    out: usize,
    pieces: usize,
    pieces_bytes: usize,
}

impl<'o> Body<'o> {
    /// Begins a body of at most `bytes_max` bytes at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, bytes_max: usize) -> Self {
        let start = out.len();
        Self { out, start, bytes_max, pieces: Vec::new(), pieces_bytes: 0 }
    }

    /// Completes the body: returns the pieces, each with the position in `out` before which it
    /// belongs.
    pub fn finish(self) -> Vec<(usize, Piece)> {
        self.pieces
    }

    /// Fails if `bytes` more would make the body too long. Must be called before adding anything of
    /// unbounded length.
    pub(crate) fn make_room(&self, bytes: usize) -> Result<(), ErrorCode> {
        let len = self.out.len() - self.start + self.pieces_bytes;
        if bytes <= self.bytes_max.saturating_sub(len) { Ok(()) } else { Err(TOO_LONG) }
    }

    /// The buffer for fields of a few bytes. Longer ones have their own functions here.
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

    /// Appends a buffer: raw bytes preceded by their length.
    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.make_room(4 + bytes.len())?;
        self.out.put_buffer(Some(bytes));
        Ok(())
    }

    /// Appends raw bytes.
    pub(crate) fn put_raw(&mut self, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.make_room(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends a node's data.
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

    /// Appends a null buffer.
    pub(crate) fn put_null(&mut self) -> Result<(), ErrorCode> {
        self.make_room(4)?;
        self.out.put_buffer(None);
        Ok(())
    }

    /// Appends the vector of names.
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

    /// Begins a vector of a number of items not yet known; [`end_vector`](Self::end_vector) fills
    /// it in.
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

    /// Removes everything appended since the mark.
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
