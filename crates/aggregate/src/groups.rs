//! Folding events into groups: the buckets of one period, by dimension and value.

use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;

use hashbrown::HashTable;
use rowmill_model::Value;
use rustc_hash::FxHasher;

use crate::bucket::{Bucket, Sample};
use crate::key::GroupKey;
use crate::observation::Observation;
use crate::partial::PartialWriter;
use crate::plan::Plan;
use crate::session::Stretches;

/// The groups of one period that is being folded.
#[derive(Debug)]
pub struct Groups {
    plan: Arc<Plan>,
    buckets: Vec<Table<Bucket>>,
    sessions: Table<Stretches>,
    sample: Sample,
    text: String,
    events: u64,
    /// When what it takes was last worked out, and what it was.
    weighed: (u64, usize),
}

/// States by value, for one dimension.
#[derive(Debug)]
struct Table<S> {
    /// All values, one after the other.
    texts: String,
    groups: Vec<Group<S>>,
    index: HashTable<u32>,
}

#[derive(Debug)]
struct Group<S> {
    start: usize,
    end: usize,
    state: S,
}

type Hasher = BuildHasherDefault<FxHasher>;

impl<S> Table<S> {
    fn new() -> Self {
        Self {
            texts: String::new(),
            groups: Vec::new(),
            index: HashTable::new(),
        }
    }

    fn entry(&mut self, text: &str, new: impl FnOnce() -> S) -> &mut S {
        let hasher = Hasher::default();
        let (texts, groups) = (&self.texts, &self.groups);
        let text_of = |at: u32| &texts[groups[at as usize].start..groups[at as usize].end];
        let hash = hasher.hash_one(text);
        let found = self.index.find(hash, |at| text_of(*at) == text).copied();
        let at = if let Some(at) = found {
            at
        } else {
            let at = u32::try_from(self.groups.len()).expect("groups are spilled before that");
            let rehash = |at: &u32| hasher.hash_one(text_of(*at));
            self.index.insert_unique(hash, at, rehash);
            let start = self.texts.len();
            self.texts.push_str(text);
            self.groups.push(Group {
                start,
                end: self.texts.len(),
                state: new(),
            });
            at
        };
        &mut self.groups[at as usize].state
    }

    /// Writes the groups in the order of their values, and forgets them.
    fn drain(
        &mut self,
        dimension: usize,
        partial: &mut PartialWriter,
        encode: impl Fn(&mut S, &mut Vec<u8>),
    ) {
        let (texts, groups) = (&self.texts, &mut self.groups);
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_unstable_by_key(|at| &texts[groups[*at].start..groups[*at].end]);
        let (mut key, mut state) = (Vec::new(), Vec::new());
        for group in order {
            let group = &mut groups[group];
            key.clear();
            GroupKey::push(&mut key, dimension, &texts[group.start..group.end]);
            state.clear();
            encode(&mut group.state, &mut state);
            partial.push(&key, &state);
        }
        self.texts.clear();
        self.groups.clear();
        self.index.clear();
    }

    fn bytes(&self, heap: impl Fn(&S) -> usize) -> usize {
        // An entry of the index takes five bytes and some room.
        let groups: usize = self.groups.iter().map(|group| heap(&group.state)).sum();
        groups + self.texts.capacity() + self.groups.capacity() * (size_of::<Group<S>>() + 8)
    }
}

impl Groups {
    /// No groups.
    pub fn new(plan: &Arc<Plan>) -> Self {
        Self {
            buckets: plan.dimensions.iter().map(|_| Table::new()).collect(),
            sessions: Table::new(),
            sample: Sample::default(),
            text: String::new(),
            events: 0,
            weighed: (0, 0),
            plan: Arc::clone(plan),
        }
    }

    /// Counts an event in every dimension for which it has a value.
    pub fn add(&mut self, observation: &Observation<'_>) {
        let plan = &*self.plan;
        plan.sample(observation, &mut self.sample);
        for (dimension, table) in plan.dimensions.iter().zip(&mut self.buckets) {
            if plan.value_of(dimension, observation, &mut self.text) {
                let bucket = table.entry(&self.text, || Bucket::new(&plan.layout));
                bucket.add(&self.sample);
            }
        }
        if let Some(sessions) = &plan.sessions {
            let value = &observation.values[sessions.value];
            if !matches!(value, Value::Null) {
                let stretches = self.sessions.entry(&value.to_text(), Stretches::default);
                stretches.add(observation.timestamp, sessions.gap_micros);
            }
        }
        self.events += 1;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// About how many bytes they take. Worked out anew only when there is a fourth more events, because it takes a look at every
    /// group.
    pub fn bytes(&mut self) -> usize {
        const EVENTS_AT_LEAST: u64 = 64;
        let (at, bytes) = self.weighed;
        if self.events < at + at / 4 + EVENTS_AT_LEAST {
            return bytes;
        }
        let buckets = self.buckets.iter();
        let bytes = buckets
            .map(|table| table.bytes(Bucket::heap_bytes))
            .sum::<usize>()
            + self.sessions.bytes(Stretches::heap_bytes);
        self.weighed = (self.events, bytes);
        bytes
    }

    /// Writes all groups as a partial, and forgets them.
    pub fn drain(&mut self, partial: &mut PartialWriter) {
        for (dimension, table) in self.buckets.iter_mut().enumerate() {
            table.drain(dimension, partial, |bucket, out| {
                bucket.settle();
                bucket.encode_body(out);
            });
        }
        let sessions = self.plan.session_dimension();
        self.sessions.drain(sessions, partial, |stretches, out| {
            stretches.encode_body(out)
        });
        self.events = 0;
        self.weighed = (0, 0);
    }
}
