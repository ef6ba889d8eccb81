//! Reading on a thread of its own, for input that takes work to read.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};

/// How large a block is, and how many of them are read ahead.
const BLOCK_BYTES: usize = 256 << 10;
const BLOCKS_AHEAD: usize = 4;

/// What a reader gives, read a few blocks ahead on another thread: decompressing goes on while records are found and parsed.
#[derive(Debug)]
pub struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: io::Cursor<Vec<u8>>,
    at_end: bool,
}

impl ReadAhead {
    /// Starts reading `input`. The thread ends with the input, or soon after this is dropped.
    pub fn new(mut input: impl Read + Send + 'static) -> Self {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        std::thread::spawn(move || {
            loop {
                let mut block = Vec::with_capacity(BLOCK_BYTES);
                let read = input
                    .by_ref()
                    .take(BLOCK_BYTES as u64)
                    .read_to_end(&mut block);
                let is_last = block.len() < BLOCK_BYTES || read.is_err();
                // What was read before a failure comes before the failure.
                let mut is_gone = !block.is_empty() && sender.send(Ok(block)).is_err();
                is_gone |= read.is_err_and(|error| sender.send(Err(error)).is_err());
                if is_last {
                    // An empty block is the end: a thread that died would send none.
                    sender.send(Ok(Vec::new())).ok();
                }
                if is_last || is_gone {
                    return;
                }
            }
        });
        Self {
            blocks,
            block: io::Cursor::default(),
            at_end: false,
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(out)?;
            if read > 0 || out.is_empty() || self.at_end {
                return Ok(read);
            }
            let ended = |_| io::Error::other("reading ahead ended before the input did");
            let block = self.blocks.recv().map_err(ended)??;
            self.at_end = block.is_empty();
            self.block = io::Cursor::new(block);
        }
    }
}
