//! Several requests in one, and their results.
//!
//! Both are a sequence of [`MultiHeader`] and record, ended by a header with `done` set. There is
//! no count and no nesting.

use std::fmt;

use super::{
    Create2Reply, CreateReply, ErrorReply, ExistsReply, FilteredListWithStatsAndDataReply, GetChildren2Reply,
    GetChildrenReply, GetDataReply, MultiHeader, Record, Request, SetDataReply,
};
use crate::jute::{Malformed, Reader};
use crate::opcode::Opcode;

/// Request of `multi` and `multiRead`. Decoding validates every operation, but not whether these
/// operations are allowed together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Multi<'a> {
    /// Invariant: `count` well-formed operations and the end header.
    raw: &'a [u8],
    count: usize,
}

impl<'a> Multi<'a> {
    /// Takes the record off `input`. Refuses operations that no multi allows, such as another
    /// multi.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut count = 0;
        let raw = input.span(|input| {
            while next_operation(input)?.is_some() {
                count += 1;
            }
            Ok(())
        })?;
        Ok(Self { raw, count })
    }

    /// Encodes `operations` into `buffer`, replacing its content.
    ///
    /// # Panics
    /// If an operation is not allowed in a multi ([`Opcode::is_multi_part`]).
    pub fn encode_into<'o>(
        operations: impl IntoIterator<Item = Request<'o>>,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        let mut count = 0;
        for operation in operations {
            let opcode = operation.opcode();
            assert!(opcode.is_multi_part(), "{opcode} is not allowed in a multi");
            // ZooKeeper's own client writes -1 here; servers ignore it.
            MultiHeader { opcode_raw: opcode as i32, done: false, err: -1 }.encode(buffer);
            operation.encode(buffer);
            count += 1;
        }
        MultiHeader::END.encode(buffer);
        Self { raw: buffer, count }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.raw);
    }

    /// Number of operations.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no operations, which is legal.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The operations in order.
    #[inline]
    pub fn iter(&self) -> Operations<'a> {
        Operations { input: Reader::new(self.raw), remaining: self.count }
    }
}

impl fmt::Debug for Multi<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for Multi<'a> {
    type Item = Request<'a>;
    type IntoIter = Operations<'a>;

    fn into_iter(self) -> Operations<'a> {
        self.iter()
    }
}

fn next_operation<'a>(input: &mut Reader<'a>) -> Result<Option<Request<'a>>, Malformed> {
    let header = MultiHeader::decode(input)?;
    if header.done {
        return Ok(None);
    }
    match Opcode::from_i32(header.opcode_raw) {
        Some(opcode) if opcode.is_multi_part() => Request::decode_from(opcode, input).map(Some),
        _ => Err(Malformed::Operation(header.opcode_raw)),
    }
}

/// The operations of a [`Multi`].
#[derive(Clone, Debug)]
pub struct Operations<'a> {
    input: Reader<'a>,
    remaining: usize,
}

impl<'a> Iterator for Operations<'a> {
    type Item = Request<'a>;

