//! Templates beside what Go makes of them, and properties that hold for any text.

use gotemplate::{Functions, Options, Template, TemplateSet, Value, sprintf};
use proptest::prelude::*;

/// The data of the tables.
fn data(html: bool) -> Value {
    let nest = Value::map([("x", Value::map([("y", Value::str("deep"))]))]);
    let mut entries = vec![
        ("s", Value::str("str")),
        ("n", Value::Int(5)),
        ("f", Value::Float(2.5)),
        ("b", Value::Bool(true)),
        ("nil", Value::Nil),
        ("l", Value::list(["a", "b", "c"].map(Value::str))),
        ("empty", Value::list([])),
        ("m", Value::string_map([("a", "1"), ("b", "2")])),
        ("nest", nest),
        ("t", Value::time_ms(1_735_689_600_123)),
        ("d", Value::Duration(5_401_500_000_000)),
        ("html", Value::str("<b>\"x\" & 'y'</b>")),
        ("u", Value::str("http://a/b?c=d&e=f g")),
        ("bad", Value::str("javascript:alert(1)")),
        ("q", Value::str("a b/c?d&e=+%41")),
    ];
    if html {
        entries.push(("safe", Value::Html("<i>ok</i>".into())));
    }
    Value::map(entries)
}

fn run(text: &str, options: Options) -> String {
    let result = match Template::parse("x", text, &Functions::new(), options) {
        Ok(template) => template.execute(&data(options.html)).map_err(|err| err.to_string()),
        Err(err) => Err(err.to_string()),
    };
    match result {
        Ok(text) => sprintf("OK %q", &[Value::from(text)]),
        Err(text) => sprintf("ERR %q", &[Value::from(text)]),
    }
}

fn check_table(table: &str, options: Options) {
    let mut n_cases = 0;
    let mut lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
    while let Some(line) = lines.next() {
        let text = line.strip_prefix("in   ").expect("a case begins with `in`");
        let go = lines.next().and_then(|line| line.strip_prefix("go   ")).expect("then Go's answer");
        let ours = lines.next_if(|line| line.starts_with("ours ")).map(|line| &line[5..]);
        assert_eq!(run(text, options), ours.unwrap_or(go), "{text}");
        n_cases += 1;
    }
    assert!(n_cases > 20, "the table was not read");
}

#[test]
fn text_is_what_go_makes_of_it() {
    check_table(include_str!("text_default.txt"), Options { missing_key_zero: false, html: false });
}

#[test]
fn missing_keys_are_zero_values_when_asked() {
    check_table(include_str!("text_zero.txt"), Options { missing_key_zero: true, html: false });
}

#[test]
fn html_is_escaped_for_its_place() {
    check_table(include_str!("html.txt"), Options { missing_key_zero: true, html: true });
}

