//! The kernels of the benches, once and tiny, so that they stay true.

#[path = "common/kernels.rs"]
mod kernels;

#[test]
fn kernels_give_back_what_they_were_given() {
    for n in [1, 2, 120, 240] {
        for (shape, samples) in kernels::shapes(n) {
            assert!(kernels::decode(&kernels::append(&samples)).same_bits(&samples), "{shape}");
            assert!(kernels::decode(&kernels::encode(&samples)).same_bits(&samples), "{shape}");
        }
    }
}
