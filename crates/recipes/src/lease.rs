//! A lease is an exclusive right that ends at a time, not with the session of its holder.

use std::time::{Duration, SystemTime};

use client::{Client, CreateMode, ErrorCode};
use serde::{Deserialize, Serialize};
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::contender::repeat;
use crate::error::Error;
use crate::mutex::Mutex;
use crate::names::Layout;

/// Of the data of a lease, as kazoo counts it.
const VERSION: u32 = 1;
/// Of the end of a lease, in UTC.
const FORMAT: StaticFormatDescription = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
/// What [`Lease::obtain`] takes.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The exclusive right to something until a time, which outlives the session of its holder: a job
/// stays on one machine over all its runs, and moves to another when that machine has not renewed
/// it in time.
///
/// **Guarantee.** While the lease of one holder lasts, no other holder gets it. **What breaks it.**
/// The clocks of the clients decide when it ends: where one is ahead by a minute, it may take a
/// lease a minute early. A [`Mutex`](crate::Mutex) needs no clocks, and ends with its holder. What
/// the lease protects can refuse a lower [`Granted::token`] than it has seen.
///
/// The layout is that of kazoo's `NonBlockingLease`: `lease_holder` below the path, changed under
/// kazoo's lock of the same path.
#[derive(Debug, Clone)]
pub struct Lease {
    client: Client,
    path: String,
    holder: String,
}

/// What [`Lease::obtain`] has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obtained {
    /// The caller has it.
    Granted(Granted),
    /// Another holder has it.
    Held {
        /// Who.
        by: String,
        /// Until when, unless that holder renews it.
        until: SystemTime,
    },
}

/// A lease that the caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// When it ends, in whole seconds.
    pub until: SystemTime,
    /// Rises with each grant and each renewal.
    pub token: i64,
}

/// The data of the znode.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    holder: String,
    end: String,
}

impl Lease {
    /// The lease of the znode `path`, which is created when it is first used. `holder` is who the
    /// caller is, in all its runs.
    pub fn new(client: &Client, path: &str, holder: &str) -> Self {
        let path = path.trim_end_matches('/').to_owned();
        Self { client: client.clone(), path, holder: holder.to_owned() }
    }

    /// Takes the lease, or renews it, until `duration` from now, cut to a whole second. Does not
    /// wait for another holder.
    ///
    /// # Errors
    /// [`Error::Argument`] for less than a second or more than a year; [`Error::Foreign`] if the
    /// znode holds something else, or a later version of kazoo has written it. With any other
    /// error the lease may have been taken: repeat it.
    pub async fn obtain(&self, duration: Duration) -> Result<Obtained, Error> {
        self.obtain_at(SystemTime::now(), duration).await
    }

    /// As [`Self::obtain`], by another clock than the system's.
    ///
    /// # Errors
    /// As there.
    pub async fn obtain_at(&self, now: SystemTime, duration: Duration) -> Result<Obtained, Error> {
        if !(SHORTEST..=LONGEST).contains(&duration) {
            return Err(Error::Argument { what: "duration", why: "a second to a year".to_owned() });
        }
        let (end, until) = end_of(now + duration);
        let mutex = Mutex::new(&self.client, &self.path).with_layout(Layout::Kazoo);
        let guard = mutex.with_holder(self.holder.as_str()).lock().await?;
        let obtained = self.obtain_alone(now, end, until).await;
        guard.release().await?;
        obtained
    }

    /// While the lock is held.
    async fn obtain_alone(&self, now: SystemTime, end: String, until: SystemTime) -> Result<Obtained, Error> {
        let stored = Stored { version: VERSION, holder: self.holder.clone(), end };
        let data = serde_json::to_vec(&stored).expect("texts and a number are written");
        let (path, acl, mode) = (self.node(), self.client.acl(), CreateMode::Persistent);
        match self.holder().await? {
            Some((by, until)) if by != self.holder && until > now => return Ok(Obtained::Held { by, until }),
            Some(_) => {}
            None => {
                repeat(|| self.client.create_if_not_exists(&path, Some(&data), acl, mode)).await?;
            }
        }
        let stat = repeat(|| self.client.set_data(&path, Some(&data), -1)).await?;
        Ok(Obtained::Granted(Granted { until, token: stat.mzxid }))
    }

    /// Who has had the lease last, and until when; that may be over.
    ///
    /// # Errors
    /// [`Error::Foreign`]; the session is over, or the server refuses.
    pub async fn holder(&self) -> Result<Option<(String, SystemTime)>, Error> {
        let path = self.node();
        let data = match repeat(|| self.client.get_data(&path, false)).await {
            Ok((data, _)) => data.unwrap_or_default(),
            Err(error) if error.code() == Some(ErrorCode::NoNode) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let foreign = |why: String| Error::Foreign { path: path.clone(), why };
        let stored: Stored = serde_json::from_slice(&data).map_err(|error| foreign(error.to_string()))?;
        if stored.version != VERSION {
            return Err(foreign(format!("version {}, where {VERSION} is known", stored.version)));
        }
        let end = PrimitiveDateTime::parse(&stored.end, FORMAT);
        let end = end.map_err(|_| foreign(format!("{:?} is no time", stored.end)))?;
        Ok(Some((stored.holder, end.assume_utc().into())))
    }

    /// Gives the lease back before its end; `false` if the caller does not have it.
    ///
    /// # Errors
    /// As [`Self::obtain`].
    pub async fn give_back(&self) -> Result<bool, Error> {
        let guard = Mutex::new(&self.client, &self.path).with_layout(Layout::Kazoo).lock().await?;
        let is_own = self.holder().await?.is_some_and(|(by, _)| by == self.holder);
        if is_own {
            let path = self.node();
            repeat(|| self.client.discard(&path, -1)).await?;
        }
        guard.release().await?;
        Ok(is_own)
    }

    fn node(&self) -> String {
        format!("{}/lease_holder", self.path)
    }
}

/// A time as text and as a whole second.
fn end_of(time: SystemTime) -> (String, SystemTime) {
    let end = OffsetDateTime::from(time).replace_nanosecond(0).expect("0 is a nanosecond");
    (end.format(FORMAT).expect("a time of these days has this form"), end.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_a_whole_second_in_kazoos_form() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_554_399_987);
        let (text, end) = end_of(time);
        assert_eq!(text, "2025-12-01T01:59:59");
        assert_eq!(end, SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_554_399));
    }
}
