//! Synthetic listening events: the same bytes for the same options, for ever.

mod bad;
mod catalog;
mod random;
mod session;
mod write;

use std::io::{self, Write};

use rowmill_ingest::Format;
use rowmill_rowkey::{Date, Timestamp};

use crate::control::Control;
use crate::error::Error;
use bad::Fault;
use random::Random;
use session::Sessions;

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GenerateOptions {
    /// How many records.
    pub events: u64,
    /// Over how many days.
    pub days: u32,
    /// The first of them.
    pub start: Date,
    /// What all random choices follow from.
    pub seed: u64,
    /// [`Format::Jsonl`] or [`Format::Csv`]; for [`Format::Json`] an array.
    pub format: Format,
    /// How many of a hundred records are bad, or repeat the one before.
    pub bad_percent: f64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            events: 10_000,
            days: 30,
            start: Date::from_civil(2025, 11, 1).expect("a date"),
            seed: 42,
            format: Format::Jsonl,
            bad_percent: 0.0,
        }
    }
}

/// Generates records one by one, in order of their time.
#[derive(Debug)]
pub struct Generator {
    options: GenerateOptions,
    random: Random,
    faults: Random,
    sessions: Sessions,
    next: u64,
    /// The record before, for repeats.
    previous: Vec<u8>,
}

impl Generator {
    /// A generator at its beginning.
    pub fn new(options: GenerateOptions) -> Self {
        let random = Random::new(options.seed);
        let sessions = Sessions::new(&options, &mut Random::new(options.seed ^ 0x5e55_1045));
        let faults = Random::new(options.seed ^ 0x00bad);
        Self {
            options,
            random,
            faults,
            sessions,
            next: 0,
            previous: Vec::new(),
        }
    }

    /// Writes everything.
    pub fn write_all(self, out: &mut dyn Write) -> io::Result<()> {
        match self.write_watched(out, &Control::default()) {
            Ok(()) => Ok(()),
            Err(Error::Output(error)) => Err(error),
            Err(other) => unreachable!("nobody stops it: {other}"),
        }
    }

    /// Writes everything, or up to where it is stopped.
    pub fn write_watched(mut self, out: &mut dyn Write, control: &Control) -> Result<(), Error> {
        let format = self.options.format;
        match format {
            Format::Csv => writeln!(out, "{}", write::CSV_HEADER)?,
            Format::Json => out.write_all(b"[")?,
            Format::Jsonl => {}
        }
        let mut record = Vec::with_capacity(1_024);
        let mut first = true;
        while self.next_record(&mut record) {
            control.check()?;
            control.advance(record.len() as u64, 1);
            if format == Format::Json && !std::mem::take(&mut first) {
                out.write_all(b",\n")?;
            }
            out.write_all(&record)?;
            if format != Format::Json {
                out.write_all(b"\n")?;
            }
        }
        if format == Format::Json {
            out.write_all(b"]\n")?;
        }
        Ok(())
    }

    /// Puts the next record into `record`, without a line break; false at the end.
    pub fn next_record(&mut self, record: &mut Vec<u8>) -> bool {
        if self.next == self.options.events {
            return false;
        }
        let time = self.time_of(self.next);
        self.next += 1;
        let is_bad = self.faults.unit() * 100.0 < self.options.bad_percent;
        let fault = is_bad.then(|| Fault::pick(&mut self.faults));
        let mut listen = self.sessions.next(time, &mut self.random);
        if let Some(fault) = fault {
            fault.spoil(&mut listen);
        }
        record.clear();
        write::record(&listen, self.options.format, record);
        match fault {
            Some(Fault::Repeat) if !self.previous.is_empty() => record.clone_from(&self.previous),
            Some(Fault::Broken) => write::break_record(record, self.options.format),
            _ => self.previous.clone_from(record),
        }
        true
    }

    /// Events are evenly spread and a little shaken, so their times rise.
    fn time_of(&mut self, index: u64) -> Timestamp {
        let span_ms = u128::from(self.options.days.max(1)) * 86_400_000;
        let events = u128::from(self.options.events);
        let (from, to) = (
            span_ms * u128::from(index) / events,
            span_ms * u128::from(index + 1) / events,
        );
        let width = u64::try_from(to - from).unwrap_or(u64::MAX).max(1);
        let offset_ms =
            i64::try_from(from).unwrap_or(0) + i64::try_from(self.random.below(width)).unwrap_or(0);
        let micros = self.options.start.start().micros() + offset_ms * 1_000;
        Timestamp::from_micros(micros.min(Timestamp::MAX.micros()))
            .expect("clamped to the years of keys")
    }
}
