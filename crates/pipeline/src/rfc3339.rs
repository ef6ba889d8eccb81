//! Times in JSON, as RFC 3339 text.

use rowmill_rowkey::Timestamp;
use serde::{Deserialize as _, Deserializer, Serializer};

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "this is how serde passes what it serialises"
)]
pub(crate) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    rowmill_model::parse_time(&text).ok_or_else(|| serde::de::Error::custom("is no RFC 3339 time"))
}

/// The same of a time that may not have come.
pub(crate) mod option {
    use rowmill_rowkey::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(
        clippy::ref_option,
        reason = "this is how serde passes what it serialises"
    )]
    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let time = text.map(|text| {
            rowmill_model::parse_time(&text)
                .ok_or_else(|| serde::de::Error::custom("is no RFC 3339 time"))
        });
        time.transpose()
    }
}
