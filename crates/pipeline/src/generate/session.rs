//! Who listens to what, when: users with sessions that end after half an hour of silence.

use rowmill_rowkey::Timestamp;

use super::GenerateOptions;
use super::catalog;
use super::random::Random;

const SESSION_GAP_MICROS: i64 = 30 * 60 * 1_000_000;
const USERS_MAX: u64 = 20_000;

/// One listening event, before it is written.
#[derive(Debug, Clone)]
pub(super) struct Listen {
    pub(super) ts: String,
    pub(super) user_id: String,
    pub(super) first_name: &'static str,
    pub(super) last_name: &'static str,
    pub(super) gender: &'static str,
    pub(super) level: &'static str,
    pub(super) location: &'static str,
    pub(super) user_agent: &'static str,
    pub(super) registration_ms: i64,
    pub(super) session_id: u64,
    pub(super) item_in_session: u64,
    pub(super) page: &'static str,
    pub(super) method: &'static str,
    pub(super) status: u32,
    pub(super) track: Option<Track>,
}

/// What was played.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub(super) artist: String,
    pub(super) song: String,
    pub(super) length: String,
}

#[derive(Debug)]
struct User {
    first_name: &'static str,
    last_name: &'static str,
    gender: &'static str,
    location: &'static str,
    agent: &'static str,
    registration_ms: i64,
    paid: bool,
    session_id: u64,
    items: u64,
    last_micros: i64,
}

/// The state of all users.
#[derive(Debug)]
pub(super) struct Sessions {
    users: Vec<User>,
    sessions: u64,
}

impl Sessions {
    pub(super) fn new(options: &GenerateOptions, random: &mut Random) -> Self {
        let count = (options.events / 250).clamp(10, USERS_MAX);
        let start_ms = options.start.start().micros() / 1_000;
        let user = |_| User {
            first_name: random.pick(&catalog::FIRST_NAMES),
            last_name: random.pick(&catalog::LAST_NAMES),
            gender: random.pick(&["F", "M"]),
            location: random.pick(&catalog::LOCATIONS),
            agent: random.pick(&catalog::AGENTS),
            registration_ms: start_ms - i64::try_from(random.below(90 * 86_400_000)).unwrap_or(0),
            paid: random.below(3) > 0,
            session_id: 0,
            items: 0,
            last_micros: i64::MIN,
        };
        // Other seeds have other sessions, so that their events never share an id.
        let sessions = options.seed % 100_000 * 1_000_000;
        Self {
            users: (0..count).map(user).collect(),
            sessions,
        }
    }

    /// The next event, at `time`.
    pub(super) fn next(&mut self, time: Timestamp, random: &mut Random) -> Listen {
        let index = random.skewed(self.users.len());
        let user = &mut self.users[index];
        if time.micros().saturating_sub(user.last_micros) > SESSION_GAP_MICROS {
            self.sessions += 1;
            (user.session_id, user.items) = (self.sessions, 0);
        }
        user.last_micros = time.micros();
        let item_in_session = user.items;
        user.items += 1;
        let page = page(random);
        Listen {
            ts: (time.micros() / 1_000).to_string(),
            user_id: (index + 1).to_string(),
            first_name: user.first_name,
            last_name: user.last_name,
            gender: user.gender,
            level: if user.paid { "paid" } else { "free" },
            location: user.location,
            user_agent: user.agent,
            registration_ms: user.registration_ms,
            session_id: user.session_id,
            item_in_session,
            page,
            method: if matches!(page, "NextSong" | "Login" | "Logout") {
                "PUT"
            } else {
                "GET"
            },
            status: if random.below(40) == 0 { 307 } else { 200 },
            track: (page == "NextSong").then(|| track(random)),
        }
    }
}

fn page(random: &mut Random) -> &'static str {
    match random.below(100) {
        0..84 => "NextSong",
        84..94 => "Home",
        other => ["Login", "Logout", "Settings", "Help", "About", "Downgrade"]
            [usize::try_from(other - 94).expect("below 6")],
    }
}

fn track(random: &mut Random) -> Track {
    let artist = random.skewed(catalog::ARTISTS);
    let song = random.skewed(12);
    let length = catalog::length(artist, song);
    Track {
        artist: catalog::artist(artist),
        song: catalog::song(artist, song),
        length: format!("{}.{:05}", length / 100_000, length % 100_000),
    }
}
