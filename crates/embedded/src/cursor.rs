//! A scan under way: read page by page, holding neither a thread nor old versions of rows while nobody asks for more.
//!
//! An iterator of the engine keeps everything alive that was there when it was made. So it is kept from one page to the next only while
//! little was written; beyond that the scan makes another one, from the row after the last one it met.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use bytes::Bytes;
use rowmill_model::Row;
use rowmill_rowkey::KeyRange;
use rowmill_store::{Result, Scan, View};

use crate::scan::{Joined, Rows};
use crate::table::Table;

/// A page ends with the row that makes it so large, or so long.
pub(crate) const PAGE_BYTES: usize = 256 << 10;
const PAGE_ROWS: usize = 512;
/// A page ends after so many rows of the table, shown or not, so that whoever waits for it can stop.
const PAGE_VISITS: usize = 16_384;

/// An iterator is given up once so many bytes were written to the store since it was made.
const OVERTAKEN_BYTES: u64 = 16 << 20;

/// Rows that were read together.
pub(crate) struct Page {
    /// An error is the last one.
    pub(crate) rows: Vec<Result<Row>>,
    pub(crate) is_last: bool,
}

/// A scan between its pages.
pub(crate) struct Cursor {
    table: Arc<Table>,
    view: View,
    reverse: bool,
    scans: Arc<OpenScans>,
    position: Mutex<Position>,
}

struct Position {
    /// What is still to be read, in the order of the scan. The first range begins after the last row that was met, once there is no
    /// iterator of it.
    ranges: VecDeque<KeyRange>,
    rows_left: u64,
    iterator: Option<Iterator>,
    joined: Joined,
}

/// The rows of the first range.
struct Iterator {
    rows: Rows,
    last: Option<Bytes>,
    /// How many bytes were written to the store before.
    made_at: u64,
}

impl Cursor {
    /// The cursor of a scan, known to `scans` for as long as it lives.
    pub(crate) fn new(
        table: Arc<Table>,
        scan: &Scan,
        view: View,
        scans: &Arc<OpenScans>,
    ) -> Arc<Self> {
        let mut ranges: VecDeque<KeyRange> = scan.joined_ranges().into();
        if scan.reverse {
            ranges.make_contiguous().reverse();
        }
        let cursor = Arc::new(Self {
            table,
            view,
            reverse: scan.reverse,
            scans: Arc::clone(scans),
            position: Mutex::new(Position {
                ranges,
                rows_left: scan.limit.unwrap_or(u64::MAX),
                iterator: None,
                joined: Joined::default(),
            }),
        });
        scans.add(&cursor);
        cursor
    }

    /// The next page. Blocks.
    pub(crate) fn page(&self) -> Page {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let page = self.read(&mut position);
        self.scans.release_overtaken(self, &mut position);
        page
    }

    fn read(&self, position: &mut Position) -> Page {
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for _ in 0..PAGE_VISITS {
            match self.next(position) {
                Ok(Step::Hidden) => {}
                Ok(Step::Shown(row)) => {
                    bytes += row.bytes();
                    rows.push(Ok(row));
                }
                Ok(Step::End) => {
                    return Page {
                        rows,
                        is_last: true,
                    };
                }
                Err(error) => {
                    rows.push(Err(error));
                    return Page {
                        rows,
                        is_last: true,
                    };
                }
            }
            if bytes >= PAGE_BYTES || rows.len() >= PAGE_ROWS {
                break;
            }
        }
        Page {
            rows,
            is_last: position.is_over(),
        }
    }

    /// Moves on to the next row of the table.
    fn next(&self, position: &mut Position) -> Result<Step> {
        while !position.is_over() {
            let (iterator, joined) = position.iterator(self);
            if let Some(visited) = iterator.rows.next(joined)? {
                iterator.last = Some(visited.key);
                let Some(row) = visited.row else {
                    return Ok(Step::Hidden);
                };
                position.rows_left -= 1;
                return Ok(Step::Shown(row));
            }
            position.iterator = None;
            position.ranges.pop_front();
        }
        Ok(Step::End)
    }
}

/// What a scan meets next.
enum Step {
    Shown(Row),
    /// A row without a cell that the scan shows.
    Hidden,
    End,
}

impl Position {
    fn is_over(&self) -> bool {
        self.ranges.is_empty() || self.rows_left == 0
    }

    /// The iterator of the first range, made anew if there is none; and memory for its rows.
    fn iterator(&mut self, cursor: &Cursor) -> (&mut Iterator, &mut Joined) {
        let range = &self.ranges[0];
        let iterator = self.iterator.get_or_insert_with(|| Iterator {
            // Asked before the iterator is made, so that it is never older than it is taken for.
            made_at: cursor.scans.written(),
            rows: Rows::new(
                &cursor.table.keyspace,
                range,
                cursor.reverse,
                cursor.view.clone(),
            ),
            last: None,
        });
        (iterator, &mut self.joined)
    }

    /// Gives the iterator up, if so many bytes were written since it was made.
    fn release_if_older(&mut self, made_at: u64, reverse: bool) {
        let Some(iterator) = self.iterator.take_if(|it| it.made_at <= made_at) else {
            return;
        };
        let Some(last) = iterator.last else { return };
        let range = &mut self.ranges[0];
        if reverse {
            range.end = Some(last.to_vec());
        } else {
            range.start = [&last[..], &[0]].concat();
        }
    }
}

/// The scans of a store that are open, and how much was written to it.
#[derive(Default)]
pub(crate) struct OpenScans {
    cursors: Mutex<Vec<Weak<Cursor>>>,
    written_bytes: AtomicU64,
}

impl OpenScans {
    fn add(&self, cursor: &Arc<Cursor>) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() == cursors.capacity() {
            cursors.retain(|cursor| cursor.strong_count() > 0);
        }
        cursors.push(Arc::downgrade(cursor));
    }

    fn written(&self) -> u64 {
        self.written_bytes.load(Ordering::SeqCst)
    }

    /// Counts bytes that were written; iterators that are too old by now are given up. Blocks.
    pub(crate) fn wrote(&self, bytes: usize) {
        let before = self.written_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
        let after = before + bytes as u64;
        if before / OVERTAKEN_BYTES == after / OVERTAKEN_BYTES {
            return;
        }
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let cursors: Vec<Arc<Cursor>> = cursors.iter().filter_map(Weak::upgrade).collect();
        for cursor in cursors {
            // One that is being read looks itself at the end of its page.
            let mut position = match cursor.position.try_lock() {
                Ok(position) => position,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            self.release_overtaken(&cursor, &mut position);
        }
    }

    fn release_overtaken(&self, cursor: &Cursor, position: &mut Position) {
        if let Some(made_at) = self.written().checked_sub(OVERTAKEN_BYTES) {
            position.release_if_older(made_at, cursor.reverse);
        }
    }
}
