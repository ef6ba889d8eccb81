//! Arguments of `dlq`, `runs` and `verify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rowmill_rowkey::{Date, Timestamp};

use super::{limit, time};

#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// Show dead letters: where they stand, and what is wrong with them
    List(ListLetters),
    /// Show everything about one, its raw bytes too
    Show(ShowLetter),
    /// Count them by reason, source and stage
    Stats(LetterFilterArguments),
    /// Write them to a file, a line of JSON each, or their raw records
    Export(ExportLetters),
    /// Run them through the pipeline again; those that pass become events and leave the dead letters
    Replay(ReplayArguments),
    /// Tell by reason how many would pass under the pipeline file that --config names, and write nothing
    WhatIf(LetterFilterArguments),
    /// Remove them for good
    Purge(PurgeArguments),
}

/// Which dead letters: those that meet everything that is said
#[derive(Debug, Args)]
pub(crate) struct LetterFilterArguments {
    /// With this kind of reason, such as `one_of`, or this rule
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// With something wrong in this field
    #[arg(long, value_name = "FIELD")]
    pub(crate) field: Option<String>,
    /// From this file, or files of this pattern
    #[arg(long, value_name = "FILE|PATTERN")]
    pub(crate) source: Option<String>,
    /// First seen at or after this time: a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub(crate) struct ListLetters {
    #[command(flatten)]
    pub(crate) filter: LetterFilterArguments,
    /// How many to show at most; a table comes in pages of a thousand
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = limit)]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ShowLetter {
    /// The letter's key, as `dlq list` shows it
    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct ExportLetters {
    #[command(flatten)]
    pub(crate) filter: LetterFilterArguments,
    /// Only the raw records, one after the other, as they can be corrected and ingested
    #[arg(long)]
    pub(crate) raw: bool,
    /// Where to write; standard output without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArguments {
    #[command(flatten)]
    pub(crate) filter: LetterFilterArguments,
    /// How many to try at most
    #[arg(long, value_name = "COUNT", value_parser = limit)]
    pub(crate) limit: Option<u64>,
    /// How many a second to try at most
    #[arg(long, value_name = "LETTERS", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Say what would become of them, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArguments {
    #[command(flatten)]
    pub(crate) filter: LetterFilterArguments,
    /// Keep them in this file, which must not exist, a line of JSON each
    #[arg(long, value_name = "FILE")]
    pub(crate) archive: Option<PathBuf>,
    /// Remove without asking; required if standard input is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say how many would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Runs {
    /// Show the latest runs, and how they ended
    List(ListRuns),
    /// Show the ledger of one run, and those of its inputs
    Show(ShowRun),
}

#[derive(Debug, Args)]
pub(crate) struct ListRuns {
    /// How many to show at most
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = limit)]
    pub(crate) limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ShowRun {
    /// The run, as `runs list` shows it; the latest without one
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Only this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only this input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Read each source again, and look up this many of its records in the store
    #[arg(long, value_name = "RECORDS", conflicts_with = "full", value_parser = limit)]
    pub(crate) sample: Option<u64>,
    /// Read the sources again, and look up every record, beside the digests
    #[arg(long)]
    pub(crate) full: bool,
    /// Prove the aggregates instead: recompute them from the facts, and compare every cell
    #[arg(long, conflicts_with_all = ["run", "file", "sample", "full"])]
    pub(crate) aggregates: bool,
    /// With --aggregates: from this date on
    #[arg(long, value_name = "DATE", requires = "aggregates")]
    pub(crate) from: Option<Date>,
    /// With --aggregates: up to this date, included
    #[arg(long, value_name = "DATE", requires = "aggregates")]
    pub(crate) to: Option<Date>,
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok();
    number
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or_else(|| "is no number above zero".to_owned())
}
