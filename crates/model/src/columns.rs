//! Names of tables, families and qualifiers: the contract with everything else that reads the tables.

/// The tables.
pub mod table {
    /// One row an event.
    pub const FACT: &str = "events_fact";
    /// The same events by hour, with the fields that aggregates need.
    pub const TIMELINE: &str = "events_timeline";
    /// One row per dimension, value and day.
    pub const AGGREGATE: &str = "events_aggregate";
    /// Rejected records.
    pub const DEAD_LETTERS: &str = "dead_letters";
    /// Runs, checkpoints, and hours that await aggregation.
    pub const STATE: &str = "pipeline_state";
}

/// The column families.
pub mod family {
    /// Attributes of an event.
    pub const EVENT_DATA: &str = "event_data";
    /// Where an event or an aggregate comes from.
    pub const METADATA: &str = "metadata";
    /// Status and warnings of an event.
    pub const QUALITY: &str = "quality";
    /// The fields of a timeline row.
    pub const EVENT: &str = "event";
    /// Statistics of a day.
    pub const DAILY_STATS: &str = "daily_stats";
    /// Statistics of a day's hours, `HH.metric`.
    pub const HOURLY_STATS: &str = "hourly_stats";
    /// Statistics of the week that a Monday opens.
    pub const WEEKLY_STATS: &str = "weekly_stats";
    /// A dead letter.
    pub const LETTER: &str = "letter";
    /// A row of the pipeline's own state.
    pub const STATE: &str = "state";
}

/// Qualifiers of `events_fact` beyond `event_data`, whose qualifiers are field names.
pub mod fact {
    /// `metadata`: the run that wrote the row.
    pub const BATCH: &str = "batch";
    /// `metadata`: the event's identity within its user and time.
    pub const EVENT_ID: &str = "event_id";
    /// `metadata`: what kind of event it is.
    pub const EVENT_TYPE: &str = "event_type";
    /// `metadata`: when the row was written.
    pub const INGESTED_AT: &str = "ingested_at";
    /// `metadata`: fingerprint of the pipeline file that made the row.
    pub const SCHEMA_VERSION: &str = "schema_version";
    /// `metadata`: the record's place, `file:line@offset`.
    pub const SOURCE: &str = "source";
    /// `metadata`: the event's time, to the microsecond.
    pub const TIMESTAMP: &str = "timestamp";
    /// `metadata`: the user; absent where the key holds the placeholder.
    pub const USER_ID: &str = "user_id";
    /// `quality`: `ok` or `warn`.
    pub const STATUS: &str = "status";
    /// `quality`: the warnings, as a JSON array of texts.
    pub const WARNINGS: &str = "warnings";
}

/// Qualifiers of `dead_letters`. The cells of a letter carry the number of its attempt as their timestamp, in milliseconds, so that the
/// latest attempt stands and ingesting the same record again does not hide it.
pub mod letter {
    /// How often the record was tried, as an integer.
    pub const ATTEMPTS: &str = "attempts";
    /// Of CSV without columns in the pipeline file: the header of its source, as a JSON array of texts.
    pub const COLUMNS: &str = "columns";
    /// Fingerprint of the pipeline file that rejected it.
    pub const CONFIG_HASH: &str = "config_hash";
    /// Whether the raw bytes are only the beginning of the record.
    pub const CUT: &str = "cut";
    /// When the record was first rejected, in microseconds, as an integer. Its cell's timestamp falls as time goes on, so that the
    /// first one stands.
    pub const FIRST_SEEN: &str = "first_seen";
    /// The format of its source: `csv`, `jsonl` or `json`.
    pub const FORMAT: &str = "format";
    /// Length of the record in its source, in bytes, as an integer.
    pub const LENGTH: &str = "length";
    /// First line of the record in its source, as an integer.
    pub const LINE: &str = "line";
    /// The record's first byte in its source, as an integer.
    pub const OFFSET: &str = "offset";
    /// The record's original bytes.
    pub const RAW: &str = "raw";
    /// Every reason, as a JSON array of objects.
    pub const REASONS: &str = "reasons";
    /// The record's number in its source, from 1, as an integer.
    pub const RECORD: &str = "record";
    /// The run that rejected it.
    pub const RUN: &str = "run";
    /// The file or queue it came from.
    pub const SOURCE: &str = "source";
    /// The stage that rejected it.
    pub const STAGE: &str = "stage";
    /// The user whose record it is, as the pipeline file of `config_hash` reads it. Missing or empty where that is not known.
    pub const USER_ID: &str = "user_id";
}

/// Qualifiers of `pipeline_state`. The row of an input has a column for each of its runs, that of a pending hour one for each mark.
pub mod state {
    /// Of a deleted fact: who wrote it and its digest, as JSON.
    pub const DELETED: &str = "deleted";
    /// Of a run: names of inputs for which its record has no room, as JSON.
    pub const FILES: &str = "files";
    /// Of a run: its record, as JSON.
    pub const LEDGER: &str = "ledger";
    /// Of what is aggregated: as JSON, what the stored aggregates were made by. Each of the timeline's columns has a cell beside it.
    pub const PLAN: &str = "plan";
    /// Of what is aggregated: as JSON, how far the aggregates are made.
    pub const PROGRESS: &str = "progress";
    /// Of a dead letter that is one no more: what became of it, as JSON.
    pub const RESOLVED: &str = "resolved";
    /// Of a shard of an aggregation: as JSON, what it did.
    pub const SHARD: &str = "shard";
}
