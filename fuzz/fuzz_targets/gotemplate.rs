//! Any text, parsed and executed in both modes over data of every kind.
#![no_main]

use gotemplate::{Functions, Options, Template, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let data = Value::map([
        ("s", Value::str("<x>&\"'")),
        ("n", Value::Int(5)),
        ("f", Value::Float(2.5)),
        ("l", Value::list([Value::str("a"), Value::Nil])),
        ("m", Value::string_map([("a", "1")])),
        ("t", Value::time_ms(1_735_689_600_123)),
        ("d", Value::Duration(5_401_500_000_000)),
    ]);
    for html in [false, true] {
        let options = Options { missing_key_zero: html, html };
        if let Ok(template) = Template::parse("x", text, &Functions::new(), options) {
            let _ = template.execute(&data);
        }
    }
});
