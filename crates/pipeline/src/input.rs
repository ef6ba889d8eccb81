//! Which files to read, and a first look at each before anything is written.

mod find;
mod headers;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use rowmill_ingest::{Chunks, Compression, Format, Options, ReadAhead, SNIFF_BYTES};
use rowmill_objects::{Endpoint, ObjectUri};
use rowmill_store::Store;
use rowmill_transform::Columns;

use crate::error::Error;
use crate::file_ledger::{FileStatus, Stamp};
use crate::plan::Standing;
use crate::run_files::name_hash;
use crate::runs::{latest_ingest, ledgers_of};
use crate::shard::Shard;
use crate::source::{Bytes, Source, peek};
use crate::stages::Stages;
use headers::Headers;

/// What is read from: a file, an object, or standard input.
#[derive(Debug, Clone)]
pub struct Input {
    source: Source,
    /// What findings and dead letters call it: the path as it was given, `-` for standard input.
    pub name: String,
    /// How long it is, where that is known.
    pub bytes: u64,
    format: Option<Format>,
}

/// The inputs of one job, in the order they were given.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    list: Vec<Input>,
    /// Files of directories that were left out, because their names are none of a format that is read.
    pub left_out: u64,
    /// Symbolic links that were left out, because they lead to nothing, or back to a directory that they are in.
    pub broken_links: Vec<String>,
    storage: Endpoint,
    /// Those that were left out because they are done.
    done: Vec<(String, Standing)>,
}

/// How inputs are looked for.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// What all of them hold; what each says it does, if none.
    pub format: Option<Format>,
    /// Which service has the objects.
    pub storage: Endpoint,
    /// Whether a directory, pattern or prefix may name none at all.
    pub may_be_none: bool,
}

impl Inputs {
    /// The files that `arguments` name: paths, directories, patterns such as `logs/*.json`, or `-`. A file named twice is
    /// read once.
    pub fn find(arguments: &[String], format: Option<Format>) -> Result<Self, Error> {
        let search = Search {
            format,
            ..Search::default()
        };
        Self::find_with(arguments, &search)
    }

    /// The same, and objects such as `gs://bucket/plays/*.jsonl.gz`. To find objects it must be called within a Tokio runtime, on a
    /// thread that may block.
    pub fn find_with(arguments: &[String], search: &Search) -> Result<Self, Error> {
        let (format, storage) = (search.format, &search.storage);
        let mut found = Self {
            storage: storage.clone(),
            ..Self::default()
        };
        // By hashes, because there may be a million.
        let (mut names, mut files) = (HashSet::new(), HashSet::new());
        for argument in arguments {
            let inputs = if ObjectUri::is_meant(argument) {
                found.objects(argument, format, storage)
            } else {
                found.named(argument, format)
            };
            let inputs = match inputs {
                Err(error) if search.may_be_none && error.is_no_match() => Vec::new(),
                inputs => inputs?,
            };
            found.list.reserve(inputs.len());
            for input in inputs {
                let is_new = names.insert(name_hash(&input.name));
                let file = input.source.identity();
                if is_new && file.is_none_or(|file| files.insert(file)) {
                    found.list.push(input);
                }
            }
        }
        Ok(found)
    }

    /// Only those that are a shard's; the others are those of processes beside this one.
    pub fn of_shard(mut self, shard: Shard) -> Result<Self, Error> {
        let is_stdin = |input: &&Input| matches!(input.source, Source::Stdin);
        if let Some(input) = self.list.iter().find(is_stdin)
            && !shard.is_alone()
        {
            return Err(Error::Input {
                name: input.name.clone(),
                problem: format!(
                    "standard input is each process's own, so none is shard {shard}'s"
                ),
            });
        }
        self.list.retain(|input| shard.owns_input(&input.name));
        Ok(self)
    }

    /// Whether all of them are objects, each look into which is a request.
    pub fn are_objects(&self) -> bool {
        self.list.iter().all(Input::is_object)
    }

    /// Leaves out objects that are done and are as they were, without a look into any: what is ingested again and again, as by a clock, costs
    /// what is new. What a run that is to be taken up has read stays: it tells that run's duplicates.
    pub async fn leave_done(mut self, stages: &Stages, store: &dyn Store) -> Result<Self, Error> {
        let mut latest = Vec::with_capacity(self.list.len());
        for some in self.list.chunks(INPUTS_AT_ONCE) {
            let names: Vec<_> = some.iter().map(|input| input.name.clone()).collect();
            let known = ledgers_of(store, &names).await?;
            let of = |input: &Input| {
                let ledgers = known.get(&input.name)?;
                let ledger = latest_ingest(ledgers)?;
                let stamp = input.source.stamp().filter(|_| input.is_object());
                Some(Latest {
                    standing: Standing::done(ledger, &stages.pipeline.fingerprint),
                    is_done: ledger.status == FileStatus::Done,
                    is_as_it_was: stamp.is_some() && ledger.stamp == stamp,
                })
            };
            latest.extend(some.iter().map(of));
        }
        let open = latest.iter().flatten().filter(|latest| !latest.is_done);
        let open: HashSet<_> = open.filter_map(Latest::run).map(str::to_owned).collect();
        let list = std::mem::take(&mut self.list);
        for (input, latest) in list.into_iter().zip(latest) {
            let is_left = |latest: &Latest| {
                let is_open = latest.run().is_some_and(|run| open.contains(run));
                latest.is_done && latest.is_as_it_was && !is_open
            };
            match latest.filter(is_left) {
                Some(latest) => self.done.push((input.name, latest.standing)),
                None => self.list.push(input),
            }
        }
        Ok(self)
    }

