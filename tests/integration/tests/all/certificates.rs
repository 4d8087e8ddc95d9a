//! Client certificates over MQTT and WebSocket: whom they let in, and who is turned away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use serde_json::json;

use crate::needs::{Need, needs};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};
use crate::tls::certificate;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "devices");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A device's certificate and key, in files.
struct Papers(PathBuf, PathBuf);

impl Papers {
    fn issued(
        folder: &Path,
        name: &str,
        by: &Authority,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (cert, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
        let mut params = CertificateParams::default();
        change(&mut params);
        let pair = KeyPair::generate().unwrap();
        fs::write(&cert, params.signed_by(&pair, by).unwrap().pem()).unwrap();
        fs::write(&key, pair.serialize_pem()).unwrap();
        Self(cert, key)
    }
}

fn named(name: &'static str) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())]
}

/// A hub whose doors ask for certificates of this authority.
fn site(ca: &Path) -> (Site, PathBuf) {
    let hub_account = r#"
[[account.room]]
name = "sealed"
gate = ["certificate"]

[[account.client]]
name = "pump"
certificates = ["pump.devices.example"]
role = "member"

[[account.client]]
name = "old"
certificates = ["old pump 7"]
role = "member"
"#;
    let mut site = Site::laid_out(Plan { hub_account: hub_account.to_owned(), ..Plan::default() });
    let own = certificate(site.folder.path(), "own");
    let mut text = fs::read_to_string(&site.hub.config).unwrap();
    for (kind, port) in [("mqtt", site.hub.mqtt), ("http", site.hub.http)] {
        let address = format!("127.0.0.1:{port}");
        text = text.replace(
            &format!("{kind} = \"{address}\""),
            &format!("{kind} = {{ address = \"{address}\", tls = true, client_ca = {ca:?} }}"),
        );
    }
    let tls = format!("[tls]\ncert = {:?}\nkey = {:?}\n\n[listen]", own.0, own.1);
    site.hub.write_config(&text.replace("[listen]", &tls));
    site.hub.start();
    (site, own.0)
}

#[test]
fn certificate_of_the_authority_lets_in_whom_it_names_and_nobody_else() {
    needs!(Need::Program("curl"), Need::Program("mosquitto_pub"), Need::Node);
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let ca = folder.path().join("devices.pem");
    fs::write(&ca, ours.pem()).unwrap();
    let (site, own) = site(&ca);
    let at = folder.path();
    let papers = |name, by: &Authority, named: Box<dyn FnOnce(&mut CertificateParams)>| {
        Papers::issued(at, name, by, named)
    };
    let pump = papers("pump", &ours, Box::new(named("pump.devices.example")));
    let old = papers(
        "old",
        &ours,
        Box::new(|params| params.distinguished_name.push(DnType::CommonName, "old pump 7")),
    );
    let unknown = papers("unknown", &ours, Box::new(named("nobody.devices.example")));
    let foreign = papers("foreign", &theirs, Box::new(named("pump.devices.example")));
    let expired = papers(
        "expired",
        &ours,
        Box::new(|params| {
            named("pump.devices.example")(params);
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }),
    );

    let publishes = |papers: Option<&Papers>, more: &[&str]| {
        let mut command = Command::new("mosquitto_pub");
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &site.hub.mqtt.to_string(),
            "-q",
            "1",
            "-t",
            "hall/x",
            "-m",
            "1",
        ]);
        command.arg("--cafile").arg(&own).args(more);
        if let Some(Papers(cert, key)) = papers {
            command.arg("--cert").arg(cert).arg("--key").arg(key);
        }
        command.output().unwrap().status.success()
    };
    assert!(publishes(Some(&pump), &[]) && publishes(Some(&old), &[]));
    assert!(publishes(None, &["-u", OWNER, "-P", PASSWORD]), "who has none shows something else");
    assert!(publishes(Some(&unknown), &["-u", OWNER, "-P", PASSWORD]), "or who is not named in it");
    for (papers, who) in [(&unknown, "not named"), (&foreign, "of another authority"), (&expired, "expired")]
    {
        assert!(!publishes(Some(papers), &[]), "{who}");
    }
    assert!(!publishes(None, &[]), "nothing at all");

    let visit = |name: &str, room: &str, papers: Option<&Papers>, credential| {
        let (cert, key) = papers.map(|Papers(cert, key)| (cert, key)).unzip();
        let url = format!("wss://127.0.0.1:{}/{ACCOUNT}/{room}", site.hub.http);
        json!({ "name": name, "url": url, "cert": cert, "key": key, "credential": credential })
    };
    let ann = json!({ "user": OWNER, "password": PASSWORD });
    let visits = [
        visit("pump", "hall", Some(&pump), None),
        visit("old", "hall", Some(&old), None),
        visit("sealed", "sealed", Some(&pump), None),
        visit("unknown", "hall", Some(&unknown), None),
        visit("foreign", "hall", Some(&foreign), None),
        visit("expired", "hall", Some(&expired), None),
        visit("nothing", "hall", None, None),
        visit("password", "hall", None, Some(&ann)),
        visit("password sealed", "sealed", None, Some(&ann)),
        visit("another's sealed", "sealed", Some(&pump), Some(&ann)),
    ];
    let asked = json!({ "ca": own, "visits": visits });
    site.client("certified", "certified.mjs", &site.hub, OWNER, asked).finish(Duration::from_secs(60));
    let ledger = site.history.ledger();
    for seen in [
        "pump: pump",
        "old: old",
        "sealed: pump",
        "unknown: not_authorised",
        "foreign: turned away",
        "expired: turned away",
        "nothing: not_authorised",
        "password: ann",
        "password sealed: not_authorised",
        "another's sealed: not_authorised",
    ] {
        assert!(ledger.has_mark(seen), "{seen}: {}", ledger.summary());
    }
}
