//! Questions to the tables: a user's events, a value's statistics, the top values of a day. Answers are streams: what is asked for may be
//! more than memory holds.

mod events;
mod nothing;
mod ranking;
mod stats;
mod top;

use rowmill_model::Grain;
use rowmill_rowkey::SESSIONS_DIMENSION;

use crate::error::Error;
use crate::stages::Stages;

pub use events::{UserQuery, user_events};
pub use nothing::{Nothing, nothing_of, nothing_of_user};
pub use stats::{StatsQuery, stats};
pub use top::{TopQuery, top};

/// Makes sure that there is a dimension, and that it is aggregated by this length of time.
pub fn check_dimension(stages: &Stages, dimension: &str, grain: Grain) -> Result<(), Error> {
    let grains = grains(stages, dimension)?;
    if grains.contains(&grain) {
        return Ok(());
    }
    let names: Vec<_> = grains.iter().map(|grain| grain.name()).collect();
    Err(Error::Query(format!(
        "`{dimension}` is aggregated by {}, not by {}",
        names.join(" and "),
        grain.name()
    )))
}

/// By which lengths of time a dimension is aggregated.
fn grains<'a>(stages: &'a Stages, dimension: &str) -> Result<&'a [Grain], Error> {
    let has_sessions = stages.plan.sessions().is_some();
    if dimension == SESSIONS_DIMENSION && has_sessions {
        return Ok(&Grain::ALL);
    }
    stages.plan.grains(dimension).ok_or_else(|| {
        let mut names: Vec<_> = stages.plan.dimension_names().collect();
        names.extend(has_sessions.then_some(SESSIONS_DIMENSION));
        Error::Query(format!(
            "there is no dimension `{dimension}`; there are {}",
            names.join(", ")
        ))
    })
}
