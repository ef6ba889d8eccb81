//! What became of every record that was read.

use std::collections::BTreeMap;

use rowmill_model::{Finding, Severity};
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
    /// Everything that was found wrong, also what is only worth a warning. A record may be in many of them.
    pub violations: Vec<Violation>,
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

    /// Fails if any record was lost, or counted twice.
    pub fn check(&self) -> Result<(), Error> {
        if self.read == self.accounted() {
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
        for (reason, count) in &other.rejected_by_reason {
            *self.rejected_by_reason.entry(reason.clone()).or_default() += count;
        }
        for violation in &other.violations {
            self.violate(violation.clone());
        }
    }

    /// Counts a rejected record by its first reason.
    pub(crate) fn reject(&mut self, findings: &[Finding]) {
        let first = findings
            .iter()
            .find(|finding| finding.severity == Severity::Reject);
        let reason = first
            .expect("a record is rejected for a reason")
            .reason
            .name();
        *self
            .rejected_by_reason
            .entry(reason.to_owned())
            .or_default() += 1;
    }

    /// Counts everything that was found wrong with one record.
    pub(crate) fn find(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.violate(Violation {
                reason: finding.reason.name().to_owned(),
                subject: finding.subject.to_string(),
                severity: finding.severity.name().to_owned(),
                count: 1,
            });
        }
    }

    fn violate(&mut self, violation: Violation) {
        let name = |it: &Violation| (it.reason.clone(), it.subject.clone(), it.severity.clone());
        match self
            .violations
            .binary_search_by_key(&name(&violation), name)
        {
            Ok(at) => self.violations[at].count += violation.count,
            Err(at) => self.violations.insert(at, violation),
        }
    }
}
