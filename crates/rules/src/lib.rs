//! Evaluates recording and alerting rules on time; keeps alert state.
//!
//! In from the binary (rule files, clock, store); out to the store (samples) and to an alert sink.
