//! Tests of the client: TLS, and files that change.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser as _;
use rcgen::{CertificateParams, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Config;

/// An authority and the certificate that it gave to `localhost`, as PEM and for a server.
struct Authority {
    pem: String,
    acceptor: TlsAcceptor,
}

fn authority() -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], own.serialize_der().try_into().unwrap())
        .unwrap();
    let pem =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(root.der()));
    Authority { pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

/// Answers every request on a connection of its own with what it said of itself.
async fn serve(acceptor: TlsAcceptor) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust us ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\nEND") {
                let mut part = [0; 1024];
                let n = stream.read(&mut part).await.unwrap();
                request.extend_from_slice(&part[..n]);
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", request.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&request).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    address
}

fn service(address: SocketAddr, args: &[&str]) -> Result<Service> {
    let url = format!("https://localhost:{}", address.port());
    let first = ["tetragon", "--export-elasticsearch-url", &url, "--export-elasticsearch-spool-size", "0"];
    let config = Config::try_parse_from(first.iter().chain(args)).unwrap();
    Service::new(&Settings::new(&config).unwrap().unwrap())
}

async fn ask(service: &mut Service) -> Result<String, String> {
    match service.bulk(Bytes::from_static(b"{}\nEND")).await {
        Reply::Answer { status: 200, body } => Ok(String::from_utf8(body).unwrap()),
        Reply::Answer { status, .. } => panic!("{status}"),
        Reply::None(why) => Err(why),
    }
}

#[tokio::test]
async fn the_servers_certificate_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let (one, other) = (authority(), authority());
    let address = serve(one.acceptor.clone()).await;
    std::fs::write(&file, &other.pem).unwrap();
    let mut s = service(address, &["--export-elasticsearch-ca-file", file.to_str().unwrap()]).unwrap();
    let why = ask(&mut s).await.unwrap_err();
    assert!(why.contains("invalid peer certificate"), "{why}");
    // The right file takes effect without a restart.
    std::fs::write(&file, &one.pem).unwrap();
    let request = ask(&mut s).await.unwrap();
    assert!(request.starts_with("POST /tetragon/_bulk?filter_path=errors,items"), "{request}");
    let mut s = service(address, &["--export-elasticsearch-insecure-skip-verify"]).unwrap();
    assert!(ask(&mut s).await.is_ok());
    std::fs::write(&file, "nothing").unwrap();
    let error = service(address, &["--export-elasticsearch-ca-file", file.to_str().unwrap()]).unwrap_err();
    assert!(format!("{error:#}").contains("there is no certificate in it"), "{error:#}");
}

#[tokio::test]
async fn credentials_are_read_for_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (user, password, key) = (path("user"), path("password"), path("key"));
    let args = [
        "--export-elasticsearch-insecure-skip-verify",
        "--export-elasticsearch-username-file",
        &user,
        "--export-elasticsearch-password-file",
        &password,
    ];
    let address = serve(authority().acceptor).await;
    // At the start they must be there.
    let error = format!("{:#}", service(address, &args).unwrap_err());
    assert!(error.contains(&user) && error.contains("cannot be read"), "{error}");
    std::fs::write(&user, "elastic\n").unwrap();
    std::fs::write(&password, "one").unwrap();
    let mut s = service(address, &args).unwrap();
    let header = |text: &str| format!("authorization: Basic {}\r\n", STANDARD.encode(text));
    assert!(ask(&mut s).await.unwrap().contains(&header("elastic:one")));
    std::fs::write(&password, "two\r\n").unwrap();
    assert!(ask(&mut s).await.unwrap().contains(&header("elastic:two")));
    // While a file is gone nothing is sent, and nothing is lost.
    std::fs::remove_file(&password).unwrap();
    let why = ask(&mut s).await.unwrap_err();
    assert!(why.contains(&password), "{why}");
    let args = ["--export-elasticsearch-insecure-skip-verify", "--export-elasticsearch-api-key-file", &key];
    for (content, sent) in
        [("id:secret\n", STANDARD.encode("id:secret")), ("aWQ6c2VjcmV0\n", "aWQ6c2VjcmV0".to_owned())]
    {
        std::fs::write(&key, content).unwrap();
        let request = ask(&mut service(address, &args).unwrap()).await.unwrap();
        assert!(request.contains(&format!("authorization: ApiKey {sent}\r\n")), "{request}");
    }
    std::fs::write(&key, "a\u{1}b").unwrap();
    let error = format!("{:#}", service(address, &args).unwrap_err());
    assert!(error.contains("characters that no header may have"), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut s = service(address, &["--export-elasticsearch-insecure-skip-verify"]).unwrap();
    let why = ask(&mut s).await.unwrap_err();
    assert!(why.contains("Connection refused"), "{why}");
    assert_eq!(shown(&s.endpoint), format!("https://localhost:{}/tetragon", address.port()));
}
