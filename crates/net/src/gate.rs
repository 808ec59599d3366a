//! A gate: so many may be inside, so many may wait, the rest are told to come back.
//!
//! In from whoever serves queries or reads; out a permit that lets go when dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stdx::metrics::{Counter, Gauge, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why the gate stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Too many wait already.
    #[error("too many requests are waiting ({n_waiting_max}); try again later")]
    QueueFull {
        /// How many may wait.
        n_waiting_max: usize,
    },
    /// Waited too long.
    #[error("timed out in queue")]
    Timeout,
}

/// Lets a bounded number in, in order of arrival.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    semaphore: Arc<Semaphore>,
    n_waiting: AtomicUsize,
    n_waiting_max: usize,
    inside: Arc<Gauge>,
    waiting: Arc<Gauge>,
    refused: Arc<Counter>,
}

/// The right to be inside; dropping it leaves.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Inner>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.inside.add(-1.0);
    }
}

impl Gate {
    /// A gate for `n_inside_max` at once and `n_waiting_max` in the queue. Its metrics are `net_gate_<name>_inside`,
    /// `net_gate_<name>_waiting` and `net_gate_<name>_refused_total`.
    #[must_use]
    pub fn new(name: &str, n_inside_max: usize, n_waiting_max: usize, registry: &Registry) -> Self {
        let metric = |part: &str| format!("net_gate_{name}_{part}");
        Self {
            inner: Arc::new(Inner {
                semaphore: Arc::new(Semaphore::new(n_inside_max.min(Semaphore::MAX_PERMITS))),
                n_waiting: AtomicUsize::new(0),
                n_waiting_max,
                inside: registry.gauge(&metric("inside"), "Requests inside the gate."),
                waiting: registry.gauge(&metric("waiting"), "Requests waiting at the gate."),
                refused: registry
                    .counter(&metric("refused_total"), "Requests refused, the queue full or too slow."),
            }),
        }
    }

    /// Waits for a place, at most `timeout`.
    ///
    /// # Errors
    /// When the queue is full, at once, or when the time is over.
    pub async fn enter(&self, timeout: Duration) -> Result<Permit, GateError> {
        let inner = &self.inner;
        if let Ok(permit) = Arc::clone(&inner.semaphore).try_acquire_owned() {
            return Ok(self.permit(permit));
        }
        let waiting = Waiting::join(inner)?;
        let acquired = tokio::time::timeout(timeout, Arc::clone(&inner.semaphore).acquire_owned()).await;
        drop(waiting);
        match acquired {
            Ok(permit) => Ok(self.permit(permit.expect("the semaphore is never closed"))),
            Err(_) => {
                inner.refused.inc();
                Err(GateError::Timeout)
            }
        }
    }

    fn permit(&self, permit: OwnedSemaphorePermit) -> Permit {
        self.inner.inside.add(1.0);
        Permit { gate: Arc::clone(&self.inner), _permit: permit }
    }
}

/// A place in the queue; given back also when the waiting future is dropped.
struct Waiting<'a> {
    gate: &'a Inner,
}

impl<'a> Waiting<'a> {
    fn join(gate: &'a Inner) -> Result<Self, GateError> {
        let n_waiting_max = gate.n_waiting_max;
        if gate.n_waiting.fetch_add(1, Ordering::SeqCst) >= n_waiting_max {
            gate.n_waiting.fetch_sub(1, Ordering::SeqCst);
            gate.refused.inc();
            return Err(GateError::QueueFull { n_waiting_max });
        }
        gate.waiting.add(1.0);
        Ok(Self { gate })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.gate.n_waiting.fetch_sub(1, Ordering::SeqCst);
        self.gate.waiting.add(-1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lets_in_queues_and_refuses() {
        let registry = Registry::new();
        let gate = Gate::new("query", 1, 1, &registry);
        let inside = gate.enter(Duration::ZERO).await.unwrap();
        assert_eq!(gate.enter(Duration::from_millis(1)).await.unwrap_err(), GateError::Timeout);
        let next = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(Duration::from_secs(60)).await }
        });
        while gate.inner.n_waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gate.enter(Duration::ZERO).await.unwrap_err(), GateError::QueueFull { n_waiting_max: 1 });
        assert!(registry.render().contains("net_gate_query_waiting 1\n"));
        drop(inside);
        let permit = next.await.unwrap().unwrap();
        assert!(registry.render().contains("net_gate_query_inside 1\n"));
        drop(permit);
        assert!(registry.render().contains("net_gate_query_refused_total 2\n"));
    }
}
