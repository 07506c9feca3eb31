//! Names as Kubernetes wants them.

/// A DNS subdomain of RFC 1123, as Kubernetes wants names.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            let bytes = label.as_bytes();
            matches!((bytes.first(), bytes.last()), (Some(a), Some(z)) if inner(*a) && inner(*z))
                && bytes.iter().all(|b| inner(*b) || *b == b'-')
        })
}
