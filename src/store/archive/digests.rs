//! Digests of archived days, without their rows: a file has it beside them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::Mutex, time::Instant};

use super::{Archive, NotDone, figures::Reading, shelves::Listing};
use crate::{
    model::{DayKey, Geo, Scope, UserIdType},
    report::{
        Digest,
        digest::{self, Crews},
    },
    table::{
        Directory, Partition,
        parquet::{Opened, Unreadable},
    },
};

/// How long a listing tells which files are worth asking for. A day that is not on it is merely loaded with its rows.
const LISTED_FOR: Duration = Duration::from_secs(60);

/// Which days have a file, as of a moment ago: reports look for many days, and most often for the same that are not there.
#[derive(Debug, Default)]
pub(super) struct Listings {
    by_series: Mutex<HashMap<(Geo, UserIdType), (Instant, Listing)>>,
}

/// What a file gave.
enum Given {
    Digest(Arc<Digest>),
    /// Its digest was missing or did not hold, so it was made of the rows.
    Anew(Arc<Digest>, Arc<Partition>),
    /// Its digest is of another version of this program, and was made of the rows as well.
    Foreign(Arc<Digest>),
}

impl Archive {
    /// The digest of a day; `None` where there is no such day, or it cannot be had now.
    ///
    /// Where the file has none, or one that does not hold, it is made of the rows, and the file is written anew.
    pub async fn digest(self: &Arc<Self>, key: &DayKey) -> Option<Arc<Digest>> {
        // Whoever has the rows has better.
        if key.scope != Scope::Everyone || self.backlog.get(key).is_some() || self.watch.is_paused() {
            return None;
        }
        let listed = self.listings.tell(key, self).await;
        listed.ok().filter(|listed| *listed)?;
        let _turn = self.readers.acquire().await;
        // While this one waited, others may have found that it fails.
        if self.watch.is_paused() {
            return None;
        }
        let file = self.read(self.shelves.read(key).await).ok().flatten()?;
        let (directory, crews) = (Arc::clone(self.directories.of(key.user_id_type)), Arc::clone(&self.crews));
        let wanted = key.clone();
        let reading = tokio::task::spawn_blocking(move || read_digest(file, &wanted, &directory, &crews));
        // Parquet's reader may panic on nonsense.
        match reading.await.unwrap_or_else(|panic| Err(Unreadable::damaged(panic))) {
            Ok(Given::Digest(digest)) => {
                self.readings.add_one(Reading::Digest);
                Some(digest)
            }
            Ok(Given::Foreign(digest)) => {
                self.readings.add_one(Reading::Rows);
                Some(digest)
            }
            Ok(Given::Anew(digest, day)) => {
                self.readings.add_one(Reading::Rows);
                self.keep(&day);
                Some(digest)
            }
            // Whoever asks for the rows next learns what is wrong with them.
            Err(_) => None,
        }
    }
}

impl Listings {
    /// Whether the day has a file. Whoever asks while another finds out waits for the same answer.
    async fn tell(&self, key: &DayKey, archive: &Archive) -> Result<bool, NotDone> {
        let series = (key.geo, key.user_id_type);
        let mut listings = self.by_series.lock().await;
        let known = listings.get(&series).filter(|(listed_at, _)| listed_at.elapsed() < LISTED_FOR);
        if let Some((_, listing)) = known {
            return Ok(listing.contains_key(&key.day));
        }
        if archive.watch.is_paused() {
            return Ok(false);
        }
        let listing = archive.read(archive.shelves.list(key.geo, key.user_id_type).await)?;
        let listed = listing.contains_key(&key.day);
        listings.insert(series, (Instant::now(), listing));
        Ok(listed)
    }
}

fn read_digest(file: Bytes, key: &DayKey, directory: &Arc<Directory>, crews: &Crews) -> Result<Given, Unreadable> {
    let file = Opened::new(file, key)?;
    let is_foreign = match digest::restore(&file, directory, crews) {
        Ok(digest) => return Ok(Given::Digest(Arc::new(digest))),
        Err(Unreadable::TooNew { .. }) => true,
        Err(error) => {
            tracing::info!(%key, %error, "the digest of an archived day is made anew from its rows");
            false
        }
    };
    let day = file.day(directory)?;
    let digest = Arc::new(Digest::of(&day, None));
    Ok(if is_foreign { Given::Foreign(digest) } else { Given::Anew(digest, Arc::new(day)) })
}
