//! The archive: whether it can be reached, and whose it is. Nothing is written there.

use std::sync::Arc;

use super::{Finding, cure};
use crate::{
    app::GatewayConfig,
    store::{
        Archive, Location,
        archive::{Claim, NotOurs},
    },
};

pub(super) async fn look(config: &GatewayConfig) -> Finding {
    let (about, place) = ("archive", &config.archive);
    match place {
        Location::Nowhere => return Finding::well(about, "none: days are fetched again after a restart"),
        // To open a folder is to make it.
        Location::Folder(path) if !path.exists() => {
            return Finding::well(about, format!("{place} is not there yet and will be made"));
        }
        _ => {}
    }
    let store = match place.open() {
        Ok(store) => store,
        Err(error) => return Finding::trouble(about, error.to_string(), cure::ARCHIVE.to_owned()),
    };
    let Some(store) = store else { return Finding::well(about, "none") };
    match Archive::new(store, Arc::default(), config.owner.clone()).look().await {
        Ok(Claim::Ours) => Finding::well(about, format!("{place} is this app's")),
        Ok(Claim::Free) => Finding::well(about, format!("{place} is nobody's yet and will be this app's")),
        Err(error @ NotOurs::NotDone(_)) => {
            Finding::trouble(about, format!("{place} does not answer: {error}"), cure::ARCHIVE.to_owned())
        }
        Err(NotOurs::Another { app_id, upstream, mark }) => Finding::trouble(
            about,
            format!("{place} holds the days of {app_id} from {upstream}"),
            cure::not_ours(&mark),
        ),
        Err(error @ NotOurs::Unknown { .. }) => {
            Finding::trouble(about, format!("{place}: {error}"), cure::LATER.to_owned())
        }
    }
}
