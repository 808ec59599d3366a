//! What an allocation costs.

/// What an allocator takes for `n_bytes`: it hands out sizes in steps. Chosen: steps of 16 bytes, as common allocators have for small sizes.
pub(super) fn allocated(n_bytes: usize) -> usize {
    n_bytes.next_multiple_of(16)
}
