//! Which files to read, and a first look at each before anything is written.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use rowmill_ingest::{Chunks, Compression, Format, Options, ReadAhead, SNIFF_BYTES};
use rowmill_objects::{Endpoint, ObjectUri};
use rowmill_rowkey::PART_BYTES_MAX;
use rowmill_store::Store;
use rowmill_transform::Columns;
use walkdir::WalkDir;

use crate::error::Error;
use crate::file_ledger::{FileStatus, Stamp};
use crate::plan::Standing;
use crate::runs::{latest_ingest, ledgers_of};
use crate::shard::Shard;
use crate::source::{Bytes, Source, peek};
use crate::stages::Stages;

/// What is read from: a file, an object, or standard input.
#[derive(Debug, Clone)]
pub struct Input {
    source: Source,
    /// What findings and dead letters call it: the path as it was given, `-` for standard input.
    pub name: String,
    /// How long it is, where that is known.
    pub bytes: u64,
    format: Option<Format>,
    /// The file itself, however it was spelled.
    canonical: Option<PathBuf>,
}

/// The inputs of one job, in the order they were given.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    list: Vec<Input>,
    /// Files of directories that were left out, because their names are none of a format that is read.
    pub left_out: u64,
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
            for input in inputs {
                let is_new = names.insert(input.name.clone());
                let is_other = input
                    .canonical
                    .as_ref()
                    .is_none_or(|file| files.insert(file.clone()));
                if is_new && is_other {
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
        let names: Vec<_> = self.list.iter().map(|input| input.name.clone()).collect();
        let known = ledgers_of(store, &names).await?;
        let latest = |input: &Input| known.get(&input.name).and_then(|runs| latest_ingest(runs));
        let ledgers = self.list.iter().filter_map(latest);
        let open = ledgers.filter(|ledger| ledger.status != FileStatus::Done);
        let open: HashSet<_> = open.map(|ledger| ledger.run.clone()).collect();
        let list = std::mem::take(&mut self.list);
        for input in list {
            let stamp = input.source.stamp().filter(|_| input.is_object());
            let done = latest(&input).filter(|ledger| ledger.status == FileStatus::Done);
            let done = done.filter(|done| stamp.is_some() && done.stamp == stamp);
            let done = done.filter(|done| !open.contains(&done.run));
            match done {
                Some(done) => {
                    let standing = Standing::done(done, &stages.pipeline.fingerprint);
                    self.done.push((input.name, standing));
                }
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
        let inputs = self
            .list
            .into_iter()
            .map(|input| input.prepare(stages))
            .collect::<Result<_, _>>()?;
        Ok(PreparedInputs {
            inputs,
            bytes,
            storage: self.storage,
            done: self.done,
        })
    }

    fn named(&mut self, argument: &str, format: Option<Format>) -> Result<Vec<Input>, Error> {
        if argument == "-" {
            return Ok(vec![Input {
                source: Source::Stdin,
                name: "-".into(),
                bytes: 0,
                format,
                canonical: None,
            }]);
        }
        let path = Path::new(argument);
        if path.is_dir() {
            return self.directory(path, format);
        }
        if path.exists() || !argument.contains(['*', '?', '[']) {
            return Ok(vec![file(path, format)?]);
        }
        pattern(argument, format)
    }

    /// The objects that an argument names; of a folder those whose names are of a format that is read.
    fn objects(
        &mut self,
        argument: &str,
        format: Option<Format>,
        storage: &Endpoint,
    ) -> Result<Vec<Input>, Error> {
        let uri: ObjectUri = argument.parse()?;
        let mut inputs = Vec::new();
        for object in uri.find(storage)? {
            let (name, bytes) = (object.uri(), object.bytes());
            let source = Source::Object(object);
            let extension = source.extension();
            if uri.is_folder() && !extension.is_some_and(|extension| is_read(&extension)) {
                self.left_out += 1;
                continue;
            }
            check_name(&name)?;
            inputs.push(Input {
                source,
                name,
                bytes,
                format,
                canonical: None,
            });
        }
        Ok(inputs)
    }

    /// The files in a directory and those in it whose names are of a format that is read, by name. Hidden ones are left out.
    fn directory(&mut self, path: &Path, format: Option<Format>) -> Result<Vec<Input>, Error> {
        let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().first() == Some(&b'.');
        let walk = WalkDir::new(path)
            .follow_links(true)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
        let mut inputs = Vec::new();
        for entry in walk {
            let entry = entry.map_err(|error| Error::Input {
                name: path.display().to_string(),
                problem: error.to_string(),
            })?;
            if !entry.file_type().is_file() {
                continue;
            }
            let source = Source::Path(entry.path().to_owned());
            if source
                .extension()
                .is_some_and(|extension| is_read(&extension))
            {
                inputs.push(file(entry.path(), format)?);
            } else {
                self.left_out += 1;
            }
        }
        if inputs.is_empty() {
            return Err(Error::NoMatch {
                name: path.display().to_string(),
                problem: "holds no file whose name ends with csv, tsv, json, jsonl or ndjson",
            });
        }
        Ok(inputs)
    }
}

/// Whether files of directories whose names end so are read.
fn is_read(extension: &str) -> bool {
    ["csv", "tsv", "json", "jsonl", "ndjson"].contains(&extension)
}

fn pattern(argument: &str, format: Option<Format>) -> Result<Vec<Input>, Error> {
    let problem = |problem: String| Error::Input {
        name: argument.to_owned(),
        problem,
    };
    let paths =
        glob::glob(argument).map_err(|error| problem(format!("is no pattern: {}", error.msg)))?;
    let mut inputs = Vec::new();
    for path in paths {
        let path = path.map_err(|error| problem(error.to_string()))?;
        if path.is_file() {
            inputs.push(file(&path, format)?);
        }
    }
    if inputs.is_empty() {
        Err(Error::NoMatch {
            name: argument.to_owned(),
            problem: "no file matches the pattern",
        })
    } else {
        Ok(inputs)
    }
}

fn file(path: &Path, format: Option<Format>) -> Result<Input, Error> {
    // `./a` and `a` are one file, of which there should be one ledger.
    let path = path.strip_prefix(".").unwrap_or(path);
    let name = path.display().to_string();
    let problem = |problem: &str| Error::Input {
        name: name.clone(),
        problem: problem.to_owned(),
    };
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => problem("no such file"),
        _ => problem(&error.to_string()),
    })?;
    check_name(&name)?;
    Ok(Input {
        source: Source::Path(path.to_owned()),
        name,
        bytes: metadata.len(),
        format,
        canonical: path.canonicalize().ok(),
    })
}

