//! Ledgers of an input's old runs, each in a row of its own: an input that is read again and again, as a log that grows is, keeps a row of
//! the state that does not grow with the number of its runs. Ledgers of replays are here from the beginning: nobody takes a replay up.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use rowmill_model::MutationBatch;
use rowmill_model::columns::{family, table};
use rowmill_rowkey::{FileKey, KeyRange, PastLedgerKey};
use rowmill_store::{Scan, Store, StoreExt as _};

use crate::error::Error;
use crate::file_ledger::FileLedger;
use crate::runs::{FileLedgers, in_order, parse};
use crate::unreadable::Unreadable;

/// How many ledgers the row of an input may hold before its run begins; then all but the latest few are moved.
pub(crate) const LEDGERS_MAX: usize = 16;

const LEDGERS_KEPT: usize = 8;

/// Bytes of ledgers that are written together.
const BATCH_BYTES: usize = 1 << 20;

/// Moves an input's old ledgers out of its row.
pub(crate) async fn move_old(store: &dyn Store, name: &str) -> Result<(), Error> {
    let key = file_key(name)?;
    let Some(row) = store.row(table::STATE, &key).await? else {
        return Ok(());
    };
    let mut ledgers = Vec::new();
    for cell in row.cells() {
        ledgers.push(parse::<FileLedger>(&row, cell.value)?);
    }
    ledgers.sort_by(in_order);
    ledgers.truncate(ledgers.len().saturating_sub(LEDGERS_KEPT));
    let mut batch = MutationBatch::new();
    for ledger in &ledgers {
        ledger.write_past(&mut batch);
        if batch.bytes() > BATCH_BYTES {
            let full = std::mem::take(&mut batch);
            store.apply_all(table::STATE, full).await?;
        }
    }
    store.apply_all(table::STATE, batch).await?;
    // After they are there: a ledger that is in both places is one.
    let mut batch = MutationBatch::new();
    let mut row = batch.row(&key);
    for ledger in &ledgers {
        row.delete_column(family::STATE, ledger.run.as_bytes());
    }
    row.finish();
    store.apply_all(table::STATE, batch).await?;
    Ok(())
}

/// Adds the ledgers that were moved to those of all inputs.
pub(crate) async fn add_moved(
    store: &dyn Store,
    files: &mut FileLedgers,
    unreadable: &mut Unreadable,
) -> Result<(), Error> {
    let scan = Scan::range(PastLedgerKey::all()).with_latest_only();
    let mut rows = store.scan(table::STATE, scan);
    while let Some(row) = rows.try_next().await? {
        for cell in row.cells() {
            match serde_json::from_slice(cell.value) {
                Ok(ledger) => add(files, ledger),
                Err(error) => unreadable.add(table::STATE, row.key(), error),
            }
        }
    }
    Ok(())
}

fn add(files: &mut FileLedgers, ledger: FileLedger) {
    let ledgers = files.entry(ledger.file.clone()).or_default();
    if let Err(place) = ledgers.binary_search_by(|known| in_order(known, &ledger)) {
        ledgers.insert(place, ledger);
    }
}

/// The ledgers that inputs have in one run, wherever they are.
pub(crate) async fn ledgers_in(
    store: &dyn Store,
    run: &str,
    names: &[String],
) -> Result<Vec<FileLedger>, Error> {
    let mut found = Vec::with_capacity(names.len());
    let keys = names.iter().map(|name| file_key(name));
    let scan = scan_of(keys.collect::<Result<_, _>>()?, run);
    read(store, scan, &mut found).await?;
    if found.len() < names.len() {
        let known: HashSet<&str> = found.iter().map(|ledger| ledger.file.as_str()).collect();
        let missing = names.iter().filter(|name| !known.contains(name.as_str()));
        let keys = missing.map(|name| past_key(name, run));
        let scan = scan_of(keys.collect::<Result<_, _>>()?, run);
        read(store, scan, &mut found).await?;
    }
    Ok(found)
}

fn scan_of(keys: Vec<Vec<u8>>, run: &str) -> Scan {
    let ranges = keys.into_iter().map(KeyRange::single).collect();
    let scan = Scan::ranges(ranges).with_latest_only();
    scan.with_qualifiers([run.as_bytes()])
}

async fn read(store: &dyn Store, scan: Scan, found: &mut Vec<FileLedger>) -> Result<(), Error> {
    let mut rows = store.scan(table::STATE, scan);
    while let Some(row) = rows.try_next().await? {
        for cell in row.cells() {
            found.push(parse(&row, cell.value)?);
        }
    }
    Ok(())
}

fn file_key(name: &str) -> Result<Vec<u8>, Error> {
    let key = FileKey(name.into()).encode();
    key.map_err(|error| Error::Query(error.to_string()))
}

fn past_key(name: &str, run: &str) -> Result<Vec<u8>, Error> {
    let (source, run) = (name.into(), run.into());
    let key = PastLedgerKey { source, run }.encode();
    key.map_err(|error| Error::Query(error.to_string()))
}
