//! Tests of the flags: folders, environment, what is refused and how.

use super::*;

fn load(args: &[&str]) -> Result<Config, String> {
    load_dirs(args, &[])
}

fn load_dirs(args: &[&str], dirs: &[PathBuf]) -> Result<Config, String> {
    let args: Vec<OsString> =
        std::iter::once("tetragon").chain(args.iter().copied()).map(OsString::from).collect();
    Config::load_from(&args, dirs).map_err(|e| match e {
        LoadError::Clap(e) => e.to_string(),
        LoadError::Other(e) => format!("{e:#}"),
    })
}

#[test]
fn defaults_are_tetragons() {
    let c = load(&[]).unwrap();
    assert_eq!(c.policy_dir(), Some(Path::new("/etc/tetragon/tetragon.tp.d")));
    assert_eq!(load(&["--tracing-policy-dir", ""]).unwrap().policy_dir(), None);
    assert_eq!(c.server_address, "localhost:54321");
    assert_eq!(
        (c.export_file_max_size_mb, c.export_file_max_backups, c.export_file_perm),
        (10, 5, Mode(0o600))
    );
    assert_eq!((c.event_queue_size, c.process_cache_size, c.export_rate_limit), (10_000, 65_536, -1));
    assert_eq!((c.event_cache_retries, c.event_cache_retry_delay, c.deleted_pod_cache_size), (15, 2, 1024));
    assert!(c.release_pinned_bpf && !c.keep_sensors_on_exit && c.export_file().is_none());
    command().debug_assert();
}

#[test]
fn booleans_take_a_value_or_none() {
    assert!(load(&["--enable-process-cred"]).unwrap().enable_process_cred);
    assert!(!load(&["--enable-process-cred=false"]).unwrap().enable_process_cred);
    assert!(load(&["--release-pinned-bpf=false"]).unwrap_err().contains("judged twice"));
    assert_eq!(load(&["--debug"]).unwrap().level(), tracing::Level::DEBUG);
}

#[test]
fn tls_is_for_tcp() {
    let pair = ["--server-tls-cert-file", "/c", "--server-tls-key-file", "/k"];
    assert!(load(&pair).unwrap().server_tls().is_some());
    assert!(load(&["--server-tls-client-ca-files="]).unwrap().server_tls().is_none());
    let socket = ["--server-address", "unix:///run/t.sock"];
    let error = load(&[&pair[..], &socket[..]].concat()).unwrap_err();
    assert!(error.contains("HOST:PORT"), "{error}");
}

#[test]
fn flags_of_tetragon_without_effect_are_refused_by_name() {
    let error = load(&["--enable-export-aggregation"]).unwrap_err();
    assert!(error.contains("every event is exported by itself"), "{error}");
    assert!(load(&["--enable-pod-info=false", "--bpf-lib", "/x", "--verbose=2"]).is_ok());
    assert!(load(&["--enable-cgidmap", "--enable-cgidmap-debug=true"]).is_ok());
    let error = load(&["--no-such-flag"]).unwrap_err();
    assert!(error.contains("--no-such-flag"), "{error}");
}

#[test]
fn wrong_values_say_what_would_be_right() {
    for (args, text) in [
        (["--export-file-perm", "999"], "three octal digits"),
        (["--rb-size-total", "8X"], "8M"),
        (["--export-file-rotation-interval", "soon"], "24h"),
        (["--metrics-label-filter", "pod,color"], "\"color\""),
        (["--enable-ancestors", "kprobe"], "`base`"),
        (["--enable-ancestors", "base,kprobe,uprobe"], "there are no uprobe events yet; leave it out"),
        (["--enable-ancestors", "base,exec"], "base, kprobe, tracepoint, lsm"),
        (["--filter-environment-variables", "PATH"], "needs --enable-process-environment-variables"),
        (["--server-tls-cert-file", "/c"], "belong together"),
        (["--server-tls-client-ca-files", "/ca"], "no effect without"),
        (["--server-tls-require-client-cert", "--verbose=0"], "needs --server-tls-cert-file"),
        (["--filter-environment-variables", "A=b"], "names of variables"),
        (["--bpf-dir", "/sys/fs/bpf/x"], "below /sys/fs/bpf"),
        (["--log-level", "loud"], "trace, debug"),
        (["--node-status-interval", "10ms"], "1s or more"),
        (["--nri-socket", "nri.sock"], "/var/run/nri/nri.sock"),
        (["--enable-cri", "--enable-k8s-api=false"], "needs --enable-k8s-api"),
        (["--cri-endpoint", "tcp://localhost:1"], "unix:///PATH"),
        (["--username-metadata", "ldap"], "[possible values: disabled, unix]"),
    ] {
        let error = load(&args).unwrap_err();
        assert!(error.contains(text), "{args:?}: {error}");
    }
}

#[test]
fn sizes_and_durations() {
    assert_eq!(parse_size("64K"), Ok(Size(65536)));
    assert_eq!(parse_size("8MB"), Ok(Size(8 << 20)));
    assert_eq!(parse_size("12"), Ok(Size(12)));
    assert!(parse_size("99999999999999G").is_err());
    assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
    assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
    assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
    assert!(parse_duration("").is_err() && parse_duration("5x").is_err());
}

#[test]
fn configuration_folders_are_weaker_than_flags() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster-name"), "from-file\n").unwrap();
    std::fs::write(dir.path().join("enable-process-ns"), "true").unwrap();
    let dirs = [dir.path().to_owned()];
    let c = load_dirs(&[], &dirs).unwrap();
    assert_eq!((c.cluster_name.as_str(), c.enable_process_ns), ("from-file", true));
    let c = load_dirs(&["--cluster-name", "mine"], &dirs).unwrap();
    assert_eq!(c.cluster_name, "mine");
    std::fs::write(dir.path().join("colour"), "red").unwrap();
    let error = load_dirs(&[], &dirs).unwrap_err();
    assert!(error.contains("no flag `colour`"), "{error}");
    let missing = load(&["--config-dir", "/nonexistent/dir"]).unwrap_err();
    assert!(missing.contains("/nonexistent/dir"), "{missing}");
}
