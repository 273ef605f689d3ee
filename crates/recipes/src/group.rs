//! Group membership.

use client::{Client, CreateMode, ErrorCode};

use crate::contender::{delete, delete_later, fired, is_unsure, make_parent, repeat};
use crate::error::Error;

/// A group whose members are known by their ids. The layout is that of Curator's `GroupMember`: an
/// ephemeral znode for each, named by its id.
#[derive(Debug, Clone)]
pub struct Group {
    client: Client,
    path: String,
}

/// A member, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// What it says of itself.
    pub data: Vec<u8>,
}

/// Being a member. Ends with [`Self::leave`], when it is dropped, and with the session.
#[derive(Debug)]
pub struct Membership {
    client: Client,
    path: String,
    has_left: bool,
}

impl Group {
    /// A group below the znode `path`, which is created when it is first used.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { client: client.clone(), path: path.trim_end_matches('/').to_owned() }
    }

    /// Joins the group. A znode of this id that an earlier session of the same member has left is
    /// waited for: it goes when that session expires.
    ///
    /// # Errors
    /// [`Error::Argument`] for an id that is no name of a znode; the session is over.
    pub async fn join(&self, id: &str, data: &[u8]) -> Result<Membership, Error> {
        if id.is_empty() || id.contains('/') || id == "." || id == ".." {
            let why = "neither empty, nor . or .., and without slashes".to_owned();
            return Err(Error::Argument { what: "id", why });
        }
        let path = format!("{}/{id}", self.path);
        let acl = self.client.acl();
        let own = self.client.identity().id;
        loop {
            let error = match self.client.create(&path, Some(data), acl, CreateMode::Ephemeral).await {
                Ok(_) => return Ok(self.joined(path)),
                Err(error) => error,
            };
            match error.code() {
                Some(ErrorCode::NoNode) => make_parent(&self.client, &self.path).await?,
                Some(ErrorCode::NodeExists) => match self.client.exists_and_watch(&path).await {
                    // Its create has been executed although its answer was lost.
                    Ok((Some(stat), _)) if stat.ephemeral_owner == own => {
                        repeat(|| self.client.set_data(&path, Some(data), -1)).await?;
                        return Ok(self.joined(path));
                    }
                    Ok((Some(_), mut watch)) => fired(&mut watch).await?,
                    Ok((None, _)) => {}
                    Err(error) if is_unsure(&error) => {}
                    Err(error) => return Err(error.into()),
                },
                _ if is_unsure(&error) => {}
                _ => return Err(error.into()),
            }
        }
    }

    fn joined(&self, path: String) -> Membership {
        Membership { client: self.client.clone(), path, has_left: false }
    }

    /// The members, sorted by their ids.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let member = |child: client::Child| Member { id: child.name, data: child.data.unwrap_or_default() };
        match repeat(|| self.client.children_with_data(&self.path)).await {
            Ok((children, _)) => Ok(children.into_iter().map(member).collect()),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the members are others than `known`, by their ids, and returns them.
    ///
    /// # Errors
    /// As [`Self::members`].
    pub async fn changed(&self, known: &[Member]) -> Result<Vec<Member>, Error> {
        loop {
            let watched = repeat(|| self.client.get_children_and_watch(&self.path)).await;
            let mut watch = match watched {
                Ok((.., watch)) => watch,
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    make_parent(&self.client, &self.path).await?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let members = self.members().await?;
            if !members.iter().map(|member| &member.id).eq(known.iter().map(|member| &member.id)) {
                return Ok(members);
            }
            fired(&mut watch).await?;
        }
    }
}

impl Membership {
    /// Replaces what the member says of itself.
    ///
    /// # Errors
    /// The session is over; [`ErrorCode::NoNode`] if the membership has ended.
    pub async fn set_data(&self, data: &[u8]) -> Result<(), Error> {
        self.client.set_data(&self.path, Some(data), -1).await?;
        Ok(())
    }

    /// Leaves the group.
    ///
    /// # Errors
    /// The session is over, and the membership with it.
    pub async fn leave(mut self) -> Result<(), Error> {
        self.has_left = true;
        delete(&self.client, &self.path).await
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.has_left {
            delete_later(self.client.clone(), self.path.clone());
        }
    }
}
