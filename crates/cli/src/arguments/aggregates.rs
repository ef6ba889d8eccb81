//! The arguments of aggregating, asking, and deleting.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rowmill_model::Grain;
use rowmill_model::columns::table;
use rowmill_pipeline::Shard;
use rowmill_rowkey::{Date, Timestamp};

use super::{limit, time};

#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct AggregateArguments {
    /// From this date on, instead of the hours that changed
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<Date>,
    /// Up to this date, included
    #[arg(long, value_name = "DATE")]
    pub(crate) to: Option<Date>,
    /// Aggregate everything again from the timeline, after a change of measures or dimensions
    #[arg(long, conflicts_with_all = ["from", "to"])]
    pub(crate) all: bool,
    /// Rebuild the timeline from the facts, then aggregate everything; needed if the timeline lacks a field
    #[arg(long, conflicts_with_all = ["from", "to", "all", "shard", "merge", "dry_run"])]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) shard: ShardArguments,
    /// What the job of all shards together is called, if it may run again: shards of other jobs are not mixed in
    #[arg(
        long,
        value_name = "NAME",
        env = "CLOUD_RUN_EXECUTION",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) job: String,
    /// Only merge what shards left
    #[arg(long, conflicts_with = "shard")]
    pub(crate) merge: bool,
    /// Memory to aggregate in, in MiB; what exceeds it spills to a temporary file. One week is aggregated for each 32 MiB in parallel, at
    /// most one for each core
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1_000_000), hide_short_help = true)]
    pub(crate) memory: u32,
    /// Say how much there is to do, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which of several processes this is, as it was asked for, or as Cloud Run and Kubernetes say it.
#[derive(Debug, Args)]
pub(crate) struct ShardArguments {
    /// Process only shard I of N, counted from 0. Ingest splits its inputs; aggregate splits its hours, and the last shard to finish merges.
    /// By default from `CLOUD_RUN_TASK_INDEX` and `CLOUD_RUN_TASK_COUNT`, or `JOB_COMPLETION_INDEX` and `JOB_COMPLETION_COUNT`
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[arg(long, env = "CLOUD_RUN_TASK_INDEX", hide = true)]
    cloud_run_task_index: Option<u32>,
    #[arg(long, env = "CLOUD_RUN_TASK_COUNT", hide = true)]
    cloud_run_task_count: Option<u32>,
    #[arg(long, env = "JOB_COMPLETION_INDEX", hide = true)]
    job_completion_index: Option<u32>,
    #[arg(long, env = "JOB_COMPLETION_COUNT", hide = true)]
    job_completion_count: Option<u32>,
}

impl ShardArguments {
    /// The shard that was asked for, or that the variables name; the only one there is without either.
    pub(crate) fn shard(&self) -> Result<Shard, String> {
        if let Some(shard) = self.shard {
            return Ok(shard);
        }
        let cloud_run = (
            "CLOUD_RUN_TASK",
            self.cloud_run_task_index,
            self.cloud_run_task_count,
        );
        let kubernetes = (
            "JOB_COMPLETION",
            self.job_completion_index,
            self.job_completion_count,
        );
        for (name, index, count) in [cloud_run, kubernetes] {
            let Some(index) = index else { continue };
            let count = count.ok_or_else(|| {
                format!("`{name}_INDEX` is {index} but `{name}_COUNT` is not set; set it to the number of tasks, or give --shard {index}/N")
            })?;
            let shard = Shard::new(index, count);
            return shard.ok_or_else(|| {
                format!("`{name}_INDEX` {index} of `{name}_COUNT` {count} is no shard; the index counts from 0")
            });
        }
        Ok(Shard::ALONE)
    }
}

