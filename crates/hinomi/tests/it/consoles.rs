//! Console templates and an operator's own files, served from folders that flags name.

use std::time::Duration;

use crate::harness::{Hinomi, wait_for};

const LIBRARY: &str = "{{ define \"head\" }}<title>{{ . }}</title>{{ end }}\
    {{ define \"cell-up\" }}<td>{{ . }}</td>{{ end }}";

const PAGE: &str = "{{ template \"head\" .Path }}\n\
    <p class=\"{{ .Params.job }}\">{{ $params.job }} {{ index $rawParams \"x\" | len }} {{ $externalLabels.site }}</p>\n\
    <table>{{ range query (printf \"up{job='%s'}\" .Params.job) }}{{ tmpl \"cell-up\" (.Value | humanize) }}\
    <td>{{ .Labels.job }}</td>{{ end }}</table>\n";

#[test]
fn consoles_are_expanded_and_files_are_served() {
    let pages = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = pages.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("consoles/a/page.html", PAGE);
    write("consoles/broken.html", "{{ if }}");
    write("consoles/fails.html", "{{ query \"sum(\" }}");
    write("libraries/head.lib", LIBRARY);
    write("libraries/passed-over.txt", "{{ broken");
    write("assets/index.html", "<h1>mine</h1>");
    write("assets/b/style.css", "p {}");
    write("secret", "secret");
    let flag = |name: &str, folder: &str| format!("--web.{name}={}", pages.path().join(folder).display());
    let flags = [
        flag("console.templates", "consoles"),
        flag("console.libraries", "libraries"),
        flag("user-assets", "assets"),
    ];
    let config =
        "global: {scrape_interval: 1s, external_labels: {site: here}}\nhinomi: {self_metrics: true}\n";
    let server = Hinomi::start(Some(config), &flags.each_ref().map(String::as_str));
    wait_for("a scrape", Duration::from_secs(20), || server.number("up{job=\"hinomi\"}"));

    let page = server.get("/consoles/a/page.html?job=hinomi&x=1&x=2");
    assert_eq!(
        (page.status, page.body.as_str()),
        (
            200,
            "<title>a/page.html</title>\n<p class=\"hinomi\">hinomi 2 here</p>\n\
             <table><td>1</td><td>hinomi</td></table>\n"
        )
    );
    // Values are escaped where they stand.
    let page = server.get("/consoles/a/page.html?job=%3Cb%3E%22");
    assert!(page.body.contains("<p class=\"&lt;b&gt;&#34;\">&lt;b&gt;&#34; 0 here</p>"), "{}", page.body);
    for (path, status, part) in [
        ("/consoles/none.html", 404, "none.html"),
        ("/consoles/..%2fsecret", 404, "consoles/secret"),
        ("/consoles/broken.html", 500, "error parsing template __console_/broken.html: "),
        ("/consoles/fails.html", 500, "error executing template __console_/fails.html: "),
        ("/user/", 200, "<h1>mine</h1>"),
        ("/user/b/style.css", 200, "p {}"),
        ("/user/b/", 404, "404 page not found"),
        ("/user/..%2fsecret", 404, "404 page not found"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.body.contains(part), "{path}: {}", answer.body);
    }
}
