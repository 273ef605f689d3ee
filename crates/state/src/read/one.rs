//! Reads of one node, and of the client's identities.

use wire::acl::perms;
use wire::code::ErrorCode;
use wire::jute::Put as _;
use wire::record::{Exists, GetAcl, GetData};

use super::{Body, Reader, WatchRequest, WatchSink, WatchedPart};
use crate::acl;
use crate::auth;
use crate::data_tree::DataTree;

impl DataTree {
    pub(super) fn get_data(
        &self,
        get: &GetData<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.readable(get.path, reader)?;
        body.put_data(&found.data)?;
        body.put_stat(&found.stat)?;
        if get.watch {
            watch(WatchRequest { part: WatchedPart::Data, path: get.path });
        }
        Ok(())
    }

    pub(super) fn exists(
        &self,
        exists: &Exists<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
        watch: &mut WatchSink<'_>,
    ) -> Result<(), ErrorCode> {
        if exists.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let result = self.readable(exists.path, reader);
        if exists.watch && !matches!(result, Err(ErrorCode::NoAuth)) {
            watch(WatchRequest { part: WatchedPart::Data, path: exists.path });
        }
        body.put_stat(&result?.stat)?;
        Ok(())
    }

    pub(super) fn get_acl(
        &self,
        get: &GetAcl<'_>,
        reader: &Reader<'_>,
        body: &mut Body<'_>,
    ) -> Result<(), ErrorCode> {
        let found = self.look_at(get.path, reader).ok_or(ErrorCode::NoNode)?;
        let asker = reader.asker();
        self.require(&asker, perms::READ | perms::ADMIN, get.path, found.acl)?;
        if self.may(&asker, perms::ADMIN, get.path, found.acl) {
            body.put_raw(found.acl)?;
        } else {
            // Redaction never makes it longer.
            body.make_room(found.acl.len())?;
            acl::put_redacted(found.acl, body.short()).map_err(|_| ErrorCode::SystemError)?;
        }
        body.put_stat(&found.stat)?;
        Ok(())
    }
}

pub(super) fn who_am_i(reader: &Reader<'_>, body: &mut Body<'_>) -> Result<(), ErrorCode> {
    body.short().put_len(reader.identities.iter().count());
    for (scheme, id) in reader.identities.iter() {
        body.put_str(scheme)?;
        body.put_str(auth::user_name(scheme, id))?;
    }
    Ok(())
}
