//! The two facts of a client's certificate that rustls does not give out: its names and until when it is valid.
//!
//! In: DER as the client sent it, RFC 5280 §4.1. Out: subject alternative names as Go prints them. Reads only what it needs; what it
//! cannot read is no name. Never checks a signature.

use std::net::{Ipv4Addr, Ipv6Addr};

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERAL_TIME: u8 = 0x18;
/// `[0]`: the version of a certificate.
const VERSION: u8 = 0xa0;
/// `[3]`: the extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 0x11];

/// Elements one after the other.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Iterator for Reader<'a> {
    /// Tag and content.
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x80 => return None,
            // Lengths of more than four bytes do not fit a handshake.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first - 0x80))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, content))
    }
}

impl<'a> Reader<'a> {
    /// The content of the next element, if it is of this kind.
    fn only(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

/// Behind the certificate's issuer: validity, subject and so on.
fn after_issuer(der: &[u8]) -> Option<Reader<'_>> {
    let mut tbs = Reader(Reader(Reader(der).only(SEQUENCE)?).only(SEQUENCE)?);
    // The version is left out when it is the first one; then this was the serial number.
    if tbs.next()?.0 == VERSION {
        tbs.next()?;
    }
    tbs.only(SEQUENCE)?; // signature algorithm
    tbs.only(SEQUENCE)?; // issuer
    Some(tbs)
}

/// The subject alternative names of a certificate in DER: DNS, mail, IP, URI. Empty when there are none, or it cannot be read.
#[must_use]
pub fn names(der: &[u8]) -> Vec<String> {
    read_names(der).unwrap_or_default()
}

fn read_names(der: &[u8]) -> Option<Vec<String>> {
    let mut tbs = after_issuer(der)?;
    let (_, extensions) = tbs.find(|(tag, _)| *tag == EXTENSIONS)?;
    for (_, extension) in Reader(Reader(extensions).only(SEQUENCE)?) {
        let mut extension = Reader(extension);
        if extension.only(OBJECT_ID)? != SUBJECT_ALT_NAME {
            continue;
        }
        // Before the content may stand whether the extension is critical.
        let (_, content) = extension.find(|(tag, _)| *tag == OCTETS)?;
        let names = Reader(Reader(content).only(SEQUENCE)?);
        return Some(names.filter_map(|(tag, name)| general_name(tag, name)).collect());
    }
    None
}

fn general_name(tag: u8, name: &[u8]) -> Option<String> {
    match tag {
        // Mail, DNS, URI.
        0x81 | 0x82 | 0x86 => String::from_utf8(name.to_vec()).ok(),
        0x87 => match name.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(name).ok()?).to_string()),
            _ => Some(Ipv6Addr::from(<[u8; 16]>::try_from(name).ok()?).to_string()),
        },
        _ => None,
    }
}

/// Whether `cert` has begun and not ended at `now`; `None` when it cannot be read. What the usual rules check of certificates that
/// an authority signed, for those that a configuration names themselves.
pub(crate) fn is_valid_at(cert: &[u8], now: rustls_pki_types::UnixTime) -> Option<bool> {
    let (from, to) = validity(cert)?;
    Some((from..=to).contains(&i64::try_from(now.as_secs()).unwrap_or(i64::MAX)))
}

/// From when to when the certificate is valid, Unix seconds.
fn validity(der: &[u8]) -> Option<(i64, i64)> {
    let mut times = Reader(after_issuer(der)?.only(SEQUENCE)?);
    let (from, to) = (times.next()?, times.next()?);
    Some((time(from.0, from.1)?, time(to.0, to.1)?))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME if text.len() == 12 => {
            let year: i64 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        GENERAL_TIME if text.len() == 14 => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let field = |idx: usize| rest[idx * 2..idx * 2 + 2].parse::<i64>().ok();
    let (month, day) = (field(0)?, field(1)?);
    let days = stdx::calendar::days(year, month, day)?;
    Some(days * 86_400 + field(2)? * 3_600 + field(3)? * 60 + field(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_validity_are_found() {
        let mut params =
            rcgen::CertificateParams::new(["a.example".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])
                .unwrap();
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name("a@b.c".try_into().unwrap()));
        params.subject_alt_names.push(rcgen::SanType::URI("spiffe://x/y".try_into().unwrap()));
        params.not_before = rcgen::date_time_ymd(1999, 12, 31);
        params.not_after = rcgen::date_time_ymd(2051, 3, 1);
        let cert = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        assert_eq!(names(cert.der()), ["a.example", "127.0.0.1", "::1", "a@b.c", "spiffe://x/y"]);
        assert_eq!(validity(cert.der()), Some((946_598_400, 2_561_241_600)));
        for n_bytes in 0..cert.der().len() {
            let _ = (names(&cert.der()[..n_bytes]), validity(&cert.der()[..n_bytes]));
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes: Vec<u8>) {
            let _ = (names(&bytes), validity(&bytes));
        }
    }
}
