//! Folding events into groups: the buckets of one period, by dimension and value.

use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;

use bytes::Bytes;
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
    events: usize,
    weighed: Weighed,
    heap_of_new: usize,
    heap_of_event: usize,
}

/// The bytes that states took beside their own size, when every group was last weighed.
#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    events: usize,
    groups: usize,
    heap: usize,
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
            self.make_room(text.len());
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

    /// Makes room for one more group. Growing by a fourth, not to twice the size, costs a little time and no memory to speak of.
    fn make_room(&mut self, text_bytes: usize) {
        if self.groups.len() == self.groups.capacity() {
            self.groups.reserve_exact((self.groups.len() / 4).max(8));
        }
        if self.texts.capacity() - self.texts.len() < text_bytes {
            self.texts
                .reserve_exact((self.texts.len() / 4).max(text_bytes));
        }
    }

    /// Writes the groups in the order of their values, hands out chunks as they are complete, and forgets the groups.
    fn drain<E>(
        &mut self,
        dimension: usize,
        partial: &mut PartialWriter,
        done: &mut impl FnMut(Vec<Bytes>) -> Result<(), E>,
        encode: impl Fn(&mut S, &mut Vec<u8>),
    ) -> Result<(), E> {
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
            if partial.has_done() {
                done(partial.take_done())?;
            }
        }
        self.texts.clear();
        self.groups.clear();
        self.index.clear();
        Ok(())
    }

    /// The bytes reserved for groups, without those of their states.
    fn reserved(&self) -> usize {
        // An entry of the index takes five bytes and some room.
        self.texts.capacity() + self.groups.capacity() * (size_of::<Group<S>>() + 12)
    }

    fn heap(&self, of_state: impl Fn(&S) -> usize) -> usize {
        self.groups.iter().map(|it| of_state(&it.state)).sum()
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
            weighed: Weighed::default(),
            heap_of_new: Bucket::new(&plan.layout).heap_bytes(),
            heap_of_event: heap_of_event(plan),
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

    /// True if the groups take more than `bytes_max`, or nearly so.
    ///
    /// The estimate adds to each event the most that it may take. Only if the estimate is too large is every group weighed.
    pub fn exceed(&mut self, bytes_max: usize) -> bool {
        let groups = self.count() - self.weighed.groups;
        let events = self.events - self.weighed.events;
        let added = groups * self.heap_of_new + events * self.heap_of_event;
        if self.reserved() + self.weighed.heap + added <= bytes_max {
            return false;
        }
        self.weighed = Weighed {
            events: self.events,
            groups: self.count(),
            heap: self.heap(),
        };
        self.reserved() + self.weighed.heap > bytes_max - bytes_max / 8
    }

    fn count(&self) -> usize {
        let buckets = self.buckets.iter().map(|table| table.groups.len());
        buckets.sum::<usize>() + self.sessions.groups.len()
    }

    fn reserved(&self) -> usize {
        let buckets = self.buckets.iter().map(Table::reserved);
        buckets.sum::<usize>() + self.sessions.reserved()
    }

    fn heap(&self) -> usize {
        let buckets = self.buckets.iter();
        let buckets = buckets.map(|table| table.heap(Bucket::heap_bytes));
        buckets.sum::<usize>() + self.sessions.heap(Stretches::heap_bytes)
    }

    /// Writes all groups as a partial, hands out its chunks as they are complete, and forgets the groups.
    pub fn drain<E>(
        &mut self,
        partial: &mut PartialWriter,
        mut done: impl FnMut(Vec<Bytes>) -> Result<(), E>,
    ) -> Result<(), E> {
        for (dimension, table) in self.buckets.iter_mut().enumerate() {
            table.drain(dimension, partial, &mut done, |bucket, out| {
                bucket.settle();
                bucket.encode_body(out);
            })?;
        }
        let sessions = self.plan.session_dimension();
        let encode = |stretches: &mut Stretches, out: &mut Vec<u8>| stretches.encode_body(out);
        self.sessions.drain(sessions, partial, &mut done, encode)?;
        self.events = 0;
        self.weighed = Weighed::default();
        Ok(())
    }
}

/// By how much an event makes the states grow that it is added to, once they have twice the room that they need.
fn heap_of_event(plan: &Plan) -> usize {
    const HASH: usize = 2 * size_of::<u64>();
    const QUANTILE: usize = 2 * size_of::<(i32, u64)>();
    const STRETCH: usize = 64;
    let of_state = plan.layout.distinct.len() * HASH + plan.layout.measures.len() * QUANTILE;
    plan.dimensions.len() * of_state + STRETCH
}
