//! Sessions: runs of events that belong together, by a field that says so or by gaps in time.

use rowmill_model::{SessionSpec, Statistic};
use rowmill_rowkey::Timestamp;

use crate::bucket::{Bucket, Sample, StateError};
use crate::bytes::{Reader, push_signed, push_varint};
use crate::layout::{Layout, MeasurePlan};
use crate::measure::Measured;

/// What is known of sessions: the layout of their bucket, and what tells them apart.
#[derive(Debug)]
pub struct SessionPlan {
    /// Which of an observation's values names the session, or its user.
    pub(crate) value: usize,
    /// How long a silence ends a session; none if a field tells sessions apart.
    pub(crate) gap_micros: Option<i64>,
    pub(crate) layout: Layout,
}

impl SessionPlan {
    pub(crate) fn new(spec: &SessionSpec, value: usize) -> Self {
        let stats = || {
            let percentiles = [50, 95].map(Statistic::Percentile);
            [Statistic::Avg, Statistic::Max]
                .into_iter()
                .chain(percentiles)
                .collect()
        };
        let measures = vec![
            MeasurePlan::new("events", true, stats()),
            MeasurePlan::new("seconds", false, stats()),
        ];
        Self {
            value,
            gap_micros: spec.gap_micros,
            layout: Layout::new(measures, Vec::new()),
        }
    }

    /// What a bucket of sessions holds: their number, events per session, and their length in seconds.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

/// The sessions of one user, or the one of a session's name, within a period: stretches of time with events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stretches(Vec<Stretch>);

/// From one event to another without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    first: i64,
    last: i64,
    events: u64,
}

impl Stretches {
    pub(crate) fn add(&mut self, time: Timestamp, gap_micros: Option<i64>) {
        let at = time.micros();
        self.insert(
            Stretch {
                first: at,
                last: at,
                events: 1,
            },
            gap_micros,
        );
    }

    /// Adds a stretch; those that it touches become one with it, so that any order gives the same ones.
    fn insert(&mut self, new: Stretch, gap_micros: Option<i64>) {
        let gap = gap_micros.unwrap_or(i64::MAX);
        let before = |it: &Stretch| new.first.saturating_sub(it.last) > gap;
        let start = self.0.partition_point(before);
        let touched = self.0[start..]
            .iter()
            .take_while(|it| it.first.saturating_sub(new.last) <= gap)
            .count();
        let join = |a: Stretch, b: &Stretch| Stretch {
            first: a.first.min(b.first),
            last: a.last.max(b.last),
            events: a.events + b.events,
        };
        let joined = self.0[start..start + touched].iter().fold(new, join);
        self.0.splice(start..start + touched, [joined]);
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Stretch>()
    }

    pub(crate) fn encode_body(&self, out: &mut Vec<u8>) {
        push_varint(out, self.0.len() as u64);
        for Stretch {
            first,
            last,
            events,
        } in &self.0
        {
            push_signed(out, *first);
            push_varint(out, last.abs_diff(*first));
            push_varint(out, *events);
        }
    }

    pub(crate) fn merge_body(
        &mut self,
        bytes: &[u8],
        gap_micros: Option<i64>,
    ) -> Result<(), StateError> {
        let mut reader = Reader(bytes);
        self.merge_from(&mut reader, gap_micros)
            .filter(|()| reader.0.is_empty())
            .ok_or(StateError::Malformed)
    }

    fn merge_from(&mut self, reader: &mut Reader<'_>, gap_micros: Option<i64>) -> Option<()> {
        for _ in 0..reader.count()? {
            let first = Timestamp::from_micros(reader.signed()?).ok()?.micros();
            let last = first.checked_add_unsigned(reader.varint()?)?;
            let events = reader.varint()?;
            let stretch = Stretch {
                first,
                last,
                events,
            };
            self.insert(stretch, gap_micros);
        }
        Some(())
    }

    /// Counts the sessions.
    #[expect(clippy::cast_precision_loss, reason = "a length in seconds")]
    pub(crate) fn count_in(&self, bucket: &mut Bucket) {
        for Stretch {
            first,
            last,
            events,
        } in &self.0
        {
            let events = rowmill_model::Value::Int(i64::try_from(*events).unwrap_or(i64::MAX));
            let seconds = (last - first) as f64 / 1e6;
            let seconds = rowmill_model::Value::Float(seconds);
            bucket.add(&Sample {
                measures: [events, seconds].iter().map(Measured::of).collect(),
                distinct: Vec::new(),
            });
        }
    }
}
