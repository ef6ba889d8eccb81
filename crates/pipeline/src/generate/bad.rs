//! What can be wrong with a record.

use super::random::Random;
use super::session::Listen;

/// One thing wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It repeats the record before.
    Repeat,
    /// It is cut off, or has a field too many.
    Broken,
    /// It has no user.
    NoUser,
    /// Its time is no time.
    BadTime,
    /// Its level is none that there is.
    BadLevel,
    /// Its song has a negative length.
    NegativeLength,
    /// It plays a song without a name.
    NoSong,
}

impl Fault {
    pub(super) fn pick(random: &mut Random) -> Self {
        *random.pick(&[
            &Self::Repeat,
            &Self::Broken,
            &Self::NoUser,
            &Self::BadTime,
            &Self::BadLevel,
            &Self::NegativeLength,
            &Self::NoSong,
        ])
    }

    /// Spoils an event; what is wrong with the text as a whole comes when it is written.
    pub(super) fn spoil(self, listen: &mut Listen) {
        match self {
            Self::Repeat | Self::Broken => {}
            Self::NoUser => listen.user_id.clear(),
            Self::BadTime => "yesterday".clone_into(&mut listen.ts),
            Self::BadLevel => listen.level = "gold",
            Self::NegativeLength => match &mut listen.track {
                Some(track) => track.length.insert(0, '-'),
                None => listen.level = "gold",
            },
            Self::NoSong => match &mut listen.track {
                Some(track) => track.song.clear(),
                None => listen.user_id.clear(),
            },
        }
    }
}
