//! Cert: certificates to try TLS with, and what a certificate says

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use transport::tls::certificate::{AlternativeName, Certificate};
use transport::tls::pem::certificates;

use crate::failure::Failure;
use crate::manage::tell::{end, print};
use crate::output::stamp::rfc3339;

/// Certificates.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = EXAMPLES)]
pub struct CertArgs {
    #[command(subcommand)]
    action: CertAction,
}

#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
enum CertAction {
    /// Make an authority of your own, and certificates by it: for trying TLS out, and for tests. What is there already is kept.
    Dev {
        /// Where the files are, or are to be.
        #[arg(default_value = "duetmq-tls")]
        dir: PathBuf,
        /// A name or an address by which clients know the broker, beside localhost, 127.0.0.1 and ::1; may be given several times. The
        /// broker's certificate is made anew.
        #[arg(long, value_name = "HOST")]
        host: Vec<String>,
        /// Also a certificate for a client of this name; may be given several times.
        #[arg(long, value_name = "NAME")]
        client: Vec<String>,
    },
    /// Show what the certificates of a file say.
    Show {
        /// A file of certificates (PEM).
        file: PathBuf,
    },
}

/// Does what the arguments say; exit code 0, 1 or 2.
pub fn run_cert(args: CertArgs) -> ExitCode {
    end(match args.action {
        CertAction::Dev { dir, host, client } => make(&dir, &host, &client).and_then(|text| print(&text)),
        CertAction::Show { file } => show(&file).and_then(|text| print(&text)),
    })
}

/// Makes what is missing, and says what there is now.
fn make(dir: &Path, hosts: &[String], clients: &[String]) -> Result<String, Failure> {
    for name in clients {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if !(1..=64).contains(&name.len()) || !name.chars().all(is_plain) || name.starts_with('.') {
            let text = format!(
                "--client {name:?}: a name is 1 to 64 letters, digits, '-', '_', '.' and '@', for a file is called by it"
            );
            return Err(Failure::usage(text));
        }
    }
    let made = DirBuilder::new().mode(0o700).recursive(true).create(dir);
    made.map_err(|error| Failure::runtime(format!("{}: {error}", dir.display())))?;
    let authority = authority(dir)?;
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(hosts.iter().cloned());
    let mut text = String::new();
    let mut line = |file: &Path, what: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:<40}  {what}", file.display().to_string());
    };
    line(&dir.join("ca.pem"), "the authority: clients take it as --cafile");
    if !hosts.is_empty() || !dir.join("server.pem").exists() {
        let mut params = params("DuetMQ for development", names.clone())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        sign(dir, "server", params, &authority)?;
    }
    line(&dir.join("server.pem"), "the broker's certificate; its key is server.key");
    for name in clients {
        let file = format!("client-{name}");
        if !dir.join(format!("{file}.pem")).exists() {
            let mut params = params(name, Vec::new())?;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            sign(dir, &file, params, &authority)?;
        }
        line(&dir.join(format!("{file}.pem")), &format!("of the client {name}; its key is {file}.key"));
    }
    let shown = dir.display();
    let _ = write!(
        text,
        "\nFor the configuration of the broker, with tls = \"default\" in a [[listener]]:\n\n[tls.default]\n\
         cert = \"{shown}/server.pem\"\nkey = \"{shown}/server.key\"\n"
    );
    if !clients.is_empty() {
        let _ = write!(text, "client_ca = \"{shown}/ca.pem\"\nclient_auth = \"optional\"\n");
    }
    let _ = write!(
        text,
        "\nOr at once:\n\n  duetmq serve --dev --listen mqtts:// --set tls.default.cert={shown}/server.pem \
         --set tls.default.key={shown}/server.key\n  duetmq pub -u mqtts://localhost --cafile {shown}/ca.pem -t a/b -m hello\n"
    );
    Ok(text)
}

