//! Whatever a pipeline file holds, it is one or says what is wrong with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rowmill_model::Pipeline;

fuzz_target!(|text: &str| {
    if let Err(error) = Pipeline::parse(text) {
        assert!(!error.problems().is_empty());
    }
});
