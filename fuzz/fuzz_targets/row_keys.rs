//! What can be decoded is encoded to the same bytes: keys are one to one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowmill_rowkey::{AggregateKey, FactKey, TimelineKey};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = FactKey::decode(bytes) {
        assert_eq!(key.encode().as_deref(), Ok(bytes));
    }
    if let Ok(key) = AggregateKey::decode(bytes) {
        assert_eq!(key.encode().as_deref(), Ok(bytes));
    }
    if let Ok(key) = TimelineKey::decode(bytes) {
        assert_eq!(key.encode().as_deref(), Ok(bytes));
    }
});
