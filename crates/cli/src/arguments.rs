//! The command line, as clap reads it.

mod aggregates;
mod letters;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use rowmill_model::RejectLimit;
use rowmill_pipeline::DUPLICATE_WINDOW;
use rowmill_rowkey::{Date, Timestamp};
use rowmill_store::Chaos;

pub(crate) use aggregates::{
    AggregateArguments, CountArguments, DeleteArguments, ExplainArguments, Query, QueryArguments,
    ShardArguments, StatsArguments, TopArguments, UserArguments,
};
pub(crate) use letters::{
    Dlq, ExportLetters, LetterFilterArguments, ListLetters, PurgeArguments, ReplayArguments, Runs,
    VerifyArguments,
};

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something failed
  2    the command line, the pipeline file or an input is wrong; nothing was done
  3    more records were rejected than allowed
  4    verification found a difference
  130  stopped by Ctrl-C; run the same command again to go on";

/// An event pipeline on Bigtable: files in, exact facts and aggregates out.
#[derive(Debug, Parser)]
#[command(name = "rowmill", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The pipeline file
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "rowmill.toml",
        env = "ROWMILL_CONFIG"
    )]
    pub(crate) config: PathBuf,
    /// Set a value over the pipeline file's, as in `fields.level.required=false`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The store: memory:, <file:PATH>, or <bigtable://PROJECT/INSTANCE?app_profile=NAME>
    #[arg(
        long,
        global = true,
        value_name = "URI",
        default_value = "file:rowmill-data",
        env = "ROWMILL_STORE"
    )]
    pub(crate) store: String,
    /// Use the Bigtable emulator at this address instead of the service
    #[arg(
        long,
        global = true,
        value_name = "HOST:PORT",
        env = "BIGTABLE_EMULATOR_HOST",
        hide_env_values = true
    )]
    pub(crate) emulator_host: Option<String>,
    /// Use the Google Cloud Storage emulator at this URL for gs:// inputs instead of the service
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "STORAGE_EMULATOR_HOST",
        hide_env_values = true,
        hide_short_help = true
    )]
    pub(crate) storage_endpoint: Option<String>,
    /// For tests: make the store fail, as in unavailable=2%,lost-reply=1%,lost-write=1%,slow=50ms:5%,kill-at=40
    #[arg(long, global = true, value_name = "FAULTS", hide_short_help = true)]
    pub(crate) chaos: Option<Chaos>,
    /// Seed of the faults of --chaos: the same seed gives the same faults
    #[arg(
        long,
        global = true,
        value_name = "SEED",
        default_value_t = 1,
        hide_short_help = true
    )]
    pub(crate) chaos_seed: u64,
    /// How results are printed or files written; by default what suits the command
    #[arg(long, global = true, value_enum)]
    pub(crate) format: Option<Format>,
    /// Log what jobs do, on standard error
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Say nothing but results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: an object on each line; of `generate`, one array
    Json,
    /// An object on each line
    Jsonl,
    /// A header and rows
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of text
    Text,
    /// An object on each line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate, ingest and aggregate a month of events in a fresh folder, and show what came of it
    Demo(DemoArguments),
    /// Read files and say what is wrong with them; write nothing, need no store
    Check(InputArguments),
    /// Read files into the fact table
    Ingest(IngestArguments),
    /// Aggregate the hours that changed, a range of dates, or everything anew
    Aggregate(AggregateArguments),
    /// Ingest, aggregate, and sum up
    Run(IngestArguments),
    /// Ask: a user's events, a value's statistics, the top values of a day
    Query(QueryArguments),
    /// Delete everything there is of some users, and mark the hours to be aggregated anew
    Delete(DeleteArguments),
    /// Write a whole table for other tools
    Export(ExportArguments),
    /// Dead letters: records that were rejected
    #[command(subcommand)]
    Dlq(Dlq),
    /// The runs there were, and their ledgers
    #[command(subcommand)]
    Runs(Runs),
    /// Prove from the store that what the ledgers say was written is there, byte for byte
    Verify(VerifyArguments),
    /// Make the store's tables what the pipeline file says, show them, or drop them
    #[command(subcommand)]
    Tables(Tables),
    /// Check an embedded store, or back it up
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the tables that the pipeline file needs, for tools that create them
    #[command(subcommand)]
    Schema(Schema),
    /// Make up listening events: the same bytes for the same seed, for ever
    Generate(GenerateArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// The folder to make, which must not exist; a new one among the temporary files without it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// How many events to generate
    #[arg(long, default_value_t = 60_000)]
    pub(crate) events: u64,
}

