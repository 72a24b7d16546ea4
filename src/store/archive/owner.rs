//! Whose archive it is. Ids of people differ from app to app, so the days of two apps in one folder would be counted as
//! those of different people by whoever reads them.
//!
//! Each app puts a mark with its own name beside the days. Whoever finds another's keeps off, and withdraws its own if it
//! has just put it there: of two apps that come to an empty archive at the same moment, at least one sees the other's
//! mark, whatever the store thinks of writing only where there is nothing.

use serde::{Deserialize, Serialize};

use super::{
    Archive, NotDone,
    health::Exchange,
    layout::{self, OWNERS},
    shelves::Shelves,
};

/// The version of the archive's layout: which objects there are, and under which names. What is in a day's file has a
/// version of its own.
const FORMAT_VERSION: u32 = 1;

/// Who archives: an app of one Feishu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The app's id.
    pub app_id: String,
    /// The address of its Feishu, without a slash at the end.
    pub upstream: String,
}

/// Whether an archive may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is marked as ours.
    Ours,
    /// It has no mark.
    Free,
}

/// Why an archive may not be used, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// It has the mark of another app, or of this one at another Feishu.
    #[error(
        "it holds the days of {app_id} from {upstream}, and ids of people differ from app to app: give this app an archive of \
         its own, or delete {mark} there if both are the same"
    )]
    Another {
        /// The other app's id.
        app_id: String,
        /// The address of its Feishu.
        upstream: String,
        /// The object that says so.
        mark: String,
    },
    /// The mark is not one that this version knows.
    #[error(
        "its mark {mark} was left by a later version of feishu-pulse, or by something else: use that version, or another archive"
    )]
    Unknown {
        /// The object.
        mark: String,
    },
    /// Nobody can tell at present.
    #[error(transparent)]
    NotDone(#[from] NotDone),
}

/// What stands in a mark.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    format_version: u32,
    #[serde(flatten)]
    owner: Owner,
}

impl Archive {
    /// Makes the archive ours: sees that nobody else's mark is on it, and puts our own there if it has none. Everything
    /// else that the archive does comes after this; it need not be asked for, but tells a fault before anybody waits.
    ///
    /// # Errors
    /// [`NotOurs`] says whose it is, or that it cannot be told.
    pub async fn claim(&self) -> Result<(), NotOurs> {
        self.shelves.claim().await.inspect_err(|error| self.watch.ill(Exchange::Reading, error))
    }

    /// Whether it is ours, without making it so.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn look(&self) -> Result<Claim, NotOurs> {
        self.shelves.look().await
    }
}

impl Shelves {
    pub(super) async fn claim(&self) -> Result<(), NotOurs> {
        // Several may do this at once at the start. Each finds the same.
        if self.claimed.get().is_none() {
            if self.look().await? == Claim::Free {
                self.mark().await?;
            }
            let _ = self.claimed.set(());
        }
        Ok(())
    }

    async fn look(&self) -> Result<Claim, NotOurs> {
        let mut claim = Claim::Free;
        for (name, text) in self.list_notes(OWNERS).await? {
            let unknown = || NotOurs::Unknown { mark: name.clone() };
            let mark: Mark = serde_json::from_slice(&text).map_err(|_| unknown())?;
            if mark.format_version > FORMAT_VERSION {
                return Err(unknown());
            }
            if mark.owner != self.owner {
                let Owner { app_id, upstream } = mark.owner;
                return Err(NotOurs::Another { app_id, upstream, mark: name });
            }
            claim = Claim::Ours;
        }
        Ok(claim)
    }

    async fn mark(&self) -> Result<(), NotOurs> {
        let mark = Mark { format_version: FORMAT_VERSION, owner: self.owner.clone() };
        let path = layout::note(OWNERS, &self.owner.app_id);
        let text = serde_json::to_vec_pretty(&mark).map_err(|error| NotDone::because(&error))?;
        self.put_object(&path, text).await?;
        let looked = self.look().await;
        if let Err(NotOurs::Another { .. }) = looked {
            // Somebody came at the same moment. Neither has archived anything yet.
            self.remove_object(&path).await?;
        }
        looked.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, memory::InMemory, path::Path};

    use super::*;

    fn archive(store: &Arc<InMemory>, app_id: &str, upstream: &str) -> Archive {
        let owner = Owner { app_id: app_id.to_owned(), upstream: upstream.to_owned() };
        let store: Arc<dyn ObjectStore> = Arc::clone(store) as _;
        Archive::new(store, Arc::default(), owner)
    }

    #[tokio::test]
    async fn whoever_comes_first_marks_it_and_is_let_in_again() {
        let store = Arc::new(InMemory::new());
        let first = archive(&store, "cli_a", "https://open.feishu.cn");

        assert_eq!(first.look().await, Ok(Claim::Free));
        assert_eq!(first.claim().await, Ok(()));

        let again = archive(&store, "cli_a", "https://open.feishu.cn");
        assert_eq!((again.look().await, again.claim().await), (Ok(Claim::Ours), Ok(())));
    }

    #[tokio::test]
    async fn another_app_and_another_feishu_are_told_whose_it_is() {
        let store = Arc::new(InMemory::new());
        archive(&store, "cli_a", "https://open.feishu.cn").claim().await.unwrap();

        for (app_id, upstream) in [("cli_b", "https://open.feishu.cn"), ("cli_a", "http://127.0.0.1:9")] {
            let refused = archive(&store, app_id, upstream);
            let error = refused.claim().await.unwrap_err().to_string();
            assert!(
                error.contains("cli_a from https://open.feishu.cn") && error.contains("owners/cli_a.json"),
                "{error}"
            );
            assert!(refused.health().fault.is_some());
            assert!(refused.notes("backfills").await.is_err(), "nothing is read either");
        }
    }

    #[tokio::test]
    async fn a_mark_of_a_later_version_is_not_taken_for_none() {
        let store = Arc::new(InMemory::new());
        let text = r#"{"format_version": 2, "app_id": "cli_a", "upstream": "https://open.feishu.cn"}"#;
        store.put(&Path::from("owners/cli_a.json"), PutPayload::from_static(text.as_bytes())).await.unwrap();

        let refused = archive(&store, "cli_a", "https://open.feishu.cn").claim().await;

        assert!(matches!(refused, Err(NotOurs::Unknown { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn of_two_apps_that_come_at_once_the_later_withdraws() {
        let store = Arc::new(InMemory::new());
        let (one, other) = (archive(&store, "cli_a", "x"), archive(&store, "cli_b", "x"));

        let (seen, seen_too) = (one.look().await, other.look().await);
        let (first, second) = (one.shelves.mark().await, other.shelves.mark().await);

        assert_eq!((seen, seen_too), (Ok(Claim::Free), Ok(Claim::Free)));
        assert!(first.is_ok() && second.is_err(), "{second:?}");
        assert_eq!(one.look().await, Ok(Claim::Ours));
    }
}
