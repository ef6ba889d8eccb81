//! A client that does nothing but send: the most that any client could reach.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::StreamExt as _;
use http::uri::PathAndQuery;
use rowmill_bigtable::proto::MutateRowsResponse;
use rowmill_bigtable::testing::Received;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::say;

/// Writes requests to a file, each after its length.
pub(crate) fn keep(requests: &[Received], out: &Path) -> Result<()> {
    let mut bytes = BytesMut::new();
    for request in requests {
        bytes.put_u32(u32::try_from(request.body().len())?);
        bytes.put_slice(request.body());
    }
    std::fs::write(out, bytes)?;
    say(&format!("{{\"requests\": {}}}", requests.len()));
    Ok(())
}

/// Sends the requests of a file, so many at once.
pub(crate) async fn send(address: &str, file: &Path, in_flight: usize) -> Result<()> {
    let mut bytes = Bytes::from(std::fs::read(file)?);
    let mut requests = Vec::new();
    while !bytes.is_empty() {
        let length = bytes.get_u32() as usize;
        requests.push(bytes.split_to(length));
    }
    let connect = || Endpoint::from_shared(format!("http://{address}"));
    let channels = [connect()?.connect().await?, connect()?.connect().await?];
    let count = requests.len();
    let sends = requests.into_iter().enumerate().map(|(index, request)| {
        let channel = channels[index % channels.len()].clone();
        tokio::spawn(send_one(channel, request))
    });
    let mut sent = futures::stream::iter(sends).buffer_unordered(in_flight);
    let mut rows = 0;
    while let Some(entries) = sent.next().await {
        rows += entries??;
    }
    say(&format!("{{\"requests\": {count}, \"rows\": {rows}}}"));
    Ok(())
}

async fn send_one(channel: Channel, request: Bytes) -> Result<usize> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.context("the channel")?;
    let path = PathAndQuery::from_static("/google.bigtable.v2.Bigtable/MutateRows");
    let response = grpc
        .server_streaming(Request::new(request), path, AsIs)
        .await?;
    let mut stream = response.into_inner();
    let mut rows = 0;
    while let Some(response) = stream.message().await? {
        rows += response.entries.len();
        let is_good = |entry: &rowmill_bigtable::proto::mutate_rows_response::Entry| {
            entry.status.as_ref().is_none_or(|status| status.code == 0)
        };
        ensure!(response.entries.iter().all(is_good), "a row failed");
    }
    Ok(rows)
}

/// Sends bytes as they are.
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = MutateRowsResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = MutateRowsResponse;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Self::Item>, Status> {
        let decoded = prost::Message::decode(source);
        decoded
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