/// The one that is there, or a new one.
fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    if certificate.exists() || key.exists() {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| Failure::runtime(format!("{}: {error}", path.display())))
        };
        let odd = |error: rcgen::Error| {
            let text = format!("{} and {}: {error}", certificate.display(), key.display());
            Failure::runtime(text)
        };
        let pair = KeyPair::from_pem(&read(&key)?).map_err(odd)?;
        return Issuer::from_ca_cert_pem(&read(&certificate)?, pair).map_err(odd);
    }
    let mut params = params("DuetMQ authority for development", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_after = later(AUTHORITY_LIFE);
    let pair = pair()?;
    let signed = params.self_signed(&pair).map_err(|error| Failure::runtime(error.to_string()))?;
    write(&key, &pair.serialize_pem(), 0o600)?;
    write(&certificate, &signed.pem(), 0o644)?;
    Ok(Issuer::new(params, pair))
}

/// A new key and its certificate; the key is there first, and whole.
fn sign(
    dir: &Path,
    name: &str,
    params: CertificateParams,
    authority: &Issuer<'static, KeyPair>,
) -> Result<(), Failure> {
    let pair = pair()?;
    let signed = params.signed_by(&pair, authority).map_err(|error| Failure::runtime(error.to_string()))?;
    write(&dir.join(format!("{name}.key")), &pair.serialize_pem(), 0o600)?;
    write(&dir.join(format!("{name}.pem")), &signed.pem(), 0o644)
}

fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(hosts.clone())
        .map_err(|error| Failure::usage(format!("--host {}: {error}", hosts.join(", "))))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Clocks differ.
    params.not_before = (SystemTime::now() - Duration::from_secs(3600)).into();
    params.not_after = later(LIFE);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn pair() -> Result<KeyPair, Failure> {
    KeyPair::generate().map_err(|error| Failure::runtime(format!("no key: {error}")))
}

fn later<T: From<SystemTime>>(by: Duration) -> T {
    (SystemTime::now() + by).into()
}

/// In one step: a broker that looks never sees half a file, and nobody ever sees a key that he may not.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let new = path.with_added_extension("new");
    let written = (|| -> io::Result<()> {
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(|error| Failure::runtime(format!("{}: {error}", path.display())))
}

fn show(file: &Path) -> Result<String, Failure> {
    let found = certificates(file).map_err(|error| Failure::runtime(error.to_string()))?;
    let mut text = String::new();
    for (number, der) in found.iter().enumerate() {
        let read = Certificate::read(der);
        let one = read.map_err(|error| Failure::runtime(format!("{}: {error}", file.display())))?;
        if number > 0 {
            text.push('\n');
        }
        describe(&one, SystemTime::now(), &mut text);
    }
    Ok(text)
}

fn describe(one: &Certificate, now: SystemTime, text: &mut String) {
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let day = |seconds: i64| rfc3339(at(seconds)).chars().take(10).collect::<String>();
    let state = match (at(one.not_before) > now, at(one.not_after).duration_since(now)) {
        (true, _) => "not yet valid".to_owned(),
        (false, Err(_)) => "expired".to_owned(),
        (false, Ok(left)) => format!("{} days left", left.as_secs() / 86_400),
    };
    let names = one.alternative_names.iter().map(|name| match name {
        AlternativeName::Dns(name) => name.clone(),
        AlternativeName::Email(name) => format!("email:{name}"),
        AlternativeName::Uri(name) => format!("uri:{name}"),
        AlternativeName::Address(address) => IpAddr::to_string(address),
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let lines = [
        ("subject", one.subject.as_str()),
        ("issuer", one.issuer.as_str()),
        ("valid", &format!("{} to {}, {state}", day(one.not_before), day(one.not_after))),
        ("names", if names.is_empty() { "none" } else { &names }),
        ("kind", if one.is_authority { "authority" } else { "certificate" }),
    ];
    for (what, value) in lines {
        // What others wrote must not reach into the terminal.
        let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(text, "{what:<8} {value}");
    }
}

/// Browsers believe no certificate of a server that is for longer.
const LIFE: Duration = Duration::from_secs(398 * 86_400);

const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 86_400);

const EXAMPLES: &str = "\
Examples:
  duetmq cert dev                             an authority and a certificate for this machine, in duetmq-tls/
  duetmq cert dev --host broker.local --client device-7
  duetmq cert show duetmq-tls/server.pem      whose it is, by whom, for which names, until when

Exit codes: 0 done, 1 failed, 2 usage.";
