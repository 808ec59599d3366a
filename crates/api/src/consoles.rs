//! `/consoles/`: pages that operators write as Go templates. `/user/`: their own files.
//!
//! In: folders that flags name, and a request's path and parameters; out: what `rules` makes of a template, or a file as it is. Files are
//! read at each request, so that a change needs no reload. Nothing above the folders is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use percent_encoding::percent_decode_str;
use rules::{Console, ConsoleEnv};
use stdx::{Dir as _, DiskDir};

use crate::respond::{text_response, typed_response};
use crate::state::{Shared, Shell};
use crate::v1;
use crate::v1::queries::Asker;

/// Largest file of `/user/`. Chosen: it is read whole.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What stands for a folder.
const INDEX: &str = "index.html";
const HTML: &str = "text/html; charset=utf-8";

/// Where an operator's own pages are.
#[derive(Debug, Clone, Default)]
pub struct OwnPages {
    /// `--web.console.templates`
    pub templates: PathBuf,
    /// `--web.console.libraries`: files that end in `.lib` are known to every template.
    pub libraries: PathBuf,
    /// `--web.user-assets`; `/user/` is 404 without it.
    pub user_assets: Option<PathBuf>,
}

/// The rest of a path without its escapes, and without steps above the folder. `None` when it is not UTF-8.
fn below(path: &str, prefix: &str) -> Option<String> {
    let path = percent_decode_str(path.strip_prefix(prefix).unwrap_or(path)).decode_utf8().ok()?;
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// `GET /consoles/*`
pub(crate) async fn console(
    State(shell): State<Arc<Shell>>,
    Shared(api): Shared,
    Asker(origin): Asker,
    request: Request,
) -> Response {
    let Some(path) = below(request.uri().path(), "/consoles/") else {
        return text_response(StatusCode::BAD_REQUEST, "the path is not UTF-8\n");
    };
    let params = url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes());
    let params: Vec<(String, String)> = params.into_owned().collect();
    let _permit = match v1::enter(&api, api.engine.load().options().timeout).await {
        Ok(permit) => permit,
        Err(err) => return text_response(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", err.message)),
    };
    let env = ConsoleEnv {
        engine: (**api.engine.load()).clone(),
        queryable: api.queryable.clone(),
        clock: api.clock.clone(),
        origin,
        external_url: shell.external_url().into(),
    };
    let rendered = v1::aside(move || render(&shell, &path, &params, env)).await;
    match rendered {
        Ok(Ok(page)) => typed_response(StatusCode::OK, HTML, page),
        Ok(Err((status, why))) => text_response(status, format!("{why}\n")),
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", err.message)),
    }
}

fn render(
    shell: &Shell,
    path: &str,
    params: &[(String, String)],
    env: ConsoleEnv,
) -> Result<String, (StatusCode, String)> {
    let pages = &shell.options.own_pages;
    let file = pages.templates.join(path);
    let shown = file.display();
    let bytes = DiskDir::anywhere().read(&file);
    let bytes = bytes.map_err(|why| (StatusCode::NOT_FOUND, format!("open {shown}: {why}")))?;
    let failed = |why: String| (StatusCode::INTERNAL_SERVER_ERROR, why);
    let text = String::from_utf8(bytes).map_err(|_| failed(format!("{shown} is not UTF-8 text")))?;
    let libraries = libraries(&pages.libraries).map_err(failed)?;
    let external_labels = &shell.config.load().external_labels;
    Console { path, text: &text, libraries: &libraries, params, external_labels }.render(env).map_err(failed)
}

/// The files `*.lib` of a folder, by name. A folder that is not there has none.
fn libraries(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let disk = DiskDir::anywhere();
    let files = disk.list(folder).unwrap_or_default().into_iter();
    let files = files.filter(|entry| !entry.is_dir && entry.name.ends_with(".lib"));
    let read = |name: String| {
        let path = folder.join(&name);
        let bytes = disk.read(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
        Ok((name, text))
    };
    files.map(|entry| read(entry.name)).collect()
}

/// `GET /user/*`
pub(crate) async fn user(State(shell): State<Arc<Shell>>, request: Request) -> Response {
    let missing = || text_response(StatusCode::NOT_FOUND, "404 page not found\n");
    let Some(folder) = shell.options.own_pages.user_assets.clone() else { return missing() };
    let Some(path) = below(request.uri().path(), "/user/") else { return missing() };
    let found = v1::aside(move || read_asset(&folder.join(path))).await;
    match found {
        Ok(Some(Ok((name, bytes)))) => typed_response(StatusCode::OK, content_type(&name), bytes),
        Ok(Some(Err(why))) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
        Ok(None) => missing(),
        Err(err) => text_response(StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", err.message)),
    }
}

/// A file with its name, or the index of a folder; `None` when there is none.
fn read_asset(path: &Path) -> Option<Result<(String, Vec<u8>), String>> {
    let disk = DiskDir::anywhere();
    let path = if disk.list(path).is_ok() { path.join(INDEX) } else { path.to_owned() };
    let file = disk.open(&path).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    match file.len() {
        Ok(n_bytes) if n_bytes > FILE_BYTES_MAX => {
            Some(Err(format!("{name} is larger than {FILE_BYTES_MAX} bytes; serve it elsewhere")))
        }
        _ => Some(disk.read(&path).map(|bytes| (name, bytes)).map_err(|why| why.to_string())),
    }
}

/// By a name's end; browsers find out about the others.
fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, end)| end) {
        "html" | "htm" => HTML,
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "xml" => "text/xml; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_folder() {
        for (path, expected) in [
            ("/consoles/a/b.html", Some("a/b.html")),
            ("/consoles/", Some("")),
            ("/consoles/../../etc/passwd", Some("etc/passwd")),
            ("/consoles/a/%2e%2e/%2E%2E/x", Some("x")),
            ("/consoles//a//b", Some("a/b")),
            ("/consoles/a%20b", Some("a b")),
            ("/consoles/%ff", None),
        ] {
            assert_eq!(below(path, "/consoles/").as_deref(), expected, "{path}");
        }
    }
}
