//! All checks of a pipeline file, compiled once.

use std::borrow::Cow;

use rowmill_expression::Expression;
use rowmill_model::{Event, Finding, Located, Pipeline, PipelineError, Reason, Severity};

use crate::field::FieldChecks;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored, with warnings if there are findings.
    Accept,
    /// It is left out on purpose: the pipeline file's filter is false for it.
    Filter,
    /// It goes to the dead letters, with all findings.
    Reject,
}

/// The checks of a pipeline file.
#[derive(Debug)]
pub struct Checks {
    fields: Vec<FieldChecks>,
    rules: Vec<Rule>,
    filter: Option<Expression>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    when: Option<Expression>,
    check: Expression,
    severity: Severity,
}

impl Checks {
    /// Compiles the checks of a pipeline file.
    pub fn new(pipeline: &Pipeline) -> Result<Self, PipelineError> {
        let compile = |source: &Located<String>| {
            Expression::compile_condition(&source.value, pipeline)
                .map_err(|error| pipeline.error_at(source, error.to_string()))
        };
        let mut fields = Vec::new();
        for (index, field) in pipeline.fields.iter().enumerate() {
            fields.extend(FieldChecks::new(pipeline, index, field)?);
        }
        let mut rules = Vec::new();
        for rule in &pipeline.rules {
            rules.push(Rule {
                name: rule.name.clone(),
                when: rule.when.as_ref().map(compile).transpose()?,
                check: compile(&rule.check)?,
                severity: rule.severity,
            });
        }
        let filter = pipeline.event.filter.as_ref().map(compile).transpose()?;
        Ok(Self {
            fields,
            rules,
            filter,
        })
    }

    /// Adds everything wrong with `event` to what was found before, and judges.
    ///
    /// Rules over several fields and the filter are left out for an event whose time is not known: they would judge a
    /// time that is not the event's.
    pub fn check(&self, event: &Event<'_>, has_time: bool, findings: &mut Vec<Finding>) -> Verdict {
        for field in &self.fields {
            field.check(&event.values[field.index], findings);
        }
        if has_time {
            for rule in &self.rules {
                findings.extend(rule.check(event));
            }
        }
        if findings
            .iter()
            .any(|finding| finding.severity == Severity::Reject)
        {
            return Verdict::Reject;
        }
        match &self.filter {
            // An event for which the filter has no value is kept: leaving out needs a reason.
            Some(filter) if has_time && filter.test(event) == Ok(false) => Verdict::Filter,
            _ => Verdict::Accept,
        }
    }
}

impl Rule {
    fn check(&self, event: &Event<'_>) -> Option<Finding> {
        if let Some(when) = &self.when
            && when.test(event) != Ok(true)
        {
            return None;
        }
        let message = match self.check.test(event) {
            Ok(true) => return None,
            Ok(false) => "is not met".to_owned(),
            Err(error) => format!("has no answer: {error}"),
        };
        let subject = Cow::Owned(self.name.clone());
        Some(Finding {
            reason: Reason::Rule,
            subject,
            severity: self.severity,
            message,
            value: None,
        })
    }
}
