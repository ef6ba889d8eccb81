//! What became of every record that was read.

use std::collections::BTreeMap;

use rowmill_model::{Finding, Reason, Severity};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How many records were read, and where they ended: in exactly one of four places each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Records read.
    pub read: u64,
    /// Events written.
    pub written: u64,
    /// Records of events that the run had seen already.
    pub duplicate: u64,
    /// Records left out by the pipeline file's filter.
    pub filtered: u64,
    /// Records that went to the dead letters, by the first reason of each.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// The same records, by their length.
    pub bytes: Bytes,
    /// Everything that was found wrong, also what is only worth a warning. A record may be in many of them.
    pub violations: Vec<Violation>,
}

/// The lengths of records in their sources, together, by where they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes {
    /// Of all records.
    pub read: u64,
    /// Of those written.
    pub written: u64,
    /// Of duplicates.
    pub duplicate: u64,
    /// Of those left out.
    pub filtered: u64,
    /// Of those rejected.
    pub rejected: u64,
}

impl Bytes {
    fn accounted(&self) -> u64 {
        self.written + self.duplicate + self.filtered + self.rejected
    }

    fn merge(&mut self, other: &Self) {
        self.read += other.read;
        self.written += other.written;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.rejected += other.rejected;
    }
}

/// How often one thing was found wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Violation {
    /// The kind of thing.
    pub reason: String,
    /// The field or rule; empty for the record as a whole.
    pub subject: String,
    /// `reject` or `warn`.
    pub severity: String,
    /// How often.
    pub count: u64,
}

impl Ledger {
    /// Records that went to the dead letters.
    pub fn rejected(&self) -> u64 {
        self.rejected_by_reason.values().sum()
    }

    /// Records that ended somewhere.
    pub fn accounted(&self) -> u64 {
        self.written + self.duplicate + self.filtered + self.rejected()
    }

    /// Whether every record, and every byte of it, ended in exactly one place.
    pub fn is_balanced(&self) -> bool {
        self.read == self.accounted() && self.bytes.read == self.bytes.accounted()
    }

    /// Fails if any record was lost, or counted twice.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_balanced() {
            Ok(())
        } else {
            Err(Error::Unbalanced {
                ledger: Box::new(self.clone()),
            })
        }
    }

    /// Adds another ledger's counts.
    pub fn merge(&mut self, other: &Self) {
        self.read += other.read;
        self.written += other.written;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.bytes.merge(&other.bytes);
        for (reason, count) in &other.rejected_by_reason {
            *self.rejected_by_reason.entry(reason.clone()).or_default() += count;
        }
        for violation in &other.violations {
            self.violate(violation.clone());
        }
    }

    /// Counts a record that was read.
    pub(crate) fn read(&mut self, length: u64) {
        self.read += 1;
        self.bytes.read += length;
    }

    /// Counts a record that was left out.
    pub(crate) fn filter(&mut self, length: u64) {
        self.filtered += 1;
        self.bytes.filtered += length;
    }

    /// Counts an event that was written.
    pub(crate) fn write(&mut self, length: u64) {
        self.written += 1;
        self.bytes.written += length;
    }

    /// Counts an event that the run had seen already.
    pub(crate) fn repeat(&mut self, length: u64) {
        self.duplicate += 1;
        self.bytes.duplicate += length;
    }

    /// Counts a rejected record, by its first reason, and everything found wrong with it.
    pub(crate) fn reject(&mut self, findings: &[Finding], length: u64) {
        let reason = rejecting(findings).reason.name();
        match self.rejected_by_reason.get_mut(reason) {
            Some(count) => *count += 1,
            None => {
                self.rejected_by_reason.insert(reason.to_owned(), 1);
            }
        }
        self.bytes.rejected += length;
        self.find(findings);
    }

    /// Takes an event that was counted as written for one that the store refused.
    pub(crate) fn refuse(&mut self, finding: &Finding, length: u64) {
        self.written -= 1;
        self.bytes.written -= length;
        self.reject(std::slice::from_ref(finding), length);
    }

    /// Takes back records that were rejected because their file broke off in them: they will be read again.
    pub(crate) fn take_back_cut(&mut self, records: u64, length: u64) {
        let reason = Reason::Unreadable.name();
        self.read -= records;
        self.bytes.read -= length;
        self.bytes.rejected -= length;
        let is_cut =
            |violation: &&mut Violation| violation.reason == reason && violation.subject.is_empty();
        if let Some(count) = self.rejected_by_reason.get_mut(reason) {
            *count -= records;
        }
        if let Some(violation) = self.violations.iter_mut().find(is_cut) {
            violation.count -= records;
        }
        self.rejected_by_reason.retain(|_, count| *count > 0);
        self.violations.retain(|violation| violation.count > 0);
    }

    /// Counts everything that was found wrong with one record.
    pub(crate) fn find(&mut self, findings: &[Finding]) {
        for finding in findings {
            let name = (
                finding.reason.name(),
                &*finding.subject,
                finding.severity.name(),
            );
            match self
                .violations
                .binary_search_by(|violation| violation.name().cmp(&name))
            {
                Ok(at) => self.violations[at].count += 1,
                Err(at) => self.violations.insert(
                    at,
                    Violation {
                        reason: name.0.to_owned(),
                        subject: name.1.to_owned(),
                        severity: name.2.to_owned(),
                        count: 1,
                    },
                ),
            }
        }
    }

    fn violate(&mut self, violation: Violation) {
        match self
            .violations
            .binary_search_by(|known| known.name().cmp(&violation.name()))
        {
            Ok(at) => self.violations[at].count += violation.count,
            Err(at) => self.violations.insert(at, violation),
        }
    }
}

impl Violation {
    fn name(&self) -> (&str, &str, &str) {
        (&self.reason, &self.subject, &self.severity)
    }
}

/// The first finding that keeps a record out.
pub(crate) fn rejecting(findings: &[Finding]) -> &Finding {
    findings
        .iter()
        .find(|finding| finding.severity == Severity::Reject)
        .expect("a record is rejected for a reason")
}
