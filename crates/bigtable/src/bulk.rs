//! Bulk writes: rows cut into requests, some of them in flight, those that failed sent again, an outcome for each row.

use std::time::Instant;

use futures::stream::{FuturesUnordered, StreamExt as _};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    MutateRowsRequest, MutateRowsResponse,
};
use prost::Message as _;
use tonic::Code;

use crate::client::Client;
use crate::entries::Entries;
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::limits::{BulkLimits, Shape, check_bytes};
use crate::retry::{Retries, RetryPolicy};
use crate::transport::{Call, Method};

pub(crate) const MUTATE_ROWS: Method = Method {
    name: "MutateRows",
    path: "/google.bigtable.v2.Bigtable/MutateRows",
};

/// Rows of one request: indices into the entries.
type Piece = Vec<u32>;

/// Writes all entries, and gives an outcome for each, in their order.
pub(crate) async fn mutate_rows<E: Entries>(
    client: &Client,
    table: &str,
    entries: &E,
    order: Vec<u32>,
    policy: &RetryPolicy,
) -> Vec<Result<()>> {
    let resource = client.table_name(table);
    let bulk = Bulk {
        client,
        entries,
        header: header(&resource, client.app_profile()),
        resource,
        policy,
    };
    let mut outcomes: Vec<Option<Result<()>>> = (0..entries.len()).map(|_| None).collect();
    let shapes = bulk.shapes(&mut outcomes);
    let pieces = cut(&order, &shapes, client.bulk_limits());
    let mut sending: FuturesUnordered<_> = pieces
        .into_iter()
        .map(|piece| bulk.send(piece, &shapes))
        .collect();
    while let Some(done) = sending.next().await {
        for (index, outcome) in done {
            outcomes[index as usize] = Some(outcome);
        }
    }
    let unsent = || {
        Err(Error::new(
            Code::Internal,
            MUTATE_ROWS.name,
            "it was not sent",
        ))
    };
    let each = outcomes.into_iter();
    each.map(|outcome| outcome.unwrap_or_else(unsent)).collect()
}

/// The fields of a request before its entries.
fn header(table: &str, app_profile: &str) -> Vec<u8> {
    let request = MutateRowsRequest {
        table_name: table.to_owned(),
        app_profile_id: app_profile.to_owned(),
        ..MutateRowsRequest::default()
    };
    request.encode_to_vec()
}

/// Cuts rows into requests that keep the limits, in their order. A row beyond a limit goes alone.
fn cut(order: &[u32], shapes: &[Option<Shape>], limits: &BulkLimits) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut bytes, mut mutations) = (0, 0);
    for &index in order {
        let Some(shape) = shapes[index as usize] else {
            continue;
        };
        let fits = |piece: &Piece| {
            piece.len() < limits.rows_max
                && bytes + shape.bytes <= limits.bytes_max
                && mutations + shape.mutations <= limits.mutations_max
        };
        match pieces.last_mut().filter(|piece| fits(piece)) {
            Some(piece) => piece.push(index),
            None => {
                pieces.push(vec![index]);
                (bytes, mutations) = (0, 0);
            }
        }
        bytes += shape.bytes;
        mutations += shape.mutations;
    }
    pieces
}

/// A bulk write under way.
struct Bulk<'a, E> {
    client: &'a Client,
    entries: &'a E,
    header: Vec<u8>,
    resource: String,
    policy: &'a RetryPolicy,
}

