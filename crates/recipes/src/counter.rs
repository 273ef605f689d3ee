//! Shared values that change by comparing versions.

use client::{Client, CreateMode, ErrorCode};

use crate::contender::{fired, is_unsure, repeat};
use crate::error::Error;

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The data.
    pub data: Vec<u8>,
    /// Which of the values of the znode this is, from 0.
    pub version: i32,
    /// The zxid of the change that made it.
    pub zxid: i64,
}

/// A value that several clients read and change. A znode holds it, as in Curator's `SharedValue`.
#[derive(Debug, Clone)]
pub struct SharedValue {
    client: Client,
    path: String,
}

impl SharedValue {
    /// The value of the znode `path`, which [`Self::init`] creates.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { client: client.clone(), path: path.to_owned() }
    }

    /// Creates the znode with a first value, unless it exists.
    ///
    /// # Errors
    /// The session is over, or the server refuses.
    pub async fn init(&self, data: &[u8]) -> Result<(), Error> {
        let acl = self.client.acl();
        loop {
            match self.client.create_if_not_exists(&self.path, Some(data), acl, CreateMode::Persistent).await
            {
                Ok(_) => return Ok(()),
                Err(error) if error.code() == Some(ErrorCode::NoNode) => {
                    repeat(|| self.client.create_all(client_parent(&self.path), acl)).await?;
                }
                Err(error) if is_unsure(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The value as this session sees it. It may be behind the newest one; [`Self::set_if`] then
    /// does nothing.
    ///
    /// # Errors
    /// [`ErrorCode::NoNode`] before [`Self::init`]; the session is over, or the server refuses.
    pub async fn get(&self) -> Result<Versioned, Error> {
        let (data, stat) = repeat(|| self.client.get_data(&self.path, false)).await?;
        Ok(Versioned { data: data.unwrap_or_default(), version: stat.version, zxid: stat.mzxid })
    }

    /// Replaces the value if it still has the version; returns whether it has. If the connection is
    /// lost before the answer comes, it may have been replaced.
    ///
    /// # Errors
    /// As [`Self::get`]; [`client::Error::ConnectionLoss`] if the outcome is unknown.
    pub async fn set_if(&self, version: i32, data: &[u8]) -> Result<Option<Versioned>, Error> {
        match self.client.set_data(&self.path, Some(data), version).await {
            Ok(stat) => Ok(Some(Versioned { data: data.to_vec(), version: stat.version, zxid: stat.mzxid })),
            Err(error) if error.code() == Some(ErrorCode::BadVersion) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the value by a function, again and again until nobody else has changed it meanwhile.
    ///
    /// # Errors
    /// As [`Self::set_if`].
    pub async fn update(&self, mut change: impl FnMut(&[u8]) -> Vec<u8>) -> Result<Versioned, Error> {
        loop {
            let now = self.get().await?;
            if let Some(new) = self.set_if(now.version, &change(&now.data)).await? {
                return Ok(new);
            }
        }
    }

    /// Waits for a value of another version than this one, and returns it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn changed(&self, version: i32) -> Result<Versioned, Error> {
        loop {
            let read = repeat(|| self.client.get_data_and_watch(&self.path)).await;
            let ((data, stat), mut watch) = read?;
            if stat.version != version {
                let data = data.unwrap_or_default();
                return Ok(Versioned { data, version: stat.version, zxid: stat.mzxid });
            }
            fired(&mut watch).await?;
        }
    }
}

fn client_parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(slash @ 1..) => &path[..slash],
        _ => "/",
    }
}

/// How the znode of a [`Counter`] holds its number. All clients of one counter have to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberFormat {
    /// As text: kazoo's `Counter`.
    #[default]
    Text,
    /// In 4 bytes, the highest first: Curator's `SharedCount` and `DistributedAtomicInteger`, and
    /// kazoo's `Counter` with `support_curator=True`.
    Int,
    /// In 8 bytes, the highest first: Curator's `DistributedAtomicLong`.
    Long,
}

impl NumberFormat {
    /// `None` if the number is too large.
    fn encode(self, number: i64) -> Option<Vec<u8>> {
        match self {
            Self::Text => Some(number.to_string().into_bytes()),
            Self::Int => i32::try_from(number).ok().map(|number| number.to_be_bytes().to_vec()),
            Self::Long => Some(number.to_be_bytes().to_vec()),
        }
    }

    /// `None` if it is no number. No data is 0, as for kazoo, which creates a znode without.
    fn decode(self, data: &[u8]) -> Option<i64> {
        match self {
            _ if data.is_empty() => Some(0),
            Self::Text => std::str::from_utf8(data).ok()?.parse().ok(),
            Self::Int => Some(i32::from_be_bytes(data.try_into().ok()?).into()),
            Self::Long => Some(i64::from_be_bytes(data.try_into().ok()?)),
        }
    }
}

/// A number that several clients count up and down.
#[derive(Debug, Clone)]
pub struct Counter {
    value: SharedValue,
    format: NumberFormat,
}

impl Counter {
    /// The counter of the znode `path`. It begins at 0.
    pub fn new(client: &Client, path: &str) -> Self {
        Self { value: SharedValue::new(client, path), format: NumberFormat::default() }
    }

    /// Holds the number as another client library does.
    #[must_use]
    pub fn with_format(mut self, format: NumberFormat) -> Self {
        self.format = format;
        self
    }

    /// Adds to the counter, and returns the sum. An addition whose answer was lost may have been
    /// made: it is not repeated.
    ///
    /// # Errors
    /// [`client::Error::ConnectionLoss`] if it may have been made; [`Error::Foreign`] if the znode
    /// holds no number, or the sum is too large for one.
    pub async fn add(&self, delta: i64) -> Result<i64, Error> {
        self.init().await?;
        loop {
            let now = self.value.get().await?;
            let sum = self.number(&now.data)?.checked_add(delta);
            let Some((sum, data)) = sum.and_then(|sum| Some((sum, self.format.encode(sum)?))) else {
                return Err(self.foreign("the sum is too large"));
            };
            if self.value.set_if(now.version, &data).await?.is_some() {
                return Ok(sum);
            }
        }
    }

    /// The number, as this session sees it.
    ///
    /// # Errors
    /// [`Error::Foreign`] if the znode holds no number.
    pub async fn get(&self) -> Result<i64, Error> {
        self.init().await?;
        self.number(&self.value.get().await?.data)
    }

    async fn init(&self) -> Result<(), Error> {
        self.value.init(&self.format.encode(0).unwrap_or_default()).await
    }

    fn number(&self, data: &[u8]) -> Result<i64, Error> {
        self.format.decode(data).ok_or_else(|| self.foreign("no number"))
    }

    fn foreign(&self, why: &str) -> Error {
        Error::Foreign { path: self.value.path.clone(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_held_as_others_hold_them() {
        for (format, number, data) in [
            (NumberFormat::Text, -7, &b"-7"[..]),
            (NumberFormat::Int, 258, &[0, 0, 1, 2]),
            (NumberFormat::Int, -1, &[0xFF; 4]),
            (NumberFormat::Long, 258, &[0, 0, 0, 0, 0, 0, 1, 2]),
            (NumberFormat::Long, -1, &[0xFF; 8]),
        ] {
            assert_eq!(format.encode(number).as_deref(), Some(data), "{format:?}");
            assert_eq!((format.decode(data), format.decode(b"")), (Some(number), Some(0)), "{format:?}");
            assert_eq!(format.decode(b"many!"), None, "{format:?}");
        }
        assert_eq!(NumberFormat::Int.encode(1 << 31), None);
    }
}