/// A name is part of row keys.
fn check_name(name: &str) -> Result<(), Error> {
    if name.len() > PART_BYTES_MAX / 3 {
        return Err(Error::Input {
            name: name.to_owned(),
            problem: "the path is too long to be part of a row key".to_owned(),
        });
    }
    Ok(())
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
    /// The name without folders, which is what ids by place go by.
    pub(crate) file_name: String,
    pub(crate) options: Options,
    /// What the columns of a CSV file mean.
    pub(crate) columns: Option<Columns>,
    /// Its header as a JSON array, if the pipeline file does not name the columns.
    pub(crate) header: Option<String>,
    /// What tells that the file is as it was, when it was looked at.
    pub(crate) stamp: Option<Stamp>,
    source: Source,
    compression: Option<Compression>,
    /// What cannot be read a second time stays open from the first look.
    open: Option<OpenChunks>,
}

pub(crate) type OpenChunks = Chunks<Bytes>;

impl Input {
    fn is_object(&self) -> bool {
        matches!(self.source, Source::Object(_))
    }

    fn prepare(self, stages: &Stages) -> Result<Prepared, Error> {
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
        let columns = found.as_ref().or(named).map(|header| {
            let header: Vec<_> = header.iter().map(String::as_str).collect();
            stages.transformer.columns(&header)
        });
        let columns = columns.transpose().map_err(|source| Error::Header {
            name: self.name.clone(),
            source,
        })?;
        Ok(Prepared {
            file_name: self.source.file_name(),
            header: found.map(|header| serde_json::to_string(&header).expect("texts are JSON")),
            name: self.name,
            options,
            columns,
            stamp,
            open: (!is_repeatable).then_some(chunks),
            source: self.source,
            compression,
        })
    }
}

impl Prepared {
    /// Opens the input for reading its records.
    pub(crate) fn open(&mut self) -> Result<OpenChunks, rowmill_ingest::Error> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let mut chunks = Chunks::new(self.content()?, self.options);
        if self.header.is_some() {
            chunks.take_header()?;
        }
        Ok(chunks)
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