impl<E: Entries> Bulk<'_, E> {
    /// What each row is; those beyond a limit have their outcome at once.
    fn shapes(&self, outcomes: &mut [Option<Result<()>>]) -> Vec<Option<Shape>> {
        let indices = 0..self.entries.len();
        indices
            .map(|index| {
                let shape = self.entries.shape(index);
                match shape.and_then(|shape| check_bytes(shape.bytes).map(|()| shape)) {
                    Ok(shape) => Some(shape),
                    Err(problem) => {
                        let failure = Failure::new(Code::InvalidArgument, problem);
                        outcomes[index] = Some(Err(self.error(failure, index, 0)));
                        None
                    }
                }
            })
            .collect()
    }

    /// Sends rows until each has its outcome.
    async fn send(&self, piece: Piece, shapes: &[Option<Shape>]) -> Vec<(u32, Result<()>)> {
        let shape = |index: u32| shapes[index as usize].expect("only rows with a shape are cut");
        let bytes: usize = piece.iter().map(|index| shape(*index).bytes).sum();
        let _share = self.client.budget().share(bytes).await;
        let mut retries = self.client.environment().retries(self.policy);
        let mut call = Call::new(MUTATE_ROWS, self.client.table_routing(&self.resource));
        let mut sent = Sent {
            outcomes: Vec::with_capacity(piece.len()),
            waiting: piece,
        };
        while !sent.waiting.is_empty() {
            let failure = self
                .attempt(&mut call, &mut retries, &mut sent, shapes)
                .await;
            let Some(failure) = failure else { break };
            // Rows whose repetition would do harm are not sent again, unless the server asks for it.
            let invited = failure.retry_delay.is_some();
            let may_repeat = |index: &u32| invited || shape(*index).is_idempotent;
            let given_up = sent.take_unless(may_repeat);
            self.conclude(&mut sent, given_up, &failure, &retries);
            if sent.waiting.is_empty() {
                break;
            }
            if let Err(failure) = retries.wait(failure).await {
                let given_up = std::mem::take(&mut sent.waiting);
                self.conclude(&mut sent, given_up, &failure, &retries);
            }
        }
        sent.outcomes
    }

    /// Sends the rows that wait, once. What is left waiting may be sent again, for the reason given.
    async fn attempt(
        &self,
        call: &mut Call,
        retries: &mut Retries,
        sent: &mut Sent,
        shapes: &[Option<Shape>],
    ) -> Option<Failure> {
        self.client.limiter().turn().await;
        let started = self.client.environment().timer.now();
        let deadline = retries.begin();
        let mut answers = Answers::new(std::mem::take(&mut sent.waiting));
        let request = self.request(&answers.rows, shapes);
        let ended = self.exchange(call, request, deadline, &mut answers).await;
        let took = self.client.environment().timer.now() - started;
        let code = ended.as_ref().map_or(Code::Ok, |failure| failure.code);
        self.client.limiter().ended(code, took);
        if let Some(failure) = &ended {
            call.note(failure);
        }
        self.settle(answers, ended.as_ref(), sent, retries)
    }

    fn request(&self, rows: &[u32], shapes: &[Option<Shape>]) -> Vec<u8> {
        let shape = |index: &u32| shapes[*index as usize].expect("only rows with a shape are sent");
        // Each entry has its own key and length, of at most six bytes.
        let bytes: usize = rows.iter().map(|index| shape(index).bytes + 6).sum();
        let mut request = Vec::with_capacity(self.header.len() + bytes);
        request.extend_from_slice(&self.header);
        for index in rows {
            let shape = shape(index);
            self.entries.encode(*index as usize, shape, &mut request);
        }
        request
    }

    /// One request and its responses; how it failed, if it did.
    async fn exchange(
        &self,
        call: &Call,
        request: Vec<u8>,
        deadline: Instant,
        answers: &mut Answers,
    ) -> Option<Failure> {
        let transport = self.client.transport();
        let mut responses = match transport.open(call, request.into(), deadline).await {
            Ok(responses) => responses,
            Err(failure) => return Some(failure),
        };
        loop {
            let response: MutateRowsResponse = match responses.next().await {
                Ok(Some(response)) => response,
                Ok(None) => return None,
                Err(failure) => return Some(failure),
            };
            if let Some(info) = &response.rate_limit_info {
                self.client.limiter().told(info);
            }
            answers.take(response);
        }
    }

    /// Gives every row that was answered, or will never be, its outcome; the others wait, for the reason given.
    fn settle(
        &self,
        answers: Answers,
        ended: Option<&Failure>,
        sent: &mut Sent,
        retries: &Retries,
    ) -> Option<Failure> {
        let mut reason: Option<Failure> = None;
        for (index, answer) in answers.rows.into_iter().zip(answers.of_rows) {
            let failure = match answer {
                Answer::Written => {
                    sent.outcomes.push((index, Ok(())));
                    continue;
                }
                Answer::Failed(failure) => failure,
                Answer::Missing => ended.map_or_else(unanswered, Failure::again),
            };
            if !retries.allows(&failure) {
                let error = self.error(failure, index as usize, retries.attempts_total);
                sent.outcomes.push((index, Err(error)));
                continue;
            }
            sent.waiting.push(index);
            // The longest delay that any row asks for holds for all.
            let known = reason.as_ref();
            if known.is_none_or(|known| known.retry_delay < failure.retry_delay) {
                reason = Some(failure);
            }
        }
        reason
    }

    fn conclude(&self, sent: &mut Sent, given_up: Vec<u32>, failure: &Failure, retries: &Retries) {
        for index in given_up {
            let error = self.error(failure.again(), index as usize, retries.attempts_total);
            // An earlier attempt may have written it, whatever the last one met.
            sent.outcomes
                .push((index, Err(error.with_unknown_effect())));
        }
    }

    fn error(&self, failure: Failure, index: usize, attempts: u32) -> Error {
        Error::of(failure, MUTATE_ROWS.name, &self.resource)
            .with_row_key(self.entries.key(index).to_vec())
            .with_attempts(attempts)
    }
}

/// How far the rows of a piece have come.
struct Sent {
    outcomes: Vec<(u32, Result<()>)>,
    waiting: Vec<u32>,
}

impl Sent {
    /// Takes out the rows that may not be sent again.
    fn take_unless(&mut self, may_repeat: impl Fn(&u32) -> bool) -> Vec<u32> {
        let (keep, out) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(may_repeat);
        self.waiting = keep;
        out
    }
}

fn unanswered() -> Failure {
    let message = "the server ended the response without an outcome for the row";
    Failure::new(Code::Internal, message)
}

/// What the server said of the rows of one request.
struct Answers {
    rows: Vec<u32>,
    of_rows: Vec<Answer>,
}

/// What the server said of one row.
enum Answer {
    /// Nothing yet.
    Missing,
    Written,
    Failed(Failure),
}

impl Answers {
    fn new(rows: Vec<u32>) -> Self {
        let of_rows = rows.iter().map(|_| Answer::Missing).collect();
        Self { rows, of_rows }
    }

    /// Entries are named by their place in the request; places that it does not have are the server's mistake.
    fn take(&mut self, response: MutateRowsResponse) {
        for entry in response.entries {
            let status = entry.status.unwrap_or_default();
            let answer = usize::try_from(entry.index)
                .ok()
                .and_then(|index| self.of_rows.get_mut(index));
            let Some(answer) = answer else { continue };
            *answer = if status.code == 0 {
                Answer::Written
            } else {
                Answer::Failed(Failure::of_entry(&status))
            };
        }
    }
}