    fn next(&mut self) -> Option<Request<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        next_operation(&mut self.input).expect("decoding validated the multi")
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Operations<'_> {}

/// The result of one operation of a multi.
///
/// `createContainer` and `createTTL` answer like `create2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// Of `create`.
    Create(CreateReply<'a>),
    /// Of `create2`, `createContainer` and `createTTL`.
    Create2(Create2Reply<'a>),
    /// Of `createIfNotExists`.
    CreateIfNotExists(CreateReply<'a>),
    /// Of `delete`.
    Delete,
    /// Of `setData`.
    SetData(SetDataReply),
    /// Of `check`.
    Check,
    /// Of `checkNotExists`.
    CheckNotExists,
    /// Of `removeRecursive`.
    RemoveRecursive,
    /// Of `checkStat`.
    CheckStat,
    /// Of `tryRemove`.
    TryRemove,
    /// Of `exists`.
    Exists(ExistsReply),
    /// Of `getData`.
    GetData(GetDataReply<'a>),
    /// Of `getChildren`.
    GetChildren(GetChildrenReply<'a>),
    /// Of `getChildren2`.
    GetChildren2(GetChildren2Reply<'a>),
    /// Of `filteredList`.
    FilteredList(GetChildren2Reply<'a>),
    /// Of `filteredListWithStatsAndData`.
    FilteredListWithStatsAndData(FilteredListWithStatsAndDataReply<'a>),
    /// Of an operation that failed, and of every other operation in the same multi: an error code,
    /// 0 for the operations before the one that failed.
    Error(i32),
    /// Of a failed read in ClickHouse Keeper's format: under the operation's own number and without
    /// a body, where ZooKeeper has [`Error`](Self::Error).
    Failed {
        /// The operation.
        opcode: Opcode,
        /// Its error code.
        err: i32,
    },
}

impl<'a> MultiResult<'a> {
    /// The opcode in the result's header.
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Create(_) => Opcode::Create,
            Self::Create2(_) => Opcode::Create2,
            Self::CreateIfNotExists(_) => Opcode::CreateIfNotExists,
            Self::Delete => Opcode::Delete,
            Self::SetData(_) => Opcode::SetData,
            Self::Check => Opcode::Check,
            Self::CheckNotExists => Opcode::CheckNotExists,
            Self::RemoveRecursive => Opcode::RemoveRecursive,
            Self::CheckStat => Opcode::CheckStat,
            Self::TryRemove => Opcode::TryRemove,
            Self::Exists(_) => Opcode::Exists,
            Self::GetData(_) => Opcode::GetData,
            Self::GetChildren(_) => Opcode::GetChildren,
            Self::GetChildren2(_) => Opcode::GetChildren2,
            Self::FilteredList(_) => Opcode::FilteredList,
            Self::FilteredListWithStatsAndData(_) => Opcode::FilteredListWithStatsAndData,
            Self::Error(_) => Opcode::Error,
            Self::Failed { opcode, .. } => *opcode,
        }
    }

    /// The error code of an operation that was not executed, in either format; `Some(0)` for one
    /// that would have succeeded in a failed multi.
    pub fn error(&self) -> Option<i32> {
        match *self {
            Self::Error(err) | Self::Failed { err, .. } => Some(err),
            _ => None,
        }
    }

    /// Appends header and body of the result. [`MultiHeader::END`] must follow the last one.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let err = self.error().unwrap_or(0);
        MultiHeader { opcode_raw: self.opcode() as i32, done: false, err }.encode(out);
        match self {
            Self::Create(body) | Self::CreateIfNotExists(body) => body.encode(out),
            Self::Create2(body) => body.encode(out),
            Self::SetData(body) => body.encode(out),
            Self::Exists(body) => body.encode(out),
            Self::GetData(body) => body.encode(out),
            Self::GetChildren(body) => body.encode(out),
            Self::GetChildren2(body) | Self::FilteredList(body) => body.encode(out),
            Self::FilteredListWithStatsAndData(body) => body.encode(out),
            Self::Error(err) => ErrorReply { err: *err }.encode(out),
            Self::Delete
            | Self::Check
            | Self::CheckNotExists
            | Self::RemoveRecursive
            | Self::CheckStat
            | Self::TryRemove
            | Self::Failed { .. } => {}
        }
    }

    /// Takes the next result off `input`, or `None` at the end.
    fn decode_next(input: &mut Reader<'a>) -> Result<Option<Self>, Malformed> {
        let header = MultiHeader::decode(input)?;
        if header.done {
            return Ok(None);
        }
        let unknown = Malformed::Operation(header.opcode_raw);
        let opcode = Opcode::from_i32(header.opcode_raw).ok_or(unknown)?;
        if header.err != 0 && opcode != Opcode::Error {
            return Ok(Some(Self::Failed { opcode, err: header.err }));
        }
        let result = match opcode {
            Opcode::Create => Self::Create(Record::decode(input)?),
            Opcode::Create2 | Opcode::CreateContainer | Opcode::CreateTtl => {
                Self::Create2(Record::decode(input)?)
            }
            Opcode::CreateIfNotExists => Self::CreateIfNotExists(Record::decode(input)?),
            Opcode::Delete => Self::Delete,
            Opcode::SetData => Self::SetData(Record::decode(input)?),
            Opcode::Check => Self::Check,
            Opcode::CheckNotExists => Self::CheckNotExists,
            Opcode::RemoveRecursive => Self::RemoveRecursive,
            Opcode::CheckStat => Self::CheckStat,
            Opcode::TryRemove => Self::TryRemove,
            Opcode::Exists => Self::Exists(Record::decode(input)?),
            Opcode::GetData => Self::GetData(Record::decode(input)?),
            Opcode::GetChildren => Self::GetChildren(Record::decode(input)?),
            Opcode::GetChildren2 => Self::GetChildren2(Record::decode(input)?),
            Opcode::FilteredList => Self::FilteredList(Record::decode(input)?),
            Opcode::FilteredListWithStatsAndData => {
                Self::FilteredListWithStatsAndData(Record::decode(input)?)
            }
            Opcode::Error => Self::Error(ErrorReply::decode(input)?.err),
            _ => return Err(unknown),
        };
        Ok(Some(result))
    }
}

/// Reply of `multi` and `multiRead`: one result per operation. Decoding validates every result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MultiReply<'a> {
    /// Invariant: `count` well-formed results and the end header.
    raw: &'a [u8],
    count: usize,
}

impl<'a> MultiReply<'a> {
    /// Takes the record off `input`.
    pub fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut count = 0;
        let raw = input.span(|input| {
            while MultiResult::decode_next(input)?.is_some() {
                count += 1;
            }
            Ok(())
        })?;
        Ok(Self { raw, count })
    }

    /// Encodes `results` into `buffer`, replacing its content.
    pub fn encode_into<'r>(
        results: impl IntoIterator<Item = MultiResult<'r>>,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        let mut count = 0;
        for result in results {
            result.encode(buffer);
            count += 1;
        }
        MultiHeader::END.encode(buffer);
        Self { raw: buffer, count }
    }

    /// Appends the record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.raw);
    }

    /// Number of results.
    #[inline]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no results.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The results in the order of the operations.
    #[inline]
    pub fn iter(&self) -> Results<'a> {
        Results { input: Reader::new(self.raw), remaining: self.count }
    }
}

impl fmt::Debug for MultiReply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for MultiReply<'a> {
    type Item = MultiResult<'a>;
    type IntoIter = Results<'a>;

    fn into_iter(self) -> Results<'a> {
        self.iter()
    }
}

/// The results in a [`MultiReply`].
#[derive(Clone, Debug)]
pub struct Results<'a> {
    input: Reader<'a>,
    remaining: usize,
}

impl<'a> Iterator for Results<'a> {
    type Item = MultiResult<'a>;

    fn next(&mut self) -> Option<MultiResult<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        MultiResult::decode_next(&mut self.input).expect("decoding validated the reply")
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Results<'_> {}
