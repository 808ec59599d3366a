//! Which hosts send samples, for the Alertmanager inside: one question of PromQL to the store.
//!
//! In from `alertmanager`, when an alert is about to be over; out to the query engine. Runs beside the threads that drive
//! sockets.

use std::sync::Arc;
use std::time::Duration;

use alertmanager::{Asking, Host, Samples};
use promql::{Deadline, Engine, QueryOptions, Value};
use stdx::Clock;
use storage::Queryable;

/// How long one question may take. Chosen.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks the store.
#[derive(Clone)]
pub(super) struct StoreSamples {
    pub(super) queryable: Arc<dyn Queryable>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) engine: Engine,
}

impl std::fmt::Debug for StoreSamples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreSamples")
    }
}

impl StoreSamples {
    fn ask(&self, query: &str) -> Result<bool, String> {
        let expr = self.engine.parse(query).map_err(|err| err.to_string())?;
        let deadline = Some(Deadline::after(self.clock.clone(), ASK_TIMEOUT));
        let options = QueryOptions { deadline, ..QueryOptions::default() };
        let output = self.engine.instant(&*self.queryable, &expr, self.clock.now_ms(), &options);
        match output.map_err(|err| err.to_string())?.value {
            Value::Vector(samples) => Ok(!samples.is_empty()),
            _ => Err("the answer is no vector".to_owned()),
        }
    }
}

impl Samples for StoreSamples {
    fn is_active<'a>(&'a self, host: &'a Host, fresh: Duration) -> Asking<'a> {
        let (own, query) = (self.clone(), host.query(fresh));
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || own.ask(&query)).await;
            asked.unwrap_or_else(|err| Err(err.to_string()))
        })
    }
}
