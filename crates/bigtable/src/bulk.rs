//! Bulk writes: rows cut into requests, some of them in flight, those that failed sent again, an outcome for each row.

use futures::stream::{FuturesUnordered, StreamExt as _};
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    MutateRowsRequest, MutateRowsResponse,
};
use prost::Message as _;
use tonic::Code;

use crate::client::Client;
use crate::entries::{Entries, UNKNOWN_FAMILY};
use crate::error::{Error, Result};
use crate::failure::Failure;
use crate::limits::{BulkLimits, Shape, check_bytes};
use crate::retry::{Retries, RetryPolicy};
use crate::transport::{Call, Method, Patience, before};

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
    policy: RetryPolicy,
) -> Vec<Result<()>> {
    let resource = client.table_name(table);
    let bulk = Bulk {
        client,
        entries,
        header: header(&resource, client.app_profile()),
        resource,
        retries: client.environment().retries(policy),
    };
    if let Err(closed) = client.transport().check_open() {
        let indices = 0..entries.len();
        return indices
            .map(|index| Err(bulk.error(closed.again(), index, 0)))
            .collect();
    }
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
    let each = outcomes.into_iter();
    each.map(|outcome| outcome.expect("every row is in a piece, or beyond a limit"))
        .collect()
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
    /// The way of the whole write, whose deadline is that of each request.
    retries: Retries,
}

/// A row without its outcome yet.
struct Waiting {
    index: u32,
    /// An attempt may have written it, whatever a later one meets.
    may_have_happened: bool,
}

/// A row that an attempt left without its outcome, and why.
struct Failed {
    row: Waiting,
    failure: Failure,
}

impl Failed {
    /// A row whose request was not sent in time.
    fn before_its_turn(row: Waiting) -> Self {
        let message = "the deadline is over before the request had its turn";
        let failure = Failure::unsent(Code::DeadlineExceeded, message);
        Self { row, failure }
    }
}

