//! Who is not let in, and is told why; TLS and signed requests.

use crate::lab::{INVISIBLE, POLL, Plan, SECOND, SOON, ignorant, message, take, wait_until};
use crate::lab_of;
use rocketmq::admin::TopicKind;
use rocketmq::{Access, Error, SimpleConsumer, Subscription, Verdict};
use services::Service;
use tokio::time::Instant;

pub async fn a_client_without_a_broker_or_with_the_wrong_key_is_told_why() {
    let mut lab = lab_of("strangers");
    let topic = lab.topic("strangers", TopicKind::Transaction).await;
    let quick = |access: Access| access.with_start_limit(5 * SECOND);
    let start = async |access: Access| {
        let since = Instant::now();
        let error = ignorant(quick(access), &topic).await.err().expect("refused");
        assert!(since.elapsed() < 7 * SECOND, "{:?}", since.elapsed());
        error
    };
    let nobody = Access::new("rocketmq://127.0.0.1:1").expect("a URL");
    let error = start(nobody).await;
    assert!(matches!(&error, Error::NotSent(what) if what.contains("Is the proxy up")), "{error}");
    // The remoting port listens and speaks another language.
    let error = start(Access::new(&format!("rocketmq://127.0.0.1:{}", lab.set.ports.broker)).expect("a URL")).await;
    assert!(error.had_no_effect(), "{error}");
    let error = start(Access::new(&format!("rocketmqs://127.0.0.1:{}", lab.set.ports.namesrv)).expect("a URL")).await;
    assert!(error.had_no_effect(), "{error}");

    lab.admin.create_group("strangers", 17, false).await.expect("a group");
    lab.kill9(Service::Broker).await;
    lab.set = with_authentication(lab.set.clone());
    lab.up(Service::Broker).await;
    // The broker answers before it has made its first user.
    let signed = || lab.access().with_credentials("hotcake", "secret").expect("legal");
    wait_until(SOON, async || ignorant(signed(), &topic).await.is_ok()).await;
    for (key, secret) in [("hotcake", "wrong"), ("nobody", "secret")] {
        let error = start(lab.access().with_credentials(key, secret).expect("legal")).await;
        assert!(matches!(&error, Error::Refused { .. }) && error.to_string().contains("secret"), "{error}");
    }
    let error = start(lab.access()).await;
    assert!(matches!(&error, Error::Refused { .. }), "{error}");
    let admin = lab.admin.clone();
    assert!(matches!(admin.create_topic("unsigned", TopicKind::Normal, 4).await, Err(Error::Refused { .. })));
    let admin = admin.with_credentials("hotcake", "secret").expect("legal");
    admin.create_topic("signed", TopicKind::Normal, 4).await.expect("signed requests are heard");
}

fn with_authentication(set: services::Set) -> services::Set {
    let user = r#"{"username":"hotcake","password":"secret"}"#;
    let inner = r#"{"accessKey":"hotcake","secretKey":"secret"}"#;
    let provider = "org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider";
    set.with_broker_setting("authenticationEnabled", true)
        .with_broker_setting("authenticationMetadataProvider", provider)
        .with_broker_setting("initAuthenticationUser", user)
        .with_broker_setting("innerClientAuthenticationCredentials", inner)
        .with_proxy_setting("authenticationEnabled", true)
        .with_proxy_setting("authenticationMetadataProvider", "org.apache.rocketmq.proxy.auth.ProxyAuthenticationMetadataProvider")
        .with_proxy_setting("innerClientAuthenticationCredentials", inner)
}

pub async fn tls_and_signed_requests_work_and_plaintext_is_told_apart() {
    let mut lab = lab_of("tls");
    let topic = lab.topic("sealed", TopicKind::Transaction).await;
    let group = lab.group("sealed").await;
    lab.kill9(Service::Broker).await;
    let authority = rcgen::CertifiedIssuer::self_signed(
        {
            let mut parameters = rcgen::CertificateParams::default();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters
        },
        rcgen::KeyPair::generate().expect("a key"),
    )
    .expect("an authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate =
        rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name").signed_by(&key, &authority).expect("signed");
    let directory = tempfile::tempdir().expect("a directory");
    let (key_path, certificate_path) = (directory.path().join("key.pem"), directory.path().join("certificate.pem"));
    std::fs::write(&key_path, key.serialize_pem()).expect("writes");
    std::fs::write(&certificate_path, certificate.pem()).expect("writes");
    lab.set = with_authentication(lab.set.clone())
        .with_java_option("-Dtls.server.mode=enforcing")
        .with_proxy_setting("tlsTestModeEnable", false)
        .with_proxy_setting("tlsKeyPath", key_path.display().to_string())
        .with_proxy_setting("tlsCertPath", certificate_path.display().to_string());
    lab.up(Service::Broker).await;
    let sealed = || {
        let access = lab.access().with_start_limit(5 * SECOND).with_ca(authority.pem().as_bytes());
        access.with_credentials("hotcake", "secret").expect("legal")
    };
    // The broker answers before it has made its first user.
    wait_until(SOON, async || ignorant(sealed(), &topic).await.is_ok()).await;
    let consumer = SimpleConsumer::start(sealed(), &group, &[Subscription::all(&*topic)], POLL).await.expect("a consumer");
    assert!(consumer.receive(&topic, 1, INVISIBLE).await.expect("nothing yet").is_empty());
    let plan = Plan::default();
    plan.say("asked", &[Verdict::Commit]);
    let producer = plan.producer(sealed(), &topic).await;
    drop(producer.prepare(&message(&topic, "asked")).await.expect("stored"));
    producer.prepare(&message(&topic, "told")).await.expect("stored").commit().await.expect("told");
    let delivery = take(&consumer, &topic, "told").await;
    assert_eq!(consumer.ack(&[delivery]).await, [Ok(())]);
    take(&consumer, &topic, "asked").await;

    let start = async |access: Access| {
        let access = access.with_start_limit(5 * SECOND).with_credentials("hotcake", "secret").expect("legal");
        ignorant(access, &topic).await.err().expect("refused")
    };
    let plain = start(lab.access()).await;
    assert!(plain.had_no_effect() && plain.to_string().contains("If it demands TLS, use rocketmqs://"), "{plain}");
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate").cert.pem();
    let distrusted = start(lab.access().with_ca(stranger.as_bytes())).await;
    assert!(matches!(&distrusted, Error::NotSent(what) if what.contains("vouch")), "{distrusted}");
    let nonsense = start(lab.access().with_ca(b"no certificate")).await;
    assert!(matches!(&nonsense, Error::Illegal(what) if what.contains("no certificate")), "{nonsense}");
}
