//! What a client takes from its surroundings.

use std::sync::Arc;

use crate::retry::{Retries, RetryPolicy};
use rowmill_store::{Random, SystemRandom, SystemTimer, Timer};

/// Time and chance.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) random: Arc<dyn Random>,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            timer: Arc::new(SystemTimer),
            random: Arc::new(SystemRandom),
        }
    }
}

impl Environment {
    /// The way of one operation through `policy`, from now on.
    pub(crate) fn retries(&self, policy: RetryPolicy) -> Retries {
        Retries::new(policy, Arc::clone(&self.timer), Arc::clone(&self.random))
    }
}
