//! Which files to read, and a first look at each before anything is written.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rowmill_ingest::{Chunks, Format, Options, SNIFF_BYTES};
use rowmill_rowkey::PART_BYTES_MAX;
use rowmill_transform::Columns;

use crate::error::Error;
use crate::stages::Stages;

/// What is read from: a file, or standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file; none is standard input.
    path: Option<PathBuf>,
    /// What findings and dead letters call it: the path as it was given, `-` for standard input.
    pub name: String,
    /// How long it is, where that is known.
    pub bytes: u64,
    format: Option<Format>,
    /// The file itself, however it was spelled.
    canonical: Option<PathBuf>,
}

/// The inputs of one job, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs(Vec<Input>);

impl Inputs {
    /// The files that `arguments` name: paths, patterns such as `logs/*.json`, or `-`. A file named twice is read once.
    pub fn find(arguments: &[String], format: Option<Format>) -> Result<Self, Error> {
        let mut inputs: Vec<Input> = Vec::new();
        for argument in arguments {
            for input in named(argument, format)? {
                let is_same = |other: &Input| {
                    other.name == input.name
                        || input.canonical.is_some() && other.canonical == input.canonical
                };
                if !inputs.iter().any(is_same) {
                    inputs.push(input);
                }
            }
        }
        Ok(Self(inputs))
    }

    /// The length of all files together.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|input| input.bytes).sum()
    }

    /// The single inputs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Input> {
        self.0.iter()
    }

    /// Looks into every input: whether it can be opened, what it holds, and whether its header fits. Nothing should be
    /// written before this succeeds.
    pub fn prepare(self, stages: &Stages) -> Result<PreparedInputs, Error> {
        let bytes = self.bytes();
        let inputs = self
            .0
            .into_iter()
            .map(|input| input.prepare(stages))
            .collect::<Result<_, _>>()?;
        Ok(PreparedInputs { inputs, bytes })
    }
}

/// Inputs that can be read.
pub struct PreparedInputs {
    pub(crate) inputs: Vec<Prepared>,
    bytes: u64,
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

fn named(argument: &str, format: Option<Format>) -> Result<Vec<Input>, Error> {
    if argument == "-" {
        return Ok(vec![Input {
            path: None,
            name: "-".into(),
            bytes: 0,
            format,
            canonical: None,
        }]);
    }
    let path = Path::new(argument);
    if path.exists() || !argument.contains(['*', '?', '[']) {
        return Ok(vec![file(path, format)?]);
    }
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
        Err(problem("no file matches the pattern".into()))
    } else {
        Ok(inputs)
    }
}

fn file(path: &Path, format: Option<Format>) -> Result<Input, Error> {
    let name = path.display().to_string();
    let problem = |problem: &str| Error::Input {
        name: name.clone(),
        problem: problem.to_owned(),
    };
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => problem("no such file"),
        _ => problem(&error.to_string()),
    })?;
    if metadata.is_dir() {
        return Err(problem(
            "is a directory; name the files in it, as in 'folder/*.jsonl'",
        ));
    }
    if name.len() > PART_BYTES_MAX / 3 {
        return Err(problem("the path is too long to be part of a row key"));
    }
    Ok(Input {
        path: Some(path.to_owned()),
        name,
        bytes: metadata.len(),
        format,
        canonical: path.canonicalize().ok(),
    })
}

/// An input that can be read.
pub(crate) struct Prepared {
    pub(crate) name: String,
    /// The name without folders, which is what ids by place go by.
    pub(crate) file_name: String,
    pub(crate) options: Options,
    /// What the columns of a CSV file mean.
    pub(crate) columns: Option<Columns>,
    path: Option<PathBuf>,
    /// What is no regular file cannot be read a second time, so it stays open from the first look.
    open: Option<OpenChunks>,
    has_header: bool,
}

pub(crate) type OpenChunks = Chunks<Box<dyn Read + Send>>;

impl Input {
    fn prepare(self, stages: &Stages) -> Result<Prepared, Error> {
        let failed = |source| Error::Read {
            name: self.name.clone(),
            source,
        };
        let unreadable = |source| failed(rowmill_ingest::Error::Read { offset: 0, source });
        let mut reader: Box<dyn Read + Send> = match &self.path {
            None => Box::new(std::io::stdin()),
            Some(path) => {
                let opened = File::open(path);
                let problem = |error: std::io::Error| Error::Input {
                    name: self.name.clone(),
                    problem: error.to_string(),
                };
                Box::new(opened.map_err(problem)?)
            }
        };
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(unreadable)?;
        let extension = self
            .path
            .as_deref()
            .and_then(Path::extension)
            .and_then(|extension| extension.to_str());
        let detected = Format::detect(extension, &head).map_err(failed)?;
        let csv = &stages.pipeline.csv;
        let options = Options {
            delimiter: csv.delimiter,
            ..Options::new(self.format.unwrap_or(detected))
        };
        let whole: Box<dyn Read + Send> = Box::new(std::io::Cursor::new(head).chain(reader));
        let mut chunks = Chunks::new(whole, options);
        let is_csv = options.format == Format::Csv;
        let has_header = is_csv && csv.columns.is_none();
        let header = match &csv.columns {
            _ if !is_csv => None,
            Some(columns) => Some(columns.clone()),
            None => chunks.take_header().map_err(failed)?,
        };
        let columns = header.map(|header| {
            let header: Vec<_> = header.iter().map(String::as_str).collect();
            stages.transformer.columns(&header)
        });
        let columns = columns.transpose().map_err(|source| Error::Header {
            name: self.name.clone(),
            source,
        })?;
        let file_name = self
            .path
            .as_deref()
            .and_then(Path::file_name)
            .map_or("-".into(), |name| name.to_string_lossy().into_owned());
        let is_regular = self.path.as_deref().is_some_and(Path::is_file);
        let open = (!is_regular).then_some(chunks);
        Ok(Prepared {
            name: self.name,
            file_name,
            options,
            columns,
            path: self.path,
            open,
            has_header,
        })
    }
}

impl Prepared {
    /// Opens the input for reading its records.
    pub(crate) fn open(&mut self) -> Result<OpenChunks, Error> {
        if let Some(open) = self.open.take() {
            return Ok(open);
        }
        let failed = |source| Error::Read {
            name: self.name.clone(),
            source,
        };
        let unreadable = |source| failed(rowmill_ingest::Error::Read { offset: 0, source });
        let path = self.path.as_ref().expect("only standard input has no path");
        let file = File::open(path).map_err(unreadable)?;
        let mut chunks: OpenChunks = Chunks::new(Box::new(file), self.options);
        if self.has_header {
            chunks.take_header().map_err(failed)?;
        }
        Ok(chunks)
    }
}
