//! One week: what is asked for of it, what is stored of it, and whether that can be gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rowmill_aggregate::Period;
use rowmill_rowkey::{Date, Hour};

use super::AggregateReport;
use super::claim::Claim;
use super::fold::Folder;
use super::head::Head;
use super::horizon::Horizon;
use super::partials::{clear, days_of, hours_of};
use super::run::Run;
use super::shard::ShardPart;
use super::stored::Partials;
use crate::error::Error;
use crate::marks::{self, Marks, mark};
use crate::shard::Shard;

/// Which hours of a day are to be folded anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changes {
    /// All, whatever they held.
    All,
    /// Some.
    Hours(BTreeSet<u8>),
}

impl Default for Changes {
    fn default() -> Self {
        Self::Hours(BTreeSet::new())
    }
}

impl Changes {
    pub(crate) fn add(&mut self, hour: u8) {
        if let Self::Hours(hours) = self {
            hours.insert(hour);
        }
    }

    pub(crate) fn contains(&self, hour: u8) -> bool {
        match self {
            Self::All => true,
            Self::Hours(hours) => hours.contains(&hour),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::All => 24,
            Self::Hours(hours) => hours.len() as u64,
        }
    }

    pub(crate) fn hours(&self) -> BTreeSet<u8> {
        match self {
            Self::All => (0..24).collect(),
            Self::Hours(hours) => hours.clone(),
        }
    }
}

/// Where the partials of changed hours come from.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// The timeline.
    Fold,
    /// What shards left of them.
    Merge(Arc<BTreeMap<Hour, Vec<ShardPart>>>),
}

/// What is to be done of a week.
#[derive(Debug, Clone)]
pub(crate) struct Week {
    pub(crate) folder: Folder,
    pub(crate) monday: Date,
    pub(crate) days: BTreeMap<Date, Changes>,
    pub(crate) work: Work,
    /// Whether every group is to be written anew, changed or not.
    pub(crate) is_rebuilding: bool,
    /// Whether all that was stored of it was removed for that.
    pub(crate) is_anew: bool,
    pub(crate) horizon: Horizon,
    /// What the process is called.
    pub(crate) name: String,
}

/// What became of a week.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done.
    Done(AggregateReport),
    /// Another process came in between; its hours are marked.
    Postponed,
    /// What is stored is damaged or was aggregated otherwise, and the timeline no longer has all of it. It is left as it is.
    Expired,
}

impl Week {
    pub(crate) async fn run(&self) -> Result<Outcome, Error> {
        let store = &*self.folder.store;
        let mut claim = Claim::make(store, self.monday, &self.name).await?;
        match self.prepare(&mut claim).await? {
            Some((week, stored)) => Run::new(week, claim, stored).run().await,
            None => {
                claim.release(store).await?;
                Ok(Outcome::Expired)
            }
        }
    }

    /// Reads what is stored of the week, and finds out what is to be done besides what was asked for. None if nothing can be.
    async fn prepare(&self, claim: &mut Claim) -> Result<Option<(Self, Partials)>, Error> {
        let can_be_made_anew = self.horizon.has_week(self.monday);
        let (stored, is_sound) = self.stored(claim).await?;
        if !is_sound || (stored.has_others && can_be_made_anew) {
            let week = self.monday;
            tracing::warn!(%week, "partials are damaged, or of another pipeline file");
            if !can_be_made_anew {
                return Ok(None);
            }
            let week = self.anew(claim).await?;
            return Ok(Some((week, Partials::default())));
        }
        let mut week = self.clone();
        for date in stored.stray_dates() {
            week.days.entry(date).or_default();
        }
        Ok(Some((week, stored)))
    }

    /// What is stored of the week, and whether that is what its head says.
    async fn stored(&self, claim: &Claim) -> Result<(Partials, bool), Error> {
        let head = &claim.head;
        if !head.partials.is_empty() && head.plan != self.folder.plan.fingerprint() {
            return Ok((Partials::default(), false));
        }
        let dates: BTreeSet<Date> = if claim.is_after_others {
            let dates = dates_of_week(self.monday);
            dates.filter(|date| !self.horizon.is_past(*date)).collect()
        } else {
            // Of a date that is made anew from its events, what its hours held does not matter.
            let days = self.days.iter();
            let days = days.filter(|it| !(self.is_rebuilding && *it.1 == Changes::All));
            days.map(|(date, _)| *date).collect()
        };
        let mut ranges = days_of(self.monday).to_vec();
        ranges.extend(dates.iter().map(|date| hours_of(*date)));
        let stored = Partials::load(&self.folder, head, ranges).await?;
        let was_asked = |period: Period| match period {
            Period::Hour(hour) => dates.contains(&hour.date()),
            Period::Day(_) | Period::Week(_) => true,
        };
        let is_sound = stored.are_whole(head, was_asked);
        Ok((stored, is_sound))
    }

    /// The whole week, to be made anew from nothing: what is stored of it is removed.
    async fn anew(&self, claim: &mut Claim) -> Result<Self, Error> {
        let store = &self.folder.store;
        let all = self.every_hour();
        // Whoever finds this process dead makes all of it.
        mark(&**store, &self.anew_mark(), &all).await?;
        let week = self.monday..=last_of_week(self.monday);
        clear(store, week, &self.folder.control).await?;
        claim.renew(&**store).await?;
        claim.head = Head::default();
        let dates = dates_of_week(self.monday);
        Ok(Self {
            days: dates.map(|date| (date, Changes::All)).collect(),
            folder: Folder {
                shard: Shard::ALONE,
                ..self.folder.clone()
            },
            work: Work::Fold,
            is_rebuilding: true,
            is_anew: true,
            ..self.clone()
        })
    }

    /// The name of the marks of a week that is made anew.
    fn anew_mark(&self) -> String {
        format!("anew {}", self.name)
    }

    /// Clears these marks.
    pub(super) async fn clear_anew_marks(&self) -> Result<(), Error> {
        let (name, mut marks) = (self.anew_mark(), Marks::default());
        for hour in self.every_hour() {
            marks.add(hour, name.as_bytes());
        }
        marks::clear(&*self.folder.store, &marks, |_| true).await
    }

    fn every_hour(&self) -> BTreeSet<Hour> {
        dates_of_week(self.monday)
            .flat_map(|date| (0..24).map(move |hour| date.hour(hour)))
            .collect()
    }
}

pub(super) fn dates_of_week(monday: Date) -> impl Iterator<Item = Date> {
    (0..7).filter_map(move |days| monday.plus_days(days))
}

fn last_of_week(monday: Date) -> Date {
    monday.plus_days(6).unwrap_or(Date::MAX)
}
