//! What people did over a range: the rows of its days, ready to be added up.

use std::sync::Arc;

use fixedbitset::FixedBitSet;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use super::{
    basis::{Basis, figures_of},
    engine::{Asking, Engine, Gathered, NotAnswered},
    plan::{Query, Span},
};
use crate::{
    model::{Day, DayKey, DayRange},
    report::{Digest, Interval, People, activity::buckets, month::Month, sheet::Sheet},
    source::LoadError,
    table::{Directory, Flag, Origin, Selection, partition::ContentHash},
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
    /// Of a whole month of one geo, the sum is kept and serves as long as none of its days has changed.
    ///
    /// # Errors
    /// As [`Engine::gather`].
    pub async fn sheets(&self, query: &Query, asking: Asking) -> Result<Sheets, NotAnswered> {
        let basis = self.basis(query, asking).await?;
        let mut sheets = Vec::new();
        match &basis {
            Basis::Rows(gathered) => {
                sheets.extend(gathered.selected().map(|(day, _)| Sheet::Day(Arc::clone(day))));
            }
            Basis::Digests(gathered) => {
                for days in buckets(gathered.plan.range, Interval::Month) {
                    sheets.extend(self.sheets_of(days, query, gathered, asking).await?);
                }
            }
        }
        Ok(Sheets { basis, sheets })
    }

    /// The sheets of a month, or of the part of it that is selected.
    async fn sheets_of(
        &self,
        days: DayRange,
        query: &Query,
        gathered: &Gathered<Digest>,
        asking: Asking,
    ) -> Result<Vec<Sheet>, NotAnswered> {
        let whole = whole_month(days, gathered);
        if let Some((first, versions)) = &whole
            && let Some(month) = self.memory().month(first, versions).await
        {
            return Ok(vec![Sheet::Month(month)]);
        }
        let part = Query { span: Span::Days(days), lead: 0, ..query.clone() };
        let rows = self.gather(&part, asking).await?.days;
        let Some((first, versions)) = whole else { return Ok(rows.into_iter().map(Sheet::Day).collect()) };
        let added_up = spawn_blocking(move || Month::of(&rows)).await.ok().flatten();
        let month = Arc::new(added_up.ok_or(NotAnswered::Load(LoadError::Abandoned))?);
        if month.versions() == versions {
            self.memory().keep_month(&first, Arc::clone(&month)).await;
        }
        Ok(vec![Sheet::Month(month)])
    }
}

/// The first key of a month and the versions of its days, where all of them are there.
fn whole_month(days: DayRange, gathered: &Gathered<Digest>) -> Option<(DayKey, Vec<ContentHash>)> {
    let is_whole = Interval::Month.around(days.first()) == days && gathered.plan.geos.len() == 1;
    let inside = gathered.days.iter().filter(|day| days.contains(day.key().day));
    let versions: Vec<ContentHash> = inside.clone().map(|day| *day.hash()).collect();
    let first = inside.map(|day| day.key()).next()?;
    (is_whole && versions.len() == days.len()).then(|| (first.clone(), versions))
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

impl Sheets {
    /// Everyone with a row in the selected days, by number, where digests can tell: the selection must be of everyone.
    #[must_use]
    pub fn everyone(&self, selection: &Selection) -> Option<FixedBitSet> {
        let Basis::Digests(gathered) = &self.basis else { return None };
        let people = || People::united(gathered.selected().map(|(day, _)| &day.whole().present)).known;
        (selection.department_path.is_none() && selection.user_id.is_none()).then(people)
    }
}

impl Basis {
    /// Everyone who was active on that day or later, whatever was selected and whether or not all geos have the day.
    #[must_use]
    pub fn active_since(&self, since: Day) -> FixedBitSet {
        match self {
            Self::Digests(gathered) => {
                let days = gathered.days.iter().filter(|day| day.key().day >= since);
                People::united(days.map(|day| day.whole().people(Flag::Active))).known
            }
            Self::Rows(gathered) => {
                let days = gathered.days.iter().filter(|day| day.key().day >= since);
                let figures: Vec<_> = days.map(|day| figures_of(day, &Selection::default())).collect();
                People::united(figures.iter().map(|figures| figures.people(Flag::Active))).known
            }
        }
    }

    /// Tells the data of these days from any other.
    #[must_use]
    pub fn version(&self) -> [u8; 8] {
        let hash = self.hash().finalize();
        std::array::from_fn(|byte| hash[byte])
    }

    pub(super) fn hash(&self) -> Sha256 {
        fn hash<'a, D: Origin + 'a>(days: impl Iterator<Item = &'a Arc<D>>) -> Sha256 {
            days.fold(Sha256::new(), |hash, day| {
                let key = day.key();
                let at = key.day.number().to_le_bytes();
                hash.chain_update(at).chain_update([key.geo as u8]).chain_update(day.hash())
            })
        }
        match self {
            Self::Digests(gathered) => hash(gathered.days.iter()),
            Self::Rows(gathered) => hash(gathered.days.iter()),
        }
    }
}
