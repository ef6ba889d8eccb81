//! Which slots a name of the input fills: resolved once for each name, not for each record.

use std::borrow::Cow;

use rowmill_model::{EventIdSpec, Path, Pipeline, Unknown};

use crate::naming::stored_name;

/// The slots of a record before it is an event: user, time and type, the parts of a natural id, then the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target(pub(crate) usize);

impl Target {
    pub(crate) const USER_ID: Self = Self(0);
    pub(crate) const TIMESTAMP: Self = Self(1);
    pub(crate) const EVENT_TYPE: Self = Self(2);
    const ID_PARTS: usize = 3;

    pub(crate) fn id_part(index: usize) -> Self {
        Self(Self::ID_PARTS + index)
    }
}

/// Every path of a pipeline file and the slot it fills.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    /// Paths that were written down.
    paths: Vec<(Path, Target)>,
    /// Stored names of fields without a path: any top-level name that folds to one fills it.
    names: Vec<(String, Target)>,
    id_parts: usize,
    fields: usize,
    unknown: Unknown,
}

/// What one top-level name of the input means.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    /// The slots its value fills.
    pub(crate) targets: Vec<Target>,
    /// Slots filled from inside its value, by the rest of their path.
    pub(crate) nested: Vec<(Vec<String>, Target)>,
    /// The stored name of the value as a field that the schema does not name.
    pub(crate) unknown: Option<String>,
}

impl Targets {
    pub(crate) fn new(pipeline: &Pipeline) -> Self {
        let event = &pipeline.event;
        let mut paths = vec![
            (event.user_id.from.clone(), Target::USER_ID),
            (event.timestamp.from.clone(), Target::TIMESTAMP),
        ];
        paths.extend(
            event
                .event_type
                .clone()
                .map(|path| (path, Target::EVENT_TYPE)),
        );
        let id_paths = match &event.event_id {
            EventIdSpec::Natural(id_paths) => id_paths.as_slice(),
            EventIdSpec::Content | EventIdSpec::Place => &[],
        };
        paths.extend(
            id_paths
                .iter()
                .enumerate()
                .map(|(index, path)| (path.clone(), Target::id_part(index))),
        );
        let mut targets = Self {
            paths,
            names: Vec::new(),
            id_parts: id_paths.len(),
            fields: pipeline.fields.len(),
            unknown: pipeline.unknown,
        };
        for (index, field) in pipeline.fields.iter().enumerate() {
            let target = targets.field(index);
            match &field.from {
                Some(path) => targets.paths.push((path.clone(), target)),
                None if field.derive.is_none() => targets.names.push((field.name.clone(), target)),
                None => {}
            }
        }
        targets
    }

    /// The slot of the field at `index`.
    pub(crate) fn field(&self, index: usize) -> Target {
        Target(Target::ID_PARTS + self.id_parts + index)
    }

    /// The field that fills a slot, if it is one.
    pub(crate) fn field_index(&self, target: Target) -> Option<usize> {
        target.0.checked_sub(Target::ID_PARTS + self.id_parts)
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        Target::ID_PARTS + self.id_parts + self.fields
    }

    /// The paths that a CSV header must have, and the slots they fill.
    pub(crate) fn paths(&self) -> &[(Path, Target)] {
        &self.paths
    }

    /// What the top-level name `name` means. `number` names a column without a name.
    pub(crate) fn resolve(&self, name: &str, number: Option<usize>) -> Resolved {
        let mut resolved = Resolved::default();
        for (path, target) in &self.paths {
            if path.as_str() == name {
                resolved.targets.push(*target);
            } else if let Some(rest) = path
                .as_str()
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('.'))
            {
                resolved
                    .nested
                    .push((rest.split('.').map(str::to_owned).collect(), *target));
            }
        }
        let stored = named(stored_name(name), number);
        resolved.targets.extend(
            self.names
                .iter()
                .filter(|(field, _)| *field == stored)
                .map(|(_, target)| *target),
        );
        if !resolved
            .targets
            .iter()
            .any(|target| self.stands_for(*target))
            && self.unknown != Unknown::Drop
        {
            resolved.unknown = Some(stored.into_owned());
        }
        resolved
    }

    /// Whether a slot stores the whole value, so that it is not kept a second time. A part of an id does not.
    fn stands_for(&self, target: Target) -> bool {
        let is_id_part = (Target::ID_PARTS..Target::ID_PARTS + self.id_parts).contains(&target.0);
        !is_id_part || self.id_parts == 1
    }
}

fn named(stored: String, number: Option<usize>) -> Cow<'static, str> {
    match (stored.is_empty(), number) {
        (false, _) => Cow::Owned(stored),
        (true, Some(number)) => Cow::Owned(format!("column_{number}")),
        (true, None) => Cow::Borrowed("unnamed"),
    }
}
