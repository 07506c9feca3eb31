//! A cluster's certificates: an authority of its own, and one client certificate for each part.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::state::State;

/// Written last.
const COMPLETE: &str = "complete";

/// The files of a cluster's certificates and keys.
pub(crate) struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Those of a cluster, made when there are none.
    pub(crate) fn of(state: &State) -> Result<Pki> {
        let folder = state.folder().join("pki");
        let pki = Pki { folder };
        if !pki.folder.join(COMPLETE).exists() {
            fs::create_dir_all(&pki.folder)?;
            pki.make(state).context("making the cluster's certificates")?;
            File::create(pki.folder.join(COMPLETE))?;
        }
        Ok(pki)
    }

    /// `ca.crt`, `admin.key`, ...
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make(&self, state: &State) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "tetragon-rs test cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let authority = params.self_signed(&key)?;
        write(&self.file("ca.crt"), &authority.pem())?;
        write(&self.file("ca.key"), &key.serialize_pem())?;
        let network = state.network();
        let names = [
            "localhost".to_owned(),
            "kubernetes".into(),
            "kubernetes.default".into(),
            "kubernetes.default.svc".into(),
            "127.0.0.1".into(),
            network.api_server(),
        ];
        self.issue("apiserver", "", "kube-apiserver", &names)?;
        // The group that RBAC lets do everything.
        self.issue("admin", "system:masters", "admin", &[])?;
        self.issue("kubelet-client", "system:masters", "kube-apiserver-kubelet-client", &[])?;
        self.issue("controller-manager", "", "system:kube-controller-manager", &[])?;
        self.issue("scheduler", "", "system:kube-scheduler", &[])?;
        // Signs the tokens of service accounts.
        let key = KeyPair::generate()?;
        write(&self.file("sa.key"), &key.serialize_pem())?;
        write(&self.file("sa.pub"), &key.public_key_pem())
    }

    /// The certificate of a node's kubelet, made when there is none.
    pub(crate) fn node(&self, name: &str, address: &str) -> Result<()> {
        if self.file(&format!("{name}.crt")).exists() {
            return Ok(());
        }
        let user = format!("system:node:{name}");
        self.issue(name, "system:nodes", &user, &[name.to_owned(), address.to_owned()])
    }

    /// Makes `NAME.key` and `NAME.crt`; with names it is a server's certificate, too.
    fn issue(&self, name: &str, group: &str, user: &str, names: &[String]) -> Result<()> {
        let authority = KeyPair::from_pem(&fs::read_to_string(self.file("ca.key"))?)?;
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name.push(DnType::CommonName, "tetragon-rs test cluster");
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::new(issuer, authority);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        if !group.is_empty() {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.distinguished_name.push(DnType::CommonName, user);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !names.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let certificate = params.signed_by(&key, &issuer)?;
        write(&self.file(&format!("{name}.key")), &key.serialize_pem())?;
        write(&self.file(&format!("{name}.crt")), &certificate.pem())
    }

    /// A kubeconfig for one of those who have a certificate.
    pub(crate) fn kubeconfig(&self, name: &str, state: &State) -> Result<String> {
        let inline =
            |file: &str| -> Result<String> { Ok(BASE64_STANDARD.encode(fs::read(self.file(file))?)) };
        let cluster = format!("tetragon-rs-{}", state.name);
        Ok(format!(
            "apiVersion: v1\nkind: Config\n\
             clusters: [{{name: {cluster}, cluster: {{server: \"https://{server}\", \
             certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: {name}, user: {{client-certificate-data: {certificate}, client-key-data: {key}}}}}]\n\
             contexts: [{{name: {cluster}, context: {{cluster: {cluster}, user: {name}}}}}]\n\
             current-context: {cluster}\n",
            server = state.network().api_server(),
            ca = inline("ca.crt")?,
            certificate = inline(&format!("{name}.crt"))?,
            key = inline(&format!("{name}.key"))?,
        ))
    }

    /// Writes that kubeconfig to a file.
    pub(crate) fn write_kubeconfig(&self, name: &str, state: &State, to: &Path) -> Result<()> {
        write(to, &self.kubeconfig(name, state)?)
    }
}

/// Writes a file that only its owner reads.
fn write(file: &Path, text: &str) -> Result<()> {
    File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut f| f.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", file.display()))
}
