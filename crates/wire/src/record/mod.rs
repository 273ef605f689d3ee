//! The records of the protocol: handshake, headers, and the body of every request and reply.
//!
//! A record is a struct of its fields in wire order. `decode` takes it off a [`Reader`] and leaves
//! the rest; `encode` appends it. [`Request`] covers all requests, [`Reply`] all replies.
//!
//! | file | records |
//! |---|---|
//! | `connect` | the handshake, which has no header |
//! | `header` | what comes before every body |
//! | `data` | znodes: create, delete, exists, data, ACL, checks, sync |
//! | `children` | listings |
//! | `watch` | watches set, added, checked, removed |
//! | `session` | authentication, identities, ephemerals, members |
//! | `multi` | many requests in one, and their results |

mod children;
mod connect;
mod data;
mod header;
mod list;
mod multi;
mod reply;
mod request;
mod session;
mod watch;

pub use children::*;
pub use connect::*;
pub use data::*;
pub use header::*;
pub use list::*;
pub use multi::*;
pub use reply::Reply;
pub use request::Request;
pub use session::*;
pub use watch::*;

use crate::acl::AclList;
use crate::jute::{Malformed, Put, Reader};
use crate::stat::Stat;

/// Part of a record, or a whole one.
pub trait Record<'a>: Sized {
    /// Takes it off `input` and finds every structural error.
    fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed>;
    /// Appends it.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Defines records by their fields in wire order.
macro_rules! records {
    ($($(#[$doc:meta])* $name:ident $(<$lt:lifetime>)? {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(records!(@one [$(#[$doc])*] $name [$($lt)?] [$($(#[$field_doc])* $field: $type,)*]);)*
    };
    (@one [$(#[$doc:meta])*] $name:ident [] [$($(#[$field_doc:meta])* $field:ident: $type:ty,)*]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// Takes the record off `input`.
            #[inline]
            pub fn decode(input: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(Self { $($field: <$type as Record<'_>>::decode(input)?,)* })
            }

            /// Appends the record.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>) {
                $(Record::encode(&self.$field, out);)*
            }
        }

        impl<'r> Record<'r> for $name {
            #[inline]
            fn decode(input: &mut Reader<'r>) -> Result<Self, Malformed> {
                $name::decode(input)
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $name::encode(self, out);
            }
        }
    };
    (@one [$(#[$doc:meta])*] $name:ident [$lt:lifetime]
        [$($(#[$field_doc:meta])* $field:ident: $type:ty,)*]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<$lt> {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<$lt> $name<$lt> {
            /// Takes the record off `input`.
            #[inline]
            pub fn decode(input: &mut Reader<$lt>) -> Result<Self, Malformed> {
                Ok(Self { $($field: <$type as Record<$lt>>::decode(input)?,)* })
            }

            /// Appends the record.
            #[inline]
            pub fn encode(&self, out: &mut Vec<u8>) {
                $(Record::encode(&self.$field, out);)*
            }
        }

        impl<$lt> Record<$lt> for $name<$lt> {
            #[inline]
            fn decode(input: &mut Reader<$lt>) -> Result<Self, Malformed> {
                $name::decode(input)
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                $name::encode(self, out);
            }
        }
    };
}
use records;

/// Implements [`Record`] for types that can already read and write themselves.
macro_rules! fields {
    ($($type:ty: $read:expr, $write:expr;)*) => {
        $(impl<'a> Record<'a> for $type {
            #[inline]
            fn decode(input: &mut Reader<'a>) -> Result<Self, Malformed> {
                ($read)(input)
            }

            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                ($write)(out, *self);
            }
        })*
    };
}

fields! {
    bool: Reader::bool, Put::put_bool;
    u8: Reader::u8, Put::put_u8;
    i32: Reader::i32, Put::put_i32;
    i64: Reader::i64, Put::put_i64;
    u32: |input: &mut Reader<'a>| input.i32().map(i32::cast_unsigned), |out: &mut Vec<u8>, value: u32| out.put_i32(value.cast_signed());
    &'a str: Reader::str, Put::put_str;
    Option<&'a [u8]>: Reader::buffer, Put::put_buffer;
    Stat: Stat::decode, |out: &mut Vec<u8>, stat: Stat| stat.encode(out);
    AclList<'a>: AclList::decode, |out: &mut Vec<u8>, list: AclList<'a>| list.encode(out);
}