    /// The length of all files together.
    pub fn bytes(&self) -> u64 {
        self.list.iter().map(|input| input.bytes).sum()
    }

    /// The single inputs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Input> {
        self.list.iter()
    }

    /// Looks into every input: whether it can be opened, what it holds, and whether its header fits. Nothing should be
    /// written before this succeeds.
    pub fn prepare(self, stages: &Stages) -> Result<PreparedInputs, Error> {
        let bytes = self.bytes();
        let mut headers = Headers::default();
        let mut inputs = Vec::with_capacity(self.list.len());
        for input in self.list {
            inputs.push(input.prepare(stages, &mut headers)?);
        }
        Ok(PreparedInputs {
            inputs,
            bytes,
            storage: self.storage,
            done: self.done,
        })
    }
}

/// The ledgers of so many inputs are looked up together.
const INPUTS_AT_ONCE: usize = 1_000;

/// What the latest ledger of an input says.
struct Latest {
    /// How the input stands, if it is done.
    standing: Standing,
    is_done: bool,
    is_as_it_was: bool,
}

impl Latest {
    fn run(&self) -> Option<&str> {
        self.standing.done_in()
    }
}

/// Inputs that can be read.
pub struct PreparedInputs {
    pub(crate) inputs: Vec<Prepared>,
    bytes: u64,
    /// Where inputs that are objects are.
    pub(crate) storage: Endpoint,
    /// Those that were left out because they are done.
    pub(crate) done: Vec<(String, Standing)>,
}

impl PreparedInputs {
    /// The length of all files together, as far as it is known.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Debug for PreparedInputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.inputs.iter().map(|input| &input.name))
            .finish()
    }
}

/// An input that can be read.
pub(crate) struct Prepared {
    pub(crate) name: String,
    pub(crate) options: Options,
    /// What the columns of a CSV file mean.
    pub(crate) columns: Option<Arc<Columns>>,
    /// Its header as a JSON array, if the pipeline file does not name the columns.
    pub(crate) header: Option<Arc<str>>,
    /// What tells that the file is as it was, when it was looked at.
    pub(crate) stamp: Option<Stamp>,
    source: Source,
    compression: Option<Compression>,
    /// What cannot be read a second time stays open from the first look.
    open: Mutex<Option<Box<OpenChunks>>>,
}

pub(crate) type OpenChunks = Chunks<Bytes>;

impl Input {
    fn is_object(&self) -> bool {
        matches!(self.source, Source::Object(_))
    }

    fn prepare(self, stages: &Stages, headers: &mut Headers) -> Result<Prepared, Error> {
        const MAGIC_BYTES: usize = 6;
        let failed = |source| Error::Read {
            name: self.name.clone(),
            source,
        };
        let stamp = self.source.stamp();
        let opened = self.source.open().map_err(|error| Error::Input {
            name: self.name.clone(),
            problem: error.to_string(),
        })?;
        let (magic, opened) = peek(opened, MAGIC_BYTES);
        let compression = Compression::detect(&magic).map_err(failed)?;
        let is_repeatable = self.source.is_repeatable();
        let content = match compression {
            None => opened,
            Some(compression) => compression.decompress(opened),
        };
        let (head, content) = peek(content, SNIFF_BYTES);
        let detected = Format::detect(self.source.extension().as_deref(), &head);
        let csv = &stages.pipeline.csv;
        let options = Options {
            delimiter: csv.delimiter,
            ..Options::new(self.format.unwrap_or(detected))
        };
        let ahead = compression.is_some() && !is_repeatable;
        let mut chunks = Chunks::new(read_ahead(content, ahead), options);
        let is_csv = options.format == Format::Csv;
        let found = if is_csv && csv.columns.is_none() {
            chunks.take_header().map_err(failed)?
        } else {
            None
        };
        let named = csv.columns.as_ref().filter(|_| is_csv);
        let header = found.as_ref().or(named);
        let columns = header.map(|header| headers.of(stages, header));
        let columns = columns.transpose().map_err(|source| Error::Header {
            name: self.name.clone(),
            source,
        })?;
        Ok(Prepared {
            header: found
                .and(columns.as_ref())
                .map(|known| Arc::clone(&known.json)),
            columns: columns.map(|known| known.columns),
            name: self.name,
            options,
            stamp,
            open: Mutex::new((!is_repeatable).then(|| Box::new(chunks))),
            source: self.source,
            compression,
        })
    }
}

impl Prepared {
    /// Opens the input for reading its records.
    pub(crate) fn open(&mut self) -> Result<OpenChunks, rowmill_ingest::Error> {
        let open = self.open.get_mut();
        if let Some(open) = open.expect("nobody panics with it").take() {
            return Ok(*open);
        }
        let mut chunks = Chunks::new(self.content()?, self.options);
        if self.header.is_some() {
            chunks.take_header()?;
        }
        Ok(chunks)
    }

    /// The name without folders, which is what ids by place go by.
    pub(crate) fn file_name(&self) -> String {
        self.source.file_name()
    }

    /// The input's content from its beginning, decompressed ahead on a thread of its own.
    pub(crate) fn content(&self) -> Result<Bytes, rowmill_ingest::Error> {
        let unreadable = |source| rowmill_ingest::Error::Read { offset: 0, source };
        let opened = self.source.open().map_err(unreadable)?;
        Ok(match self.compression {
            None => opened,
            Some(compression) => read_ahead(compression.decompress(opened), true),
        })
    }

    /// Whether the input can be read more than once, so that an interrupted run can go on in it.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.source.is_repeatable()
    }
}

fn read_ahead(content: Bytes, ahead: bool) -> Bytes {
    if ahead {
        Box::new(ReadAhead::new(content))
    } else {
        content
    }
}
