//! Warming a new connection: `PingAndWarm`, before the first call needs it.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use googleapis_tonic_google_bigtable_v2::google::bigtable::v2::{
    PingAndWarmRequest, PingAndWarmResponse,
};
use prost::Message as _;
use rowmill_store::{Timer, moment_after};
use tonic::Request;

use crate::credentials::Authorization;
use crate::failure::Failure;
use crate::pool::Warm;
use crate::transport::{CONNECT_TIMEOUT, before, routing, send, set_identity};

const PING_AND_WARM: &str = "/google.bigtable.v2.Bigtable/PingAndWarm";

/// What opens the way to the tables of an instance, on each channel that it is given.
pub(crate) fn warm(
    authorization: &Authorization,
    instance: &str,
    app_profile: &str,
    timer: Arc<dyn Timer>,
) -> Warm {
    let request = PingAndWarmRequest {
        name: instance.to_owned(),
        app_profile_id: app_profile.to_owned(),
    };
    let message: Bytes = request.encode_to_vec().into();
    let routing = routing(&[("name", instance), ("app_profile_id", app_profile)]);
    let authorization = authorization.clone();
    Arc::new(move |channel| {
        let (message, routing) = (message.clone(), routing.clone());
        let authorization = authorization.clone();
        let ping = async move {
            let mut request = Request::new(message);
            let headers = authorization.headers().await?;
            *request.metadata_mut() = headers;
            set_identity(request.metadata_mut());
            request
                .metadata_mut()
                .insert("x-goog-request-params", routing);
            request.set_timeout(CONNECT_TIMEOUT);
            let (_, mut stream) =
                send::<PingAndWarmResponse>(channel, PING_AND_WARM, request).await?;
            stream.message().await.map_err(Failure::of_status)?;
            Ok(())
        };
        let timer = Arc::clone(&timer);
        async move {
            let mut expiry = timer.until(moment_after(timer.now(), CONNECT_TIMEOUT));
            before(&mut expiry, ping).await?
        }
        .boxed()
    })
}
