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
                let is_gone = sender.send(Ok(block)).is_err()
                    || read.is_err_and(|error| sender.send(Err(error)).is_err());
                if is_last || is_gone {
                    return;
                }
            }
        });
        Self {
            blocks,
            block: io::Cursor::default(),
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.block.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            match self.blocks.recv() {
                Ok(block) => self.block = io::Cursor::new(block?),
                // The thread came to the input's end.
                Err(_) => return Ok(0),
            }
        }
    }
}
