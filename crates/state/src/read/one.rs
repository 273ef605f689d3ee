//! Reads of one node, and of the reader.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::record::{Exists, GetAcl, GetData};

use super::{Reader, WatchRequest, WatchSink, WatchedPart};
use crate::acl;
use crate::auth;
use crate::machine::Machine;

impl Machine {
    pub(super) fn get_data(
        &self,
        get: &GetData<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        reply.put_buffer(found.data.bytes());
        found.stat.encode(reply);
        if get.watch {
            watch(WatchRequest { part: WatchedPart::Data, path: get.path });
        }
        Ok(())
    }

    pub(super) fn exists(
        &self,
        exists: &Exists<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        if exists.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let result = self.readable(exists.path, reader);
        if exists.watch && !matches!(result, Err(ErrorCode::NoAuth)) {
            watch(WatchRequest { part: WatchedPart::Data, path: exists.path });
        }
        result?.stat.encode(reply);
        Ok(())
    }

    pub(super) fn get_acl(
        &self,
        get: &GetAcl<'_>,
        reader: &Reader<'_>,
        reply: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let found = self.look_at(get.path, reader).ok_or(ErrorCode::NoNode)?;
        let asker = reader.asker();
        asker.check(perms::READ | perms::ADMIN, found.acl)?;
        if asker.may(perms::ADMIN, found.acl) {
            reply.extend_from_slice(found.acl);
        } else {
            acl::put_redacted(found.acl, reply).map_err(|_| ErrorCode::SystemError)?;
        }
        found.stat.encode(reply);
        Ok(())
    }
}

pub(super) fn who_am_i(reader: &Reader<'_>, reply: &mut Vec<u8>) {
    reply.put_len(reader.identities.iter().count());
    for (scheme, id) in reader.identities.iter() {
        reply.put_str(scheme);
        reply.put_str(auth::user_name(scheme, id));
    }
}
