//! Any text parses or is refused; what parses prints to text that parses to the same print.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let _ = promql::metric_selector(text);
    if let Ok(expr) = promql::parse(text) {
        let printed = expr.to_string();
        if let Ok(again) = promql::parse(&printed) {
            assert_eq!(again.to_string(), printed);
        }
    }
});
