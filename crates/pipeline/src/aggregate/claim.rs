//! Claims: who is at work on a week.
//!
//! What a process that died has left is known by its claim. Of two that work at once, the one that came later goes on: the earlier one
//! finds the other's claim, or its own gone, before it would set the head. It sets nothing then, and leaves its hours marked.

use std::collections::BTreeSet;

use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::Date;
use rowmill_store::{Scan, Store, StoreExt as _};

use super::head::Head;
use super::partials::{delete, own_key, own_prefix};
use crate::error::Error;

/// The qualifier of a claim, and what the name of its row begins with.
const CLAIM: &str = "claim";

/// A week that somebody is at work on, and how it was found.
#[derive(Debug)]
pub(crate) struct Claim {
    monday: Date,
    key: Vec<u8>,
    /// The claims of others that were there already.
    others: BTreeSet<Vec<u8>>,
    /// Whether somebody began before and did not come to an end, so far.
    pub(crate) is_after_others: bool,
    pub(crate) head: Head,
}

impl Claim {
    /// Claims a week for the process of this name.
    pub(crate) async fn make(store: &dyn Store, monday: Date, name: &str) -> Result<Self, Error> {
        let key = own_key(&format!("{CLAIM}.{monday}.{name}"), monday);
        // One of this very name is of the same process, before it died.
        let was_there = !claims(store, monday).await?.is_empty();
        put(store, monday, &key).await?;
        let mut others = claims(store, monday).await?;
        others.remove(&key);
        Ok(Self {
            is_after_others: was_there || !others.is_empty(),
            head: Head::of_week(store, monday).await?,
            monday,
            key,
            others,
        })
    }

    /// Whether the head may be set to `new`.
    pub(crate) async fn standing(&self, store: &dyn Store, new: &Head) -> Result<Standing, Error> {
        let is_newest = self.is_newest(store).await?;
        let found = Head::of_week(store, self.monday).await?;
        Ok(if found == *new {
            Standing::IsSet
        } else if is_newest && found == self.head {
            Standing::Holds
        } else {
            Standing::Lost
        })
    }

    /// Whether nobody has begun since, or taken the claim for a dead one's.
    pub(crate) async fn is_newest(&self, store: &dyn Store) -> Result<bool, Error> {
        let mut claims = claims(store, self.monday).await?;
        let has_own = claims.remove(&self.key);
        Ok(has_own && claims.is_subset(&self.others))
    }

    /// Makes the claim again: somebody may have taken it for a dead one's.
    pub(crate) async fn renew(&self, store: &dyn Store) -> Result<(), Error> {
        put(store, self.monday, &self.key).await
    }

    /// Gives the week up, and with it what others were found to have left undone.
    pub(crate) async fn release(&self, store: &dyn Store) -> Result<(), Error> {
        let mut batch = MutationBatch::new();
        for key in self.others.iter().chain([&self.key]) {
            delete(&mut batch, key);
        }
        Ok(store.apply_all(table::AGGREGATE, batch).await?)
    }
}

/// What a claim is worth when its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody came in between.
    Holds,
    /// The head is as it should be.
    IsSet,
    /// Somebody has begun since, or come to an end with something else.
    Lost,
}

async fn put(store: &dyn Store, monday: Date, key: &[u8]) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    let mut row = batch.row(key);
    let time = monday.start().cell_micros();
    row.set(family::WEEKLY_STATS, CLAIM.as_bytes(), time, b"");
    row.finish();
    Ok(store.apply_all(table::AGGREGATE, batch).await?)
}

async fn claims(store: &dyn Store, monday: Date) -> Result<BTreeSet<Vec<u8>>, Error> {
    let scan = Scan::range(own_prefix(&format!("{CLAIM}.{monday}."))).with_keys_only();
    let rows = store.rows(table::AGGREGATE, scan).await?;
    Ok(rows.iter().map(|row| row.key().to_vec()).collect())
}
