//! Compressed files, told by their content: gzip and zstd, as streams.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::error::Error;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// RFC 1952; any number of members, one after the other.
    Gzip,
    /// RFC 8878; any number of frames, one after the other.
    Zstd,
}

/// What an input is buffered by before it is decompressed.
const BUFFER_BYTES: usize = 128 << 10;

impl Compression {
    /// How a file that begins with `head` is compressed; an error if it is in a way that cannot be read.
    pub fn detect(head: &[u8]) -> Result<Option<Self>, Error> {
        let magic: [(&[u8], Result<Self, &'static str>); 4] = [
            (b"\x1f\x8b", Ok(Self::Gzip)),
            (b"\x28\xb5\x2f\xfd", Ok(Self::Zstd)),
            (b"BZh", Err("bzip2")),
            (b"\xfd7zXZ", Err("xz")),
        ];
        let found = magic.into_iter().find(|(magic, _)| head.starts_with(magic));
        let compression = found.map(|(_, compression)| compression).transpose();
        compression.map_err(Error::Compressed)
    }

    /// The content of what `input` gives. A file that ends too early, or holds what cannot be decompressed, gives what comes
    /// before that and then an error; of a frame of zstd the decoder holds back as much as its window, which is then not given.
    pub fn decompress(self, input: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(ZstdFrames::new(input)),
        }
    }

    /// What a compressed file's name ends with beyond the name of its content.
    pub fn extensions() -> [&'static str; 2] {
        ["gz", "zst"]
    }
}

/// The frames of a zstd file, one after the other.
struct ZstdFrames<R> {
    input: R,
    decoder: Box<FrameDecoder>,
    is_within: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            decoder: Box::default(),
            is_within: false,
        }
    }

    /// Starts the next frame, passing those that hold no content; false at the end of the file.
    fn start(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = self.input.by_ref().take(length.into());
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(false)
    }

    /// Ends a frame whose content was given.
    fn finish(&mut self) -> io::Result<()> {
        self.is_within = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(invalid("the checksum of a zstd frame does not match"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within {
                self.is_within = self.start()?;
                if !self.is_within {
                    return Ok(0);
                }
            }
            let read = self.decoder.read(out)?;
            if read > 0 || out.is_empty() {
                return Ok(read);
            }
            if self.decoder.is_finished() {
                self.finish()?;
            } else {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                let decoded = self.decoder.decode_blocks(&mut self.input, one);
                decoded.map_err(invalid)?;
            }
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
