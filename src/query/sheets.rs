//! What people did over a range: the rows of its days, ready to be added up.

use std::sync::Arc;

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};

use super::{
    basis::Basis,
    engine::{Asking, Engine, NotAnswered},
    plan::Query,
};
use crate::{
    model::Day,
    report::{People, sheet::Sheet},
    table::{Directory, Flag, Origin, Selection},
};

/// Sheets of the selected days, and the days that they are of.
#[derive(Debug)]
pub struct Sheets {
    /// The days, those before the selected ones included.
    pub basis: Basis,
    /// What people did in the selected days, earliest first.
    pub sheets: Vec<Sheet>,
}

impl Engine {
    /// What people did in the days that `query` selects. Its lead is in the basis alone.
    ///
    /// # Errors
    /// As [`Engine::gather`].
    pub async fn sheets(&self, query: &Query, asking: Asking) -> Result<Sheets, NotAnswered> {
        let basis = self.basis(query, asking).await?;
        let rows = self.gather(&Query { lead: 0, ..query.clone() }, asking).await?;
        Ok(Sheets { basis, sheets: rows.days.into_iter().map(Sheet::Day).collect() })
    }
}

impl Sheets {
    /// The directory of the days, where there is a day.
    #[must_use]
    pub fn directory(&self) -> Option<&Arc<Directory>> {
        match &self.basis {
            Basis::Digests(gathered) => gathered.days.first().map(|day| day.directory()),
            Basis::Rows(gathered) => gathered.days.first().map(|day| day.directory()),
        }
    }
}

impl Basis {
    /// Everyone who was active on that day or later, whatever was selected.
    #[must_use]
    pub fn active_since(&self, since: Day) -> FixedBitSet {
        let everyone = Selection::default();
        let figures = self.figures(&everyone);
        People::united(figures.range(since..).map(|(_, figures)| figures.people(Flag::Active))).known
    }

    /// Tells the data of these days from any other.
    #[must_use]
    pub fn version(&self) -> [u8; 8] {
        fn hash<'a, D: Origin + 'a>(days: impl Iterator<Item = &'a Arc<D>>) -> Sha256 {
            days.fold(Sha256::new(), |hash, day| hash.chain_update(day.hash()))
        }
        let hash = match self {
            Self::Digests(gathered) => hash(gathered.days.iter()),
            Self::Rows(gathered) => hash(gathered.days.iter()),
        };
        let hash = hash.finalize();
        std::array::from_fn(|byte| hash[byte])
    }
}
