//! Counting the rows of a table: keys only, its parts side by side.

use std::sync::Arc;

use futures::TryStreamExt as _;
use rowmill_store::{Scan, Store};

use crate::control::Control;
use crate::error::Error;
use crate::parts::each_part;

/// How many rows a table has.
pub async fn count_rows(
    store: &Arc<dyn Store>,
    table: &str,
    control: &Control,
) -> Result<u64, Error> {
    let counts = each_part(store, table, |range| {
        let mut rows = store.scan(table, Scan::range(range).with_keys_only());
        let control = control.clone();
        async move {
            let mut count = 0;
            while rows.try_next().await?.is_some() {
                control.check()?;
                control.advance(0, 1);
                count += 1;
            }
            Ok(count)
        }
    });
    Ok(counts.await?.into_iter().sum())
}
