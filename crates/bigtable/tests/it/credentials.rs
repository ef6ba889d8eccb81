//! Who the client says it is, and what happens when it cannot say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use google_cloud_auth::credentials::{CacheableResource, CredentialsProvider, EntityTag};
use google_cloud_auth::errors::CredentialsError;
use http::{Extensions, HeaderMap, HeaderValue};
use rowmill_bigtable::testing::{ManualTimer, Reply};
use rowmill_bigtable::{Client, Code, Credentials};

use crate::Harness;

/// Tokens `token-0`, `token-1`, …; instead of some, errors: transient or for good.
#[derive(Debug, Default)]
struct Tokens {
    given: Arc<AtomicUsize>,
    fails: Vec<(usize, bool)>,
}

impl CredentialsProvider for Tokens {
    async fn headers(
        &self,
        _: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        if let Some((_, is_transient)) = self.fails.iter().find(|(at, _)| *at == number) {
            return Err(CredentialsError::from_msg(*is_transient, "no token today"));
        }
        let token = HeaderValue::from_str(&format!("Bearer token-{number}")).unwrap();
        let data = HeaderMap::from_iter([(http::header::AUTHORIZATION, token)]);
        Ok(CacheableResource::New {
            entity_tag: EntityTag::new(),
            data,
        })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

pub(crate) fn fixed() -> Credentials {
    Credentials::from(Tokens::default())
}

async fn harness(fails: Vec<(usize, bool)>) -> Harness {
    let tokens = Tokens {
        fails,
        ..Tokens::default()
    };
    Harness::with(|builder| builder.credentials(Credentials::from(tokens))).await
}

#[tokio::test]
async fn every_attempt_carries_the_token_of_the_moment() {
    let harness = harness(vec![]).await;
    let busy = Reply::new().status(Code::Unavailable, "x");
    harness.server.push("ReadRows", busy);
    harness.server.push("ReadRows", Reply::rows(["k"]));
    harness.client.read_row("t", "k", None).await.unwrap();
    let tokens: Vec<_> = ["PingAndWarm", "ReadRows"]
        .iter()
        .flat_map(|method| harness.server.requests(method))
        .map(|request| request.header("authorization").join(","))
        .collect();
    assert_eq!(
        tokens,
        ["Bearer token-1", "Bearer token-2", "Bearer token-3"]
    );
}

#[tokio::test]
async fn a_token_that_is_late_is_waited_for_and_does_not_wedge_the_client() {
    let harness = harness(vec![(2, true), (3, true)]).await;
    harness.server.push("ReadRows", Reply::rows(["k"]));
    harness.client.read_row("t", "k", None).await.unwrap();
    assert_eq!(harness.server.requests("ReadRows").len(), 1);
}

#[tokio::test]
async fn credentials_that_are_no_more_are_told_at_once() {
    let harness = harness(vec![(2, false)]).await;
    let error = harness.client.read_row("t", "k", None).await.unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(error.to_string().contains("no token today"), "{error}");
    assert!(error.hint().unwrap().contains("application-default login"));
    assert!(harness.server.requests("ReadRows").is_empty());
    // The next call asks again.
    harness.server.push("ReadRows", Reply::rows(["k"]));
    assert!(harness.client.read_row("t", "k", None).await.is_ok());
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let server = rowmill_bigtable::testing::ScriptedServer::start().await;
    let tokens = Tokens {
        fails: vec![(0, true)],
        ..Tokens::default()
    };
    let builder = Client::builder("p", "i").endpoint(format!("http://{}", server.address()));
    let error = builder
        .credentials(Credentials::from(tokens))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unauthenticated);
    assert!(
        error
            .hint()
            .unwrap()
            .contains("GOOGLE_APPLICATION_CREDENTIALS")
    );
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_emulator_gets_no_token() {
    let harness = Harness::start().await;
    harness.server.push("ReadRows", Reply::new());
    harness.client.read_row("t", "k", None).await.unwrap();
    assert!(
        harness.server.requests("ReadRows")[0]
            .header("authorization")
            .is_empty()
    );
}

/// Somebody who gives out tokens, and does not.
#[derive(Debug)]
struct Silent(tokio::sync::mpsc::UnboundedSender<()>);

impl CredentialsProvider for Silent {
    async fn headers(
        &self,
        _: Extensions,
    ) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        self.0.send(()).unwrap();
        std::future::pending().await
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn a_token_that_never_comes_does_not_hang_the_connect() {
    let timer = Arc::new(ManualTimer::default());
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    let builder = Client::builder("p", "i").endpoint("http://127.0.0.1:1");
    let builder = builder.credentials(Credentials::from(Silent(asked)));
    let connecting = tokio::spawn(builder.timer(timer.clone()).connect());
    asking.recv().await.unwrap();
    timer.advance(Duration::from_secs(31));
    let error = connecting.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(error.to_string().contains("within 30s"), "{error}");
    assert!(error.hint().is_some());
}
