//! For those who send on what a store takes: reading forward in time, and being told what came behind.
//!
//! A follower reads the store with [`Queryable::select`] up to a time of its own choice, its horizon, and then goes on from there.
//! What is committed at or before the horizon later than that would be missed; the store hands it over instead. So each
//! sample is either read or handed over, and what comes in order, nearly everything, costs nothing when it is committed.

use std::sync::Arc;

use model::{Exemplar, Histogram, Labels};

use crate::seam::Queryable;

/// Something that is told of samples behind its horizon.
pub trait Follower: Send + Sync + std::fmt::Debug {
    /// Samples at or before this are handed over, in Unix milliseconds; `i64::MIN` for none. Changes within
    /// [`Followed::between_commits`] only.
    fn horizon_ms(&self) -> i64;

    /// Whether exemplars are handed over, all of them: a store does not give them back by series.
    fn wants_exemplars(&self) -> bool;

    /// Called while a batch is being committed, just before it is written: the batch may still fail, and is then mostly committed again
    /// by its writer. Must return soon, and takes care of its own failures.
    fn take(&self, behind: Vec<Behind>);
}

/// A sample handed to a follower.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    /// Its series.
    pub labels: Labels,
    /// When, in Unix milliseconds.
    pub t_ms: i64,
    /// Since when it counts; 0 when not known.
    pub start_ms: i64,
    /// What.
    pub value: BehindValue,
}

/// What kinds of samples there are.
#[derive(Debug, Clone, PartialEq)]
pub enum BehindValue {
    /// A float, a staleness marker too.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
    /// An exemplar.
    Exemplar(Exemplar),
}

/// A store that can be followed.
pub trait Followed: Queryable {
    /// From now on `follower` is told. Only the first call counts.
    fn follow(&self, follower: Arc<dyn Follower>);

    /// Runs `act` while no batch is being committed: all that were are visible, and all others come after. To be short.
    fn between_commits(&self, act: &mut dyn FnMut());
}