#[derive(Debug, Args)]
pub(crate) struct InputArguments {
    /// Files, directories, patterns such as 'logs/*.json', '<gs://BUCKET/PREFIX*>', or - for standard input; gzip and zstd are read
    #[arg(required = true, value_name = "FILES")]
    pub(crate) inputs: Vec<String>,
    /// What the files hold; by extension and a look inside without it
    #[arg(long, value_enum)]
    pub(crate) input_format: Option<InputFormat>,
    /// Succeed when a directory, a pattern or a prefix holds no file; without it that is an error
    #[arg(long)]
    pub(crate) allow_none: bool,
    /// Stop when more records than this are rejected: a count, or a share such as 5%, judged from 1,000 records on
    #[arg(long, value_name = "COUNT|SHARE")]
    pub(crate) max_rejects: Option<RejectLimit>,
    /// How many rejected records to show
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub(crate) examples: usize,
    /// How many of the latest events are remembered to tell duplicates
    #[arg(long, value_name = "EVENTS", default_value_t = DUPLICATE_WINDOW as u64, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) duplicate_window: u64,
}

#[derive(Debug, Args)]
pub(crate) struct IngestArguments {
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Do everything but write
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) shard: ShardArguments,
    /// Ingest also what is done already, as a new run
    #[arg(long)]
    pub(crate) again: bool,
    /// When to create missing tables
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        hide_short_help = true
    )]
    pub(crate) create_tables: CreateTables,
    /// How many rows are written together, and how far apart checkpoints are
    #[arg(long, value_name = "ROWS", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000), hide_short_help = true)]
    pub(crate) batch_rows: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CreateTables {
    /// In an embedded store and on an emulator; on Bigtable a missing table is an error
    Auto,
    /// On every store, as `rowmill tables create` does
    Always,
    /// Never: a missing table is an error
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Rows of fields
    Csv,
    /// A JSON document on each line
    Jsonl,
    /// A JSON array, or documents one after the other
    Json,
}

impl From<InputFormat> for rowmill_ingest::Format {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Csv => Self::Csv,
            InputFormat::Jsonl => Self::Jsonl,
            InputFormat::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tables {
    /// Create what is missing, and change what differs; doing it again changes nothing
    Create(CreateTablesArguments),
    /// Show the tables there are, and how they differ from the pipeline file
    Describe,
    /// Drop tables and all their rows
    Drop(DropTablesArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Read every block of every table, and say what is damaged; exit 4 if anything is
    Check,
    /// Copy the store to a new folder; copying that back is the restore
    Backup(BackupArguments),
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Folder for the backup, outside the store; it must be empty, or not be there yet
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print tables, column families and how long each keeps its cells; needs no store
    Export(ExportSchemaArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ExportSchemaArguments {
    /// As the variables `tables` and `columns` of Terraform's modules, for a file such as tables.auto.tfvars.json
    #[arg(long)]
    pub(crate) terraform: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CreateTablesArguments {
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply changes that let the store drop cells which it keeps today
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DropTablesArguments {
    /// Which of rowmill's tables; all of them without any
    #[arg(value_name = "TABLES")]
    pub(crate) tables: Vec<String>,
    /// Do it: without this nothing is dropped
    #[arg(long)]
    pub(crate) yes: bool,
    /// Show what would be dropped, and drop nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    /// What to write
    #[arg(value_enum)]
    pub(crate) table: ExportTable,
    /// Where to write it; standard output without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportTable {
    /// Every event
    Facts,
    /// Every aggregate
    Aggregates,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArguments {
    /// How many records
    #[arg(long, default_value_t = 10_000)]
    pub(crate) events: u64,
    /// Over how many days
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) days: u32,
    /// The first day
    #[arg(long, value_name = "DATE", default_value = "2025-11-01")]
    pub(crate) start: Date,
    /// Seed of the random choices: the same seed gives the same bytes
    #[arg(long, default_value_t = 42)]
    pub(crate) seed: u64,
    /// Percentage of records, 0 to 100, that are bad or repeat the record before
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    pub(crate) bad: f64,
    /// Where to write; standard output without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

fn time(text: &str) -> Result<Timestamp, String> {
    rowmill_model::parse_time(text)
        .ok_or_else(|| "is no date and no RFC 3339 time, as 2018-11-15T14:00:00Z".to_owned())
}

fn limit(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|limit| *limit > 0);
    number.ok_or_else(|| "is not a count of 1 or more".to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "is no share from 0 to 100".to_owned())
}
