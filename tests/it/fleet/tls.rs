//! TLS between gateways of a fleet.

use std::path::Path;

use feishu_pulse::app::{FleetTlsFiles, TlsFiles};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::StatusCode;
use tempfile::TempDir;

use super::gateways::{DAY, Replica, Tenant};
use crate::support::{captured_log::CapturedLog, eventually};

const NAME: &str = "feishu-pulse-fleet";

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Writes the files of a replica as cert-manager does.
    fn issue(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        for (file, text) in [("tls.crt", certificate.pem()), ("tls.key", key.serialize_pem()), ("ca.crt", self.0.pem())]
        {
            std::fs::write(folder.join(file), text).expect("written");
        }
    }

    /// A folder with the files of a replica.
    fn folder(&self, name: &str) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        self.issue(folder.path(), name);
        folder
    }
}

fn files(folder: &TempDir) -> FleetTlsFiles {
    let path = |file: &str| folder.path().join(file);
    let pair = TlsFiles { certificate: path("tls.crt"), key: path("tls.key") };
    FleetTlsFiles { pair, authorities: path("ca.crt"), name: NAME.try_into().expect("a name") }
}

async fn leader(tenant: &Tenant, tls: Option<FleetTlsFiles>) -> Replica {
    let leader = tenant.replica_with_tls(tls).await;
    eventually(async || leader.leads().await).await;
    leader
}

/// A follower with these files gets no day from the leader, and logs the reason.
async fn assert_refused(tenant: &Tenant, follower: Option<FleetTlsFiles>, reason: &str) {
    let (log, _guard) = CapturedLog::start("warn");
    let follower = tenant.replica_with_tls(follower).await;

    assert_eq!(follower.get(DAY).await.status, StatusCode::SERVICE_UNAVAILABLE);

    assert_eq!(tenant.calls(), 0);
    let lines = log.lines("the leader does not answer this replica");
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(reason)), "{lines:?}");
}

#[tokio::test]
async fn a_follower_gets_days_and_passes_requests_on_over_tls() {
    let (tenant, authority) = (Tenant::new().await, Authority::new());
    let [first, second] = [(); 2].map(|()| authority.folder(NAME));
    let leader = leader(&tenant, Some(files(&first))).await;
    let follower = tenant.replica_with_tls(Some(files(&second))).await;

    let day = follower.get(DAY).await.json();

    assert_eq!(day["data"], leader.get(DAY).await.json()["data"]);
    assert_eq!(follower.get("/v1/backfills").await.status, StatusCode::OK);
    let metrics = follower.get("/metrics").await.text;
    assert!(metrics.contains("forwarded_total{request=\"day\",outcome=\"answered\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_leader_of_another_authority_is_refused() {
    let (tenant, [first, second]) = (Tenant::new().await, [(); 2].map(|()| Authority::new().folder(NAME)));
    let _leader = leader(&tenant, Some(files(&first))).await;
    assert_refused(&tenant, Some(files(&second)), "invalid peer certificate").await;
}

#[tokio::test]
async fn a_leader_of_another_name_is_refused() {
    let (tenant, authority) = (Tenant::new().await, Authority::new());
    let [first, second] = ["other", NAME].map(|name| authority.folder(name));
    let _leader = leader(&tenant, Some(files(&first))).await;
    assert_refused(&tenant, Some(files(&second)), "not valid for name \"feishu-pulse-fleet\"").await;
}

#[tokio::test]
async fn a_follower_of_another_authority_is_refused() {
    let (tenant, [first, second]) = (Tenant::new().await, [(); 2].map(|()| Authority::new().folder(NAME)));
    let _leader = leader(&tenant, Some(files(&first))).await;
    // The follower trusts the authority of the leader, but its own certificate is from another one.
    std::fs::copy(first.path().join("ca.crt"), second.path().join("ca.crt")).expect("copied");
    let (log, _guard) = CapturedLog::start("error");
    let follower = tenant.replica_with_tls(Some(files(&second))).await;

    assert_eq!(follower.get(DAY).await.status, StatusCode::SERVICE_UNAVAILABLE);

    assert_eq!((tenant.calls(), log.lines("other replicas refuse the certificate").len()), (0, 1));
}

#[tokio::test]
async fn replicas_with_and_without_tls_refuse_each_other() {
    let (tenant, folder) = (Tenant::new().await, Authority::new().folder(NAME));
    let _leader = leader(&tenant, Some(files(&folder))).await;
    assert_refused(&tenant, None, "the leader serves TLS, but this replica has no certificate").await;
    let tenant = Tenant::new().await;
    let _leader = leader(&tenant, None).await;
    assert_refused(&tenant, Some(files(&folder)), "the leader serves no TLS, but this replica has a certificate").await;
}

#[tokio::test]
async fn plain_http_and_clients_without_a_certificate_get_no_answer() {
    let (tenant, folder) = (Tenant::new().await, Authority::new().folder(NAME));
    let leader = leader(&tenant, Some(files(&folder))).await;
    let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().expect("a client");
    for scheme in ["http", "https"] {
        let answer = http.get(format!("{scheme}://{}/livez", leader.fleet_address)).send().await;
        assert!(answer.is_err(), "{scheme}: {answer:?}");
    }
}

#[tokio::test]
async fn a_new_certificate_that_other_replicas_refuse_is_not_used() {
    let (tenant, authority) = (Tenant::new().await, Authority::new());
    let [first, second] = [(); 2].map(|()| authority.folder(NAME));
    let (log, _guard) = CapturedLog::start("error");
    let _leader = leader(&tenant, Some(files(&first))).await;

    authority.issue(first.path(), "other");
    eventually(async || !log.lines("other replicas refuse the certificate").is_empty()).await;

    let follower = tenant.replica_with_tls(Some(files(&second))).await;
    assert_eq!(follower.get(DAY).await.status, StatusCode::OK);
}

#[tokio::test]
async fn renewed_certificates_are_used_by_both_sides() {
    let (tenant, authority, renewed) = (Tenant::new().await, Authority::new(), Authority::new());
    let [first, second] = [(); 2].map(|()| authority.folder(NAME));
    let _leader = leader(&tenant, Some(files(&first))).await;
    // This replica has requested no day yet, so it has no connection for days.
    let follower = tenant.replica_with_tls(Some(files(&second))).await;

    for folder in [&first, &second] {
        renewed.issue(folder.path(), NAME);
    }

    let third = renewed.folder(NAME);
    let newcomer = tenant.replica_with_tls(Some(files(&third))).await;
    for replica in [newcomer, follower] {
        eventually(async || replica.get(DAY).await.status == StatusCode::OK).await;
    }
}