#[derive(Debug, Args)]
pub(crate) struct QueryArguments {
    /// Say which ranges were read, how many rows and bytes came, and how many were returned
    #[arg(long, global = true)]
    pub(crate) explain: bool,
    /// Let `stats` and `top` read more than a million rows; other queries have no such limit
    #[arg(long, global = true)]
    pub(crate) full_scan: bool,
    #[command(subcommand)]
    pub(crate) query: Query,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Query {
    /// A user's events, newest first
    User(UserArguments),
    /// One value's statistics over time
    Stats(StatsArguments),
    /// The values of a dimension with the greatest figures in an hour, on a day, or in a week
    Top(TopArguments),
    /// What is behind a number: events, inputs, runs, late events, duplicates and rejects, and the keys
    Explain(ExplainArguments),
    /// Count the rows of a table; reads keys only, several ranges in parallel
    Count(CountArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The dimension; _total is everything
    pub(crate) dimension: String,
    /// The value; of _total it is all
    pub(crate) value: String,
    /// The day, as 2018-11-15; an hour, as 2018-11-15T14; with --week any day of the week
    #[arg(value_name = "DATE|HOUR")]
    pub(crate) on: String,
    /// The whole week
    #[arg(long)]
    pub(crate) week: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CountArguments {
    /// The table
    #[arg(value_enum)]
    pub(crate) table: CountTable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CountTable {
    /// Events
    Facts,
    /// Events by hour
    Timeline,
    /// Aggregates, and what aggregation keeps for itself
    Aggregates,
    /// Dead letters
    Letters,
    /// Runs, checkpoints, marks
    State,
}

impl CountTable {
    /// The table's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Facts => table::FACT,
            Self::Timeline => table::TIMELINE,
            Self::Aggregates => table::AGGREGATE,
            Self::Letters => table::DEAD_LETTERS,
            Self::State => table::STATE,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// A user whose events, timeline rows and dead letters are deleted; may be repeated
    #[arg(long, value_name = "USER", required_unless_present = "users")]
    pub(crate) user: Vec<String>,
    /// A file that names such users, one a line: dead letters are read once for all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) users: Option<PathBuf>,
    /// Do it: without this nothing is deleted
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say how much there is to delete, and delete nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UserArguments {
    /// The user
    #[arg(required_unless_present = "without")]
    pub(crate) user_id: Option<String>,
    /// The events that have no user
    #[arg(long, conflicts_with = "user_id")]
    pub(crate) without: bool,
    /// At or after this time: a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Before this time: a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) to: Option<Timestamp>,
    /// How many to show at most; a table comes in pages of a thousand
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = limit)]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    /// The dimension; _total is everything
    #[arg(default_value = "_total")]
    pub(crate) dimension: String,
    /// The value; of _total and _sessions it is all
    pub(crate) value: Option<String>,
    /// By which length of time
    #[arg(long, value_enum, default_value_t = GrainArgument::Day)]
    pub(crate) by: GrainArgument,
    /// On or after this date
    #[arg(long, value_name = "DATE")]
    pub(crate) from: Option<Date>,
    /// On or before this date
    #[arg(long, value_name = "DATE")]
    pub(crate) to: Option<Date>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GrainArgument {
    /// Clock hours
    Hour,
    /// Days
    Day,
    /// Weeks from Monday
    Week,
}

impl From<GrainArgument> for Grain {
    fn from(grain: GrainArgument) -> Self {
        match grain {
            GrainArgument::Hour => Self::Hour,
            GrainArgument::Day => Self::Day,
            GrainArgument::Week => Self::Week,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct TopArguments {
    /// The dimension
    pub(crate) dimension: String,
    /// The day, as 2018-11-15; an hour, as 2018-11-15T14; with --week any day of the week
    #[arg(long, value_name = "DATE|HOUR")]
    pub(crate) on: String,
    /// The whole week
    #[arg(long)]
    pub(crate) week: bool,
    /// The figure to order by
    #[arg(long, value_name = "FIGURE", default_value = "count")]
    pub(crate) by: String,
    /// How many to show at most; a table comes in pages of a thousand
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = limit)]
    pub(crate) limit: u64,
}
