//! The inputs that an argument names: a path, a directory, a pattern, objects, or standard input.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};
use rowmill_ingest::Format;
use rowmill_objects::{Endpoint, ObjectUri};
use rowmill_rowkey::PART_BYTES_MAX;
use walkdir::WalkDir;

use super::{Input, Inputs};
use crate::error::Error;
use crate::source::Source;

/// What patterns are made of.
const WILD: [char; 3] = ['*', '?', '['];

impl Inputs {
    pub(super) fn named(
        &mut self,
        argument: &str,
        format: Option<Format>,
    ) -> Result<Vec<Input>, Error> {
        if argument == "-" {
            return Ok(vec![Input {
                source: Source::Stdin,
                name: "-".into(),
                bytes: 0,
                format,
            }]);
        }
        let path = Path::new(argument);
        if path.is_dir() {
            return self.directory(path, format);
        }
        if path.exists() || !argument.contains(WILD) {
            return Ok(vec![file(path, format)?]);
        }
        self.pattern(argument, format)
    }

    /// The objects that an argument names; of a folder those whose names are of a format that is read.
    pub(super) fn objects(
        &mut self,
        argument: &str,
        format: Option<Format>,
        storage: &Endpoint,
    ) -> Result<Vec<Input>, Error> {
        let uri: ObjectUri = argument.parse()?;
        let mut inputs = Vec::new();
        for object in uri.find(storage)? {
            let (name, bytes) = (object.uri(), object.bytes());
            let source = Source::Object(Box::new(object));
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
            });
        }
        Ok(inputs)
    }

    /// The files in a directory and those in it whose names are of a format that is read, by name. Hidden ones are left out.
    fn directory(&mut self, path: &Path, format: Option<Format>) -> Result<Vec<Input>, Error> {
        let is_hidden = |name: &OsStr| name.as_encoded_bytes().first() == Some(&b'.');
        let mut inputs = Vec::new();
        let walk = walk(path)
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name()));
        for entry in walk {
            let Some(path) = self.file_of(path, entry)? else {
                continue;
            };
            let source = Source::Path(path);
            let extension = source.extension();
            match source {
                Source::Path(path) if extension.as_deref().is_some_and(is_read) => {
                    inputs.push(file(&path, format)?);
                }
                _ => self.left_out += 1,
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

    /// The files that match a pattern, by name.
    fn pattern(&mut self, argument: &str, format: Option<Format>) -> Result<Vec<Input>, Error> {
        let pattern = Pattern::new(argument).map_err(|error| malformed(argument, error.msg))?;
        let paths = if argument.contains("**") {
            self.matches_below(argument, &pattern)?
        } else {
            matches(argument)?
        };
        let paths = paths.iter().filter(|path| path.is_file());
        let inputs: Vec<_> = paths
            .map(|path| file(path, format))
            .collect::<Result<_, _>>()?;
        if inputs.is_empty() {
            return Err(Error::NoMatch {
                name: argument.to_owned(),
                problem: "no file matches the pattern",
            });
        }
        Ok(inputs)
    }

    /// The paths that match a pattern with `**`, which stands for directories of any depth. They are walked here, because a link that
    /// leads back to a directory that it is in must not be followed.
    fn matches_below(&mut self, argument: &str, pattern: &Pattern) -> Result<Vec<PathBuf>, Error> {
        let is_plain = |part: &Component<'_>| !part.as_os_str().to_string_lossy().contains(WILD);
        let base: PathBuf = Path::new(argument)
            .components()
            .take_while(is_plain)
            .collect();
        let is_here = base.as_os_str().is_empty();
        let root = if is_here { Path::new(".") } else { &base };
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        let mut found = Vec::new();
        if !root.is_dir() {
            return Ok(found);
        }
        for entry in walk(root) {
            let Some(path) = self.file_of(root, entry)? else {
                continue;
            };
            let path = match path.strip_prefix(".") {
                Ok(stripped) if is_here => stripped.to_owned(),
                _ => path,
            };
            if pattern.matches_path_with(&path, options) {
                found.push(path);
            }
        }
        Ok(found)
    }

    /// The file that a walk met; none for a directory, and for a link that leads back, which is noted.
    fn file_of(
        &mut self,
        root: &Path,
        entry: walkdir::Result<walkdir::DirEntry>,
    ) -> Result<Option<PathBuf>, Error> {
        match entry {
            Ok(entry) if entry.file_type().is_file() => Ok(Some(entry.into_path())),
            Ok(_) => Ok(None),
            Err(error) if leads_nowhere(&error) => {
                let link = error.path().unwrap_or(root);
                self.broken_links.push(link.display().to_string());
                Ok(None)
            }
            Err(error) => Err(Error::Input {
                name: root.display().to_string(),
                problem: error.to_string(),
            }),
        }
    }
}

/// Whether a walk met a link that leads back to a directory that it is in, to itself, or to nothing.
fn leads_nowhere(error: &walkdir::Error) -> bool {
    const LOOPS: [i32; 2] = [40, 62];
    let is_link = error.path().is_some_and(Path::is_symlink);
    let io = error.io_error();
    let is_missing = io.is_some_and(|io| io.kind() == std::io::ErrorKind::NotFound);
    let is_own = io.and_then(std::io::Error::raw_os_error);
    let is_own = is_own.is_some_and(|code| LOOPS.contains(&code));
    error.loop_ancestor().is_some() || (is_link && (is_missing || is_own))
}

/// All files of a directory and those in it, links followed, by name.
fn walk(root: &Path) -> WalkDir {
    WalkDir::new(root).follow_links(true).sort_by_file_name()
}

/// The paths that match a pattern whose parts are single directories.
fn matches(argument: &str) -> Result<Vec<PathBuf>, Error> {
    let paths = glob::glob(argument).map_err(|error| malformed(argument, error.msg))?;
    let paths = paths.map(|path| {
        path.map_err(|error| Error::Input {
            name: argument.to_owned(),
            problem: error.to_string(),
        })
    });
    paths.collect()
}

fn malformed(argument: &str, problem: &str) -> Error {
    Error::Input {
        name: argument.to_owned(),
        problem: format!("is no pattern: {problem}"),
    }
}

/// Whether files of directories whose names end so are read.
fn is_read(extension: &str) -> bool {
    ["csv", "tsv", "json", "jsonl", "ndjson"].contains(&extension)
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
