//! Long values of dimensions: how much of one a cell shows.
//!
//! A value may be as long as a record. A hundred of them on a leaderboard would be more than a cell holds, and a job that stops there would
//! never get beyond.

use std::borrow::Cow;

use rowmill_rowkey::DimensionValue;

/// A leaderboard shows a value whole up to so many bytes.
pub(crate) const BOARD_VALUE_BYTES_MAX: usize = 1 << 10;

/// A row names its value whole up to so many bytes.
pub(crate) const ROW_VALUE_BYTES_MAX: usize = 64 << 10;

/// A leaderboard's cell has at most so many bytes. Places beyond are left out, from the last one on.
pub const BOARD_BYTES_MAX: usize = 4 << 20;

/// Counts of what did not fit into cells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Leaderboards that lack places, because of [`BOARD_BYTES_MAX`].
    pub boards: u64,
    /// Values of which a row names only the beginning.
    pub values: u64,
}

impl Cuts {
    /// Adds those of other cells.
    pub fn add(&mut self, other: Self) {
        self.boards += other.boards;
        self.values += other.values;
    }
}

/// A value whole if it is no longer than `bytes_max`, of at least a kilobyte, and else its beginning, closed by the hash that its key ends
/// with: two values stay two.
pub(crate) fn shown(value: &str, bytes_max: usize) -> Cow<'_, str> {
    const CLOSE_BYTES: usize = 2 + 32;
    if value.len() <= bytes_max {
        return Cow::Borrowed(value);
    }
    let DimensionValue::Cut { hash, .. } = DimensionValue::new(value) else {
        // A key holds it, so that it is short enough for a cell as well.
        return Cow::Borrowed(value);
    };
    let mut end = bytes_max - CLOSE_BYTES;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}%~{hash:032x}", &value[..end]))
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn long_values_are_cut_and_stay_different() {
        let long = |end: &str| "ä".repeat(2_000) + end;
        let (first, second) = (long("1"), long("2"));
        let cut = [&first, &second].map(|value| shown(value, 1_024).into_owned());
        assert_ne!(cut[0], cut[1]);
        assert!(
            cut.iter()
                .all(|it| it.len() <= 1_024 && it.starts_with("ää"))
        );
        assert_eq!(shown(&first, 5_000), first);
    }
}