/// Outcomes of rows.
type Outcomes = Vec<(u32, Result<()>)>;

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
                        let code = if problem.starts_with(UNKNOWN_FAMILY) {
                            Code::NotFound
                        } else {
                            Code::InvalidArgument
                        };
                        let failure = Failure::unsent(code, problem);
                        outcomes[index] = Some(Err(self.error(failure, index, 0)));
                        None
                    }
                }
            })
            .collect()
    }

    /// Sends rows until each has its outcome.
    async fn send(&self, piece: Piece, shapes: &[Option<Shape>]) -> Outcomes {
        let mut retries = self.retries.part();
        let mut call = Call::new(MUTATE_ROWS, self.client.table_routing(&self.resource)).admitted();
        let bytes = piece.iter().map(|index| shape_of(*index, shapes).bytes);
        let room = self.client.budget().share(bytes.sum());
        let share = self.before_deadline(room).await;
        let waiting = |index| Waiting {
            index,
            may_have_happened: false,
        };
        let mut rows: Vec<Waiting> = piece.into_iter().map(waiting).collect();
        let mut outcomes = Vec::with_capacity(rows.len());
        loop {
            if !self.turn().await {
                let failed = rows.into_iter().map(Failed::before_its_turn).collect();
                self.give_up(failed, None, &retries, &mut outcomes);
                break;
            }
            let attempt = self.attempt(&mut call, &mut retries, rows, shapes, &mut outcomes);
            let failed = attempt.await;
            // The longest delay that any row asks for holds for all.
            let reason = failed
                .iter()
                .max_by_key(|failed| failed.failure.retry_delay);
            let Some(reason) = reason else { break };
            if let Err(over) = retries.wait(&reason.failure).await {
                self.give_up(failed, over.as_ref(), &retries, &mut outcomes);
                break;
            }
            rows = failed.into_iter().map(|failed| failed.row).collect();
        }
        drop(share);
        outcomes
    }

    /// Sends rows once. Those that may be sent again are given back, with what each met.
    async fn attempt(
        &self,
        call: &mut Call,
        retries: &mut Retries,
        rows: Vec<Waiting>,
        shapes: &[Option<Shape>],
        outcomes: &mut Outcomes,
    ) -> Vec<Failed> {
        let started = self.client.environment().timer.now();
        let patience = Patience::new(retries.begin(), retries.message_timeout());
        let mut answers = Answers::new(rows);
        let request = self.request(&answers.rows, shapes);
        let ended = self.exchange(call, request, patience, &mut answers).await;
        let took = self.client.environment().timer.now() - started;
        let mut failed = Vec::new();
        // What was not sent says nothing of the service's load.
        let was_sent = ended.as_ref().is_none_or(|failure| !failure.is_unsent);
        let mut worst = ended.as_ref().map_or(Code::Ok, |failure| failure.code);
        for (mut row, answer) in answers.rows.into_iter().zip(answers.of_rows) {
            let failure = match answer {
                Answer::Written => {
                    outcomes.push((row.index, Ok(())));
                    continue;
                }
                Answer::Failed(failure) => failure,
                Answer::Missing => ended.as_ref().map_or_else(unanswered, Failure::again),
            };
            if worst == Code::Ok {
                worst = failure.code;
            }
            row.may_have_happened |= failure.may_have_happened();
            // A row whose repetition would do harm is sent again only if the server asks for it.
            let is_harmless = shape_of(row.index, shapes).is_idempotent;
            let may_repeat = is_harmless || failure.retry_delay.is_some();
            if may_repeat && retries.allows(&failure) {
                failed.push(Failed { row, failure });
            } else {
                outcomes.push(self.failed(&row, failure, retries));
            }
        }
        if was_sent {
            self.client.limiter().ended(worst, took);
        }
        failed
    }

    /// Waits for the turn of a request at the rate that the service asks for; false if the deadline of the whole write comes first.
    async fn turn(&self) -> bool {
        let turn = self.client.limiter().turn(self.retries.deadline());
        self.before_deadline(turn).await.unwrap_or(false)
    }

    fn request(&self, rows: &[Waiting], shapes: &[Option<Shape>]) -> Vec<u8> {
        // Each entry has its own key and length, of at most six bytes.
        let bytes: usize = rows
            .iter()
            .map(|row| shape_of(row.index, shapes).bytes + 6)
            .sum();
        let mut request = Vec::with_capacity(self.header.len() + bytes);
        request.extend_from_slice(&self.header);
        for row in rows {
            let shape = shape_of(row.index, shapes);
            self.entries.encode(row.index as usize, shape, &mut request);
        }
        request
    }

    /// One request and its responses; how it failed, if it did.
    async fn exchange(
        &self,
        call: &mut Call,
        request: Vec<u8>,
        patience: Patience,
        answers: &mut Answers,
    ) -> Option<Failure> {
        let transport = self.client.transport();
        let failure = match transport.open(call, request.into(), patience).await {
            Ok(mut responses) => loop {
                let response: MutateRowsResponse = match responses.next().await {
                    Ok(Some(response)) => response,
                    Ok(None) => {
                        call.note(&responses.trailers().await);
                        return None;
                    }
                    Err(failure) => break failure,
                };
                if let Some(info) = &response.rate_limit_info {
                    self.client.limiter().told(info);
                }
                answers.take(response);
            },
            Err(failure) => failure,
        };
        call.note_failure(&failure);
        Some(failure)
    }

    /// Gives rows that will not be sent again what they met, or the deadline that they met.
    fn give_up(
        &self,
        failed: Vec<Failed>,
        over: Option<&Failure>,
        retries: &Retries,
        outcomes: &mut Outcomes,
    ) {
        for Failed { row, failure } in failed {
            let failure = over.map_or(failure, Failure::again);
            outcomes.push(self.failed(&row, failure, retries));
        }
    }

    fn failed(&self, row: &Waiting, failure: Failure, retries: &Retries) -> (u32, Result<()>) {
        let error = self.error(failure, row.index as usize, retries.attempts_total);
        (row.index, Err(error.with_effect(row.may_have_happened)))
    }

    fn error(&self, failure: Failure, index: usize, attempts: u32) -> Error {
        let is_of_row = !failure.is_of_request || failure.code != Code::InvalidArgument;
        let error = Error::of(failure, MUTATE_ROWS.name, &self.resource).with_attempts(attempts);
        if is_of_row {
            error.with_row_key(self.entries.key(index).to_vec())
        } else {
            // Which of its rows makes a request invalid is not known, and it must not be blamed on this one.
            error
        }
    }

    /// What `work` gives, if it does before the deadline of the whole write.
    async fn before_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let timer = &self.client.environment().timer;
        let mut expiry = timer.until(self.retries.deadline());
        before(&mut expiry, work).await.ok()
    }
}

/// The shape of a row that is sent.
fn shape_of(index: u32, shapes: &[Option<Shape>]) -> Shape {
    shapes[index as usize].expect("only rows with a shape are cut into pieces")
}

fn unanswered() -> Failure {
    let message = "the server ended the response without an outcome for the row";
    Failure::new(Code::Internal, message)
}

/// What the server said of the rows of one request.
struct Answers {
    rows: Vec<Waiting>,
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
    fn new(rows: Vec<Waiting>) -> Self {
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
