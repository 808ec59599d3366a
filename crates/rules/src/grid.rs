//! When groups are evaluated: each on a grid of its interval, shifted by what its name comes to.
//!
//! Asked by [`crate::manager`] and wherever stored history is evaluated as the server would have. Pure.

/// FNV-1a, 64 bits: spreads groups over their interval, the same after every restart.
fn spread(key: &str) -> u64 {
    key.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What names a group, in metrics and for its place in time.
pub(crate) fn key_of(file: &str, name: &str) -> String {
    format!("{file};{name}")
}

fn phase_of(interval_ms: i64, key: &str) -> i64 {
    (spread(key) % interval_ms.unsigned_abs().max(1)).cast_signed()
}

/// Where a group is evaluated within its interval, milliseconds: the same at every start.
pub(crate) fn phase_ms(interval_ms: i64, file: &str, name: &str) -> i64 {
    phase_of(interval_ms, &key_of(file, name))
}

/// The first time on the group's grid after `now_ms`.
pub(crate) fn first_after(now_ms: i64, interval_ms: i64, key: &str) -> i64 {
    let offset_ms = phase_of(interval_ms, key);
    now_ms - (now_ms - offset_ms).rem_euclid(interval_ms) + interval_ms
}
