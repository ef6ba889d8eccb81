//! Messages to and from the wire: requests are encoded once, whatever the number of attempts.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// Sends bytes that are a message already, and reads messages of type `T`.
#[derive(Debug)]
pub(crate) struct RequestBytes<T>(PhantomData<fn() -> T>);

impl<T> RequestBytes<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Default + 'static> Codec for RequestBytes<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = BytesEncoder;
    type Decoder = MessageDecoder<T>;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder
    }

    fn decoder(&mut self) -> MessageDecoder<T> {
        MessageDecoder(PhantomData)
    }
}

#[derive(Debug)]
pub(crate) struct BytesEncoder;

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.len());
        out.put(item);
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct MessageDecoder<T>(PhantomData<fn() -> T>);

impl<T: Message + Default> Decoder for MessageDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        // The whole message becomes one shared buffer, and its byte fields are slices of it.
        let message = source.copy_to_bytes(source.remaining());
        let decoded = T::decode(message).map_err(|error| {
            Status::new(
                Code::Internal,
                format!("the response is no message: {error}"),
            )
        })?;
        Ok(Some(decoded))
    }
}
