//! Names of artists, songs, people, places and browsers, all made up or generic.

pub(super) const FIRST_NAMES: [&str; 16] = [
    "Ada", "Bela", "Chidi", "Dalia", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kaya", "Luz",
    "Mira", "Nils", "Oona", "Pavel",
];
pub(super) const LAST_NAMES: [&str; 12] = [
    "Abara",
    "Brandt",
    "Costa",
    "Dufour",
    "Eriksen",
    "Fujita",
    "Garcia",
    "Horvat",
    "Ito",
    "Jensen",
    "Kovac",
    "Lindqvist",
];
pub(super) const LOCATIONS: [&str; 12] = [
    "Lisbon, PT",
    "Oslo, NO",
    "Sapporo, JP",
    "Valparaíso, CL",
    "Chicago-Naperville-Elgin, IL-IN-WI",
    "San Jose-Sunnyvale-Santa Clara, CA",
    "Lagos, NG",
    "Kraków, PL",
    "Pune, IN",
    "Perth, AU",
    "Montréal, CA",
    "Accra, GH",
];
pub(super) const AGENTS: [&str; 5] = [
    "\"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36\"",
    "\"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15\"",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "\"Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148\"",
    "Mozilla/5.0 (Android 16; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0",
];
const ARTIST_FIRST: [&str; 12] = [
    "Glass",
    "Velvet",
    "Northern",
    "Paper",
    "Electric",
    "Hollow",
    "Crimson",
    "Quiet",
    "Satellite",
    "Wooden",
    "Neon",
    "Salt",
];
const ARTIST_SECOND: [&str; 12] = [
    "Harbour",
    "Foxes",
    "Orchard",
    "Machines",
    "Parade",
    "Lanterns",
    "Choir",
    "Rivers",
    "Motel",
    "Astronomers",
    "Club",
    "Échos",
];
const SONG_FIRST: [&str; 10] = [
    "Midnight",
    "Slow",
    "Golden",
    "Last",
    "Broken",
    "Summer",
    "Distant",
    "Interlude #2:",
    "Blue",
    "Early",
];
const SONG_SECOND: [&str; 10] = [
    "Train", "Letters", "Weather", "Machine", "Harbour", "(Live)", "Signal", "Morning", "Static",
    "Ghosts",
];

/// How many artists there are, and how many songs each has.
pub(super) const ARTISTS: usize = ARTIST_FIRST.len() * ARTIST_SECOND.len();
pub(super) const SONGS: usize = SONG_FIRST.len() * SONG_SECOND.len();

pub(super) fn artist(index: usize) -> String {
    format!(
        "{} {}",
        ARTIST_FIRST[index % ARTIST_FIRST.len()],
        ARTIST_SECOND[index / ARTIST_FIRST.len()]
    )
}

/// An artist's songs are the same words in an order of its own.
pub(super) fn song(artist: usize, index: usize) -> String {
    let shifted = (index + artist * 7) % SONGS;
    format!(
        "{} {}",
        SONG_FIRST[shifted % SONG_FIRST.len()],
        SONG_SECOND[shifted / SONG_FIRST.len()]
    )
}

/// A song's length in units of 10 microseconds: 1.5 to 6 minutes.
pub(super) fn length(artist: usize, song: usize) -> u64 {
    let mixed = (artist as u64 * 100 + song as u64).wrapping_mul(2_654_435_761) % 27_000_000;
    9_000_000 + mixed
}
