//! Which texts upstream's framework takes for a URI: what Go's `url.ParseRequestURI` reads, and nothing at all.
//!
//! In from bodies of alerts; pure. A client is refused by upstream for the others, and so it is here.

/// Whether an alert may have `text` as its `generatorURL`.
pub(super) fn is_uri(text: &str) -> bool {
    // What follows a `#` is not looked at.
    let asked = text.split('#').next().unwrap_or_default();
    if text.is_empty() || asked == "*" {
        return true;
    }
    if asked.bytes().any(|byte| byte.is_ascii_control()) {
        return false;
    }
    let Some((has_scheme, rest)) = after_scheme(asked) else { return false };
    let path = rest.split('?').next().unwrap_or_default();
    if !path.starts_with('/') {
        return has_scheme;
    }
    let authority = if has_scheme { path.strip_prefix("//") } else { None };
    let Some(authority) = authority else { return is_escaped_well(path) };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    is_authority(authority) && is_escaped_well(path)
}

/// What follows `scheme:`, and whether there is one; `None` for a colon with nothing before it.
fn after_scheme(text: &str) -> Option<(bool, &str)> {
    let n_scheme = text
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')))
        .unwrap_or(text.len());
    match text[n_scheme..].strip_prefix(':') {
        Some(_) if n_scheme == 0 => None,
        Some(rest) if text.starts_with(|c: char| c.is_ascii_alphabetic()) => Some((true, rest)),
        _ => Some((false, text)),
    }
}

/// `user:password@host:port`, each but the host optional.
fn is_authority(text: &str) -> bool {
    let (user, host) = text.rsplit_once('@').unwrap_or(("", text));
    let is_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    let (host, port) = match host.strip_prefix('[') {
        Some(inner) => match inner.rsplit_once(']') {
            Some((address, port)) => (address, port),
            None => return false,
        },
        None => host.split_at(host.rfind(':').unwrap_or(host.len())),
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    // Beyond ASCII everything may stand there, below it what may stand in a name, and what Go lets pass besides.
    let is_host =
        |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c);
    user.chars().all(is_user)
        && is_escaped_well(user)
        && is_port
        && host.chars().all(is_host)
        && is_host_escaped_well(host)
}

/// Two hexadecimal digits behind every percent sign.
fn is_escaped_well(text: &str) -> bool {
    text.split('%').skip(1).all(|part| {
        let digits = part.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// In a host only bytes beyond ASCII may be escaped.
fn is_host_escaped_well(text: &str) -> bool {
    is_escaped_well(text) && text.split('%').skip(1).all(|part| part.as_bytes()[0] >= b'8')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_go() {
        let good = [
            "",
            "/x",
            "http://x/y?z=1#f",
            "http://[::1]:9/x",
            "http://x/ü",
            "mailto:a@b",
            "a:b",
            "HTTP://X",
            "//x/y",
            "http://user:pw@h/",
            "http:",
            "*",
            "http://x/{}|^`",
            "javascript:alert(1)",
            "/a?%zz",
            "http://",
            "http://ü:1/",
        ];
        let bad = [
            "x",
            "http://x y",
            "://x",
            "http://%zz/",
            "http://x/%zz",
            "?q",
            "#f",
            "http://x:port/",
            "1http://x",
            "http://x\n",
            "\0",
            ".",
            "..",
            "http://x{y}/",
            "http://u ser@x/",
            "http://[::1/",
            "http://%41/",
        ];
        for text in good {
            assert!(is_uri(text), "{text:?}");
        }
        for text in bad {
            assert!(!is_uri(text), "{text:?}");
        }
    }
}
