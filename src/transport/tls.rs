use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::TransportOptions;
use crate::error::{Error, Result};

/// TLS is ring's, whichever client comes first.
pub fn choose_provider() {
    // The second time it is chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What both transports speak TLS with, so that they trust the same certificates.
///
/// # Errors
/// If the file of additional certificates cannot be used.
pub fn client_config(options: &TransportOptions) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::harness(format!("cannot set up TLS: {e}")))?;
    let builder = if options.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAll(provider)))
    } else {
        let mut roots = native_roots().clone();
        if let Some(path) = &options.ca_file {
            let fail =
                |reason: String| Error::input(path, "read certificates", reason).with_hint("expected PEM");
            let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect)
                .map_err(|e| fail(e.to_string()))?;
            if found.is_empty() {
                return Err(fail("there is no certificate in it".into()));
            }
            for certificate in found {
                roots.add(certificate).map_err(|e| fail(e.to_string()))?;
            }
        }
        builder.with_root_certificates(roots)
    };
    let mut config = match &options.client_identity {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            let fail = |path: &std::path::Path, reason: String| {
                Error::input(path, "use client certificate", reason).with_hint("expected PEM")
            };
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificates)
                .and_then(Iterator::collect)
                .map_err(|e| fail(certificates, e.to_string()))?;
            if chain.is_empty() {
                return Err(fail(certificates, "there is no certificate in it".into()));
            }
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| fail(key, e.to_string()))?;
            builder.with_client_auth_cert(chain, key_der).map_err(|e| fail(key, e.to_string()))?
        }
    };
    config.alpn_protocols =
        if options.http2 { vec![b"h2".to_vec()] } else { vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
    Ok(config)
}

/// The machine's own. One without certificate authorities can still reach targets without TLS; the others then fail as TLS.
fn native_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}

/// `--insecure`: whoever answers is believed.
#[derive(Debug)]
struct AcceptAll(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
