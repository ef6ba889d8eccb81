//! Marks: which hours await aggregation, and because of which process.
//!
//! A mark is a cell in the row of its hour, and its name says who made it. Whoever aggregates reads the marks, begins a new [epoch], reads
//! the events, and clears exactly the marks that it read. A process that writes events marks their hours before and after, but only those
//! that it did not mark since the epoch began: so there is one mark an hour and process, however many batches it writes. See
//! [`Marker`] for why no event is missed.
//!
//! [epoch]: Epoch

mod epoch;
mod marker;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{Hour, PendingKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::error::Error;
use crate::unreadable::Unreadable;

pub(crate) use epoch::Epoch;
pub(crate) use marker::Marker;

/// Mutations of marks are written when they have so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// The marks of each hour. A name is held once, whatever number of hours bear it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    names: Names,
    hours: BTreeMap<Hour, Vec<u32>>,
    /// Rows among them that are none of ours.
    pub(crate) unreadable: Unreadable,
}

/// Names of marks, each once, by their place in a list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    list: Vec<Arc<[u8]>>,
    places: HashMap<Arc<[u8]>, u32>,
}

impl Marks {
    /// The hours that have marks.
    pub(crate) fn hours(&self) -> impl Iterator<Item = Hour> {
        self.hours.keys().copied()
    }

    /// Whether no hour has any.
    pub(crate) fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// The marks of an hour.
    pub(crate) fn of(&self, hour: Hour) -> impl Iterator<Item = &[u8]> {
        let places = self.hours.get(&hour).into_iter().flatten();
        places.map(|place| self.names.get(*place))
    }

    /// Whether an hour has a mark of this name.
    pub(crate) fn has(&self, hour: Hour, name: &[u8]) -> bool {
        let place = self.names.places.get(name);
        let places = self.hours.get(&hour);
        place.is_some_and(|place| places.is_some_and(|places| places.contains(place)))
    }

    /// Adds a mark that an hour does not have yet.
    pub(crate) fn add(&mut self, hour: Hour, name: &[u8]) {
        let place = self.names.place(name);
        self.hours.entry(hour).or_default().push(place);
    }
}

impl Names {
    /// The place of a name, which is added if it is new.
    pub(crate) fn place(&mut self, name: &[u8]) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.list.len()).expect("names fit into memory");
        let name: Arc<[u8]> = name.into();
        self.list.push(Arc::clone(&name));
        self.places.insert(name, place);
        place
    }

    fn get(&self, place: u32) -> &[u8] {
        &self.list[place as usize]
    }

    /// All names, in the order of their places.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |name: &Arc<[u8]>| String::from_utf8_lossy(name).into_owned();
        self.list.iter().map(text).collect()
    }
}

/// Marks hours as awaiting aggregation, once. `name` must be the mark's own.
pub(crate) async fn mark(
    store: &dyn Store,
    name: &str,
    hours: &BTreeSet<Hour>,
) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for hour in hours {
        let mut row = batch.row(&PendingKey(*hour).encode());
        row.set(family::STATE, name.as_bytes(), 0, b"");
        row.finish();
        flush(store, &mut batch, BATCH_BYTES).await?;
    }
    flush(store, &mut batch, 0).await
}

/// All marks there are.
pub(crate) async fn marks(store: &dyn Store) -> Result<Marks, Error> {
    let scan = Scan::range(PendingKey::all()).with_latest_only();
    let mut rows = store.scan(table::STATE, scan);
    let mut marks = Marks::default();
    while let Some(row) = rows.try_next().await? {
        let key = match PendingKey::decode(row.key()) {
            Ok(key) => key,
            Err(problem) => {
                marks.unreadable.add(table::STATE, row.key(), problem);
                continue;
            }
        };
        for cell in row.cells() {
            marks.add(key.0, cell.qualifier);
        }
    }
    Ok(marks)
}

/// All marks there are, for a process that aggregates, reads events from now on, and then clears these marks. A new epoch begins, if
/// there are any.
pub(crate) async fn take_up(store: &dyn Store, process: &str) -> Result<(Marks, Epoch), Error> {
    let marks = marks(store).await?;
    let epoch = if marks.is_empty() {
        Epoch::read(store).await?
    } else {
        Epoch::begin(store, process).await?
    };
    Ok((marks, epoch))
}

/// Clears the marks of some hours, and no others.
pub(crate) async fn clear(
    store: &dyn Store,
    marks: &Marks,
    is_cleared: impl Fn(Hour) -> bool,
) -> Result<(), Error> {
    let mut batch = MutationBatch::new();
    for hour in marks.hours().filter(|hour| is_cleared(*hour)) {
        let mut row = batch.row(&PendingKey(hour).encode());
        for name in marks.of(hour) {
            row.delete_column(family::STATE, name);
        }
        row.finish();
        flush(store, &mut batch, BATCH_BYTES).await?;
    }
    flush(store, &mut batch, 0).await
}

/// Writes a batch that has more than so many bytes, and empties it.
async fn flush(store: &dyn Store, batch: &mut MutationBatch, bytes: usize) -> Result<(), Error> {
    if batch.bytes() > bytes {
        store.apply_all(table::STATE, std::mem::take(batch)).await?;
    }
    Ok(())
}