#[test]
fn later_definitions_replace_earlier_ones_unless_blank() {
    let mut set = TemplateSet::new(&Functions::new(), Options::default());
    set.add("defaults", r#"{{define "a"}}default {{template "b" .}}{{end}}{{define "b"}}b{{end}}"#).unwrap();
    set.add("own", r#"{{define "b"}}own {{.}}{{end}}{{define "a"}}  {{end}}"#).unwrap();
    assert_eq!(set.execute("a", &Value::Int(1)).unwrap(), "default own 1");
    assert_eq!(set.execute_text(r#"<{{template "b" .}}>"#, &Value::Int(2)).unwrap(), "<own 2>");
    assert_eq!(set.execute_text("plain", &Value::Nil).unwrap(), "plain");
    let err = set.execute("nope", &Value::Nil).unwrap_err().to_string();
    assert_eq!(err, r#"template: no template "nope" associated with template "nope""#);
}

#[test]
fn functions_are_checked_and_their_errors_named() {
    let functions = Functions::new()
        .add("twice", 1, |args| Ok(Value::from(args[0].to_string().repeat(2))))
        .add("fails", 0.., |_| Err("no luck".to_owned()));
    let check = |text: &str, expected: Result<&str, &str>| {
        let set = TemplateSet::new(&functions, Options::default());
        let got = set.execute_text(text, &Value::str("ab")).map_err(|err| err.to_string());
        assert_eq!(got.as_deref().map_err(String::as_str), expected, "{text}");
    };
    check("{{. | twice}}", Ok("abab"));
    check(
        "{{twice}}",
        Err(r#"template: :1:2: executing "" at <twice>: wrong number of args for twice: want 1 got 0"#),
    );
    check(
        "a\n {{fails 1}}",
        Err(r#"template: :2:3: executing "" at <fails 1>: error calling fails: no luck"#),
    );
}

#[test]
fn limits_end_what_would_not_end() {
    let list = |args: &[Value]| Ok(Value::list(args.to_vec()));
    let functions = Functions::new().add("list", 0.., list);
    let check = |text: &str, expected: &str| {
        let set = TemplateSet::new(&functions, Options::default());
        let err = set.execute_text(text, &Value::Nil).unwrap_err().to_string();
        assert!(err.ends_with(expected), "{text}: {err}");
    };
    check(
        r#"{{define "a"}}{{template "a"}}{{end}}{{template "a"}}"#,
        "exceeded maximum template depth (120)",
    );
    check("{{range 100000000}}{{end}}", "exceeded maximum number of steps (2000000)");
    check("{{range 100000}}{{printf \"%1000d\" 1}}{{end}}", "exceeded maximum output (4194304 bytes)");
    check("{{$x := \"ab\"}}{{range 40}}{{$x = print $x $x}}{{end}}", "or has too many parts");
    check("{{$x := list}}{{range 400}}{{$x = list $x}}{{end}}", "or has too many parts");
    check("{{$x := list}}{{range 60}}{{$x = list $x $x}}{{end}}", "or has too many parts");
    check(
        &"{{printf \"%999999d%999999d%999999d\" 1 1 1}}".repeat(9),
        "exceeded maximum output (4194304 bytes)",
    );
    check(
        &format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000)),
        "max expression depth exceeded (100)",
    );
    check(&"{{if true}}".repeat(5000), "max expression depth exceeded (100)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics(
        parts in proptest::collection::vec(prop_oneof![
            "\\PC{0,6}",
            prop::sample::select(vec![
                "{{", "}}", "{{-", " -}}", "/*", "*/", "if ", "range ", "else ", "end", "with ", "define ", "block ",
                "template ", "\"a\" ", "`", "'", "(", ")", "|", ".", ".s", "$", "$x", ":=", "=", ",", "1", "0x", "1e",
                "printf ", "\"%[3]*.[2]*d\" ", "index ", "slice ", "len ", ".l ", ".m ", ".t.Format ", "html ", "js ",
                "<a href=", "<script>", "</script>", "<!--", "-->", "style=\"", "\"", ">", "\n", " ", "é", "\u{0}",
                "{{end}}", "{{.s}}", "{{.html}}", "{{range .l}}", "{{if .s}}", "{{else}}", "break}}", "nil ",
            ]).prop_map(str::to_owned),
        ], 0..24),
        html in any::<bool>(),
    ) {
        let _ = run(&parts.concat(), Options { missing_key_zero: html, html });
    }

    #[test]
    fn no_format_panics(format in "[%+\\-# 0-9.*\\[\\]vTdboOxXcqUeEfFgGspté]{0,12}", n in any::<i64>(), f in any::<f64>()) {
        let _ = sprintf(&format, &[Value::Int(n), Value::Float(f), Value::str("aé"), Value::Nil, Value::list([Value::Int(n)])]);
    }

    #[test]
    fn html_mode_lets_no_markup_through(text in "\\PC{0,40}") {
        let template = "<p title=\"{{.}}\" class={{.}}>{{.}}</p>";
        let html = Options { missing_key_zero: true, html: true };
        let template = Template::parse("x", template, &Functions::new(), html).unwrap();
        let out = template.execute(&Value::from(text)).unwrap();
        prop_assert_eq!(out.matches('<').count(), 2);
        prop_assert_eq!(out.matches('>').count(), 2);
        prop_assert_eq!(out.matches('"').count(), 2);
    }

    #[test]
    fn layouts_never_panic_and_dates_come_back(layout in "[ -~_]{0,30}", t_ms in -1_000_000_000_000i64..4_000_000_000_000) {
        let Value::Time(time) = Value::time_ms(t_ms) else { unreachable!() };
        let text = gotemplate::format_time(&time, &layout);
        let _ = gotemplate::parse_time(&layout, &text);
        let rfc = "2006-01-02T15:04:05.999Z07:00";
        let back = gotemplate::parse_time(rfc, &gotemplate::format_time(&time, rfc)).unwrap();
        prop_assert_eq!(back.timestamp().as_millisecond(), t_ms);
    }
}

#[test]
fn tmpl_runs_a_template_by_a_name_that_is_a_value() {
    let run = |html: bool, text: &str| {
        let options = Options { html, ..Options::default() };
        let template = Template::parse("x", text, &Functions::new().with_tmpl(), options).unwrap();
        template.execute(&data(html)).map_err(|err| err.to_string())
    };
    let page = "{{ define \"a-str\" }}<i>{{ . }}</i>{{ end }}{{ $v := 1 }}{{ tmpl (print \"a-\" .s) .html }}{{ $v }}";
    assert_eq!(run(true, page).unwrap(), "<i>&lt;b&gt;&#34;x&#34; &amp; &#39;y&#39;&lt;/b&gt;</i>1");
    assert_eq!(run(false, page).unwrap(), "<i><b>\"x\" & 'y'</b></i>1");
    let piped = "{{ define \"a\" }}[{{ . }}]{{ end }}{{ .n | tmpl \"a\" | printf \"%s%s\" \"=\" }}";
    assert_eq!(run(true, piped).unwrap(), "=[5]");
    for (text, part) in [
        ("{{ tmpl \"none\" . }}", "error calling tmpl: template \"none\" not defined"),
        ("{{ tmpl 1 . }}", "wrong type for value; expected string; got int"),
        ("{{ tmpl \"x\" }}", "wrong number of args for tmpl: want 2 got 1"),
        (
            "{{ define \"a\" }}{{ tmpl \"a\" . }}{{ end }}{{ tmpl \"a\" . }}",
            "exceeded maximum template depth",
        ),
        ("{{ define \"a\" }}<b x={{ end }}{{ tmpl \"a\" . }}", "html template ends inside"),
    ] {
        let err = run(true, text).unwrap_err();
        assert!(err.contains(part), "{text}: {err}");
    }
    // Only where it was asked for.
    assert!(Template::parse("x", "{{ tmpl \"a\" . }}", &Functions::new(), Options::default()).is_err());
}
