use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn host() -> Host {
    Host::of_service("webhook", "kube-system")
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn made(host: &Host) -> Certs {
    take(&Step::Replace, None, host, now(), LIFE).unwrap()
}

fn next(certs: &Certs, at: SystemTime, published: bool) -> Step {
    step(Some(certs), &host(), at, LIFE, published)
}

#[test]
fn new_certificates_work_for_their_names_and_their_life() {
    for host in
        [host(), Host::of_url("https://127.0.0.1:1/").unwrap(), Host::of_url("https://[::1]:1/").unwrap()]
    {
        let certs = made(&host);
        // A clock that is behind.
        for (at, good) in
            [(now() - DAY / 2, true), (now(), true), (now() + 364 * DAY, true), (now() + 366 * DAY, false)]
        {
            assert_eq!(certs.accepts(&certs.pair, &host, at), good, "{at:?}");
        }
        assert!(!certs.accepts(&certs.pair, &Host("other.svc".into()), now()));
        let ends = certs.ends(&host, now()).unwrap();
        let life = ends.duration_since(now()).unwrap();
        assert!(life.abs_diff(LIFE) <= Duration::from_secs(2), "{life:?}");
        assert_eq!(certs.ends(&host, now() + 2 * LIFE), None);
        assert_eq!(Certs::read(&certs.data()).unwrap(), certs);
    }
}

#[test]
fn damage_is_found() {
    let certs = made(&host());
    let other = made(&host());
    let damaged = |key: &str, value: Option<&str>| {
        let mut data = certs.data();
        match value {
            Some(value) => data.insert(key.into(), ByteString(value.as_bytes().to_vec())),
            None => data.remove(key),
        };
        format!("{:#}", Certs::read(&data).unwrap_err())
    };
    insta::assert_snapshot!(
        [
            damaged("tls.crt", None),
            damaged("tls.crt", Some("x")),
            damaged("tls.key", Some("x")),
            damaged("tls.key", Some(&other.pair.key)),
            damaged("ca.crt", Some("")),
            damaged("ca.crt", Some("-----BEGIN")),
        ]
        .join("\n"),
        @r"
    tls.crt is missing
    tls.crt: it has no certificate
    tls.crt: the key is no PEM: no items found
    tls.crt: the key does not fit the certificate: keys may not be consistent: KeyMismatch
    ca.crt: it has no certificate
    ca.crt: it is no PEM: no items found
    "
    );
    // Whole, and of no use: the authority is another one.
    let mut data = certs.data();
    data.insert("ca.crt".into(), ByteString(other.bundle().into_bytes()));
    let swapped = Certs::read(&data).unwrap();
    assert_eq!(next(&swapped, now(), true), Step::Replace);
}

#[test]
fn nothing_becomes_new_ones_at_once() {
    assert_eq!(step(None, &host(), now(), LIFE, true), Step::Replace);
    let certs = made(&host());
    assert_eq!(next(&certs, now() + 366 * DAY, true), Step::Replace);
    let renamed = Host::of_service("other", "kube-system");
    assert_eq!(step(Some(&certs), &renamed, now(), LIFE, true), Step::Replace);
}

#[test]
fn rotation_never_serves_what_is_not_trusted() {
    let first = made(&host());
    assert_eq!(next(&first, now(), true), Step::Keep);
    assert_eq!(next(&first, now() + 240 * DAY, true), Step::Keep);
    let later = now() + 250 * DAY;
    assert_eq!(next(&first, later, true), Step::Prepare);

    let prepared = take(&Step::Prepare, Some(&first), &host(), later, LIFE).unwrap();
    assert_eq!(prepared.pair, first.pair, "still served");
    assert_eq!(prepared.authorities.len(), 2);
    assert!(prepared.accepts(&first.pair, &host(), later));
    assert!(prepared.accepts(prepared.next.as_ref().unwrap(), &host(), later));
    assert_eq!(Certs::read(&prepared.data()).unwrap(), prepared);
    assert_eq!(next(&prepared, later, false), Step::Keep, "not yet known");
    assert_eq!(next(&prepared, later, true), Step::Promote);

    let promoted = take(&Step::Promote, Some(&prepared), &host(), later, LIFE).unwrap();
    assert_eq!(Some(&promoted.pair), prepared.next.as_ref());
    assert_eq!(
        promoted.authorities, prepared.authorities,
        "replicas that still serve the old one are trusted"
    );
    assert_eq!(next(&promoted, later, true), Step::Keep);
    // The next rotation drops the first authority.
    let much_later = later + 250 * DAY;
    let again = take(&Step::Prepare, Some(&promoted), &host(), much_later, LIFE).unwrap();
    assert_eq!(again.authorities[1], prepared.authorities[0]);
    assert!(!again.authorities.contains(&first.authorities[0]));
}

#[test]
fn a_certificate_that_waited_too_long_is_made_again() {
    let first = made(&host());
    let later = now() + 250 * DAY;
    let mut prepared = take(&Step::Prepare, Some(&first), &host(), later, LIFE).unwrap();
    prepared.next = Some(made(&Host("other.svc".into())).pair);
    assert_eq!(next(&prepared, later, true), Step::Prepare);
    let again = take(&Step::Prepare, Some(&prepared), &host(), later, LIFE).unwrap();
    assert_eq!(again.authorities[1], first.authorities[0]);
    assert_eq!(next(&again, later, true), Step::Promote);
}

#[test]
fn keys_do_not_show_in_logs() {
    let certs = made(&host());
    assert!(!format!("{certs:?}").contains("PRIVATE"));
}
