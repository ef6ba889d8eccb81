//! Reading the raw bytes of dead letters again.

use std::collections::HashMap;
use std::sync::Arc;

use rowmill_ingest::{Chunk, Chunks, Format, Options};
use rowmill_rowkey::Timestamp;
use rowmill_transform::Columns;

use crate::letter::DeadLetter;
use crate::process::{ChunkSource, Processed, process_chunk};
use crate::stages::Stages;

/// Sends letters through the stages of the pipeline file, one after the other.
#[derive(Debug)]
pub(crate) struct LetterReader<'a> {
    stages: &'a Stages,
    /// By header: letters of one source have the same.
    columns: HashMap<Vec<String>, Result<Arc<Columns>, String>>,
}

impl<'a> LetterReader<'a> {
    pub(crate) fn new(stages: &'a Stages) -> Self {
        Self {
            stages,
            columns: HashMap::new(),
        }
    }

    /// The fingerprint of the pipeline file.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.stages.pipeline.fingerprint
    }

    /// What becomes of a letter's records, and the chunk that they are; or why they are none.
    pub(crate) fn read(
        &mut self,
        letter: &DeadLetter,
        run: &str,
        now: Timestamp,
    ) -> Result<(Processed, Chunk), String> {
        if letter.cut {
            return Err("only its beginning was kept".to_owned());
        }
        let columns = self.columns(letter)?;
        let delimiter = self.stages.pipeline.csv.delimiter;
        let options = Options {
            delimiter,
            chunk_bytes: letter.raw.len() + 1,
            record_bytes_max: letter.raw.len() + 1,
            ..Options::new(letter.format)
        };
        let Some(Ok(chunk)) = Chunks::new(&letter.raw[..], options).next() else {
            return Err("holds no record".to_owned());
        };
        let chunk = chunk.moved_to(letter.position);
        let source = ChunkSource {
            name: &letter.source,
            file_name: letter.source.rsplit('/').next().unwrap_or_default(),
            format: letter.format,
            delimiter,
            columns: columns.as_deref(),
            header: None,
            run,
            now,
            accounting: true,
        };
        Ok((process_chunk(self.stages, &source, &chunk), chunk))
    }

    /// What the columns of a CSV letter mean: by the pipeline file, or else by the header of its source.
    fn columns(&mut self, letter: &DeadLetter) -> Result<Option<Arc<Columns>>, String> {
        if letter.format != Format::Csv {
            return Ok(None);
        }
        let named = self.stages.pipeline.csv.columns.as_ref();
        let header = named.or(letter.columns.as_ref());
        let header = header.ok_or("the pipeline file no longer names the columns")?;
        let known = self.columns.entry(header.clone()).or_insert_with(|| {
            let texts: Vec<_> = header.iter().map(String::as_str).collect();
            let columns = self.stages.transformer.columns(&texts);
            columns.map(Arc::new).map_err(|error| error.to_string())
        });
        known.clone().map(Some)
    }
}
