//! What a certificate says (X.509, RFC 5280), as far as anybody here wants to know

use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A name in a certificate, of which a client gets its user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// The first common name of the subject.
    CommonName,
    /// The first alternative name that is a host's.
    Dns,
    /// The first that is a mailbox.
    Email,
    /// The first that is an URI.
    Uri,
}

/// A certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: `CN=broker.example.org`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970.
    pub not_after: i64,
    /// Whether others may be signed with its key.
    pub is_authority: bool,
    /// The common names in the subject, in their order.
    pub common_names: Vec<String>,
    /// The alternative names of the subject, in their order.
    pub alternative_names: Vec<AlternativeName>,
}

/// Another name of whom a certificate is for (RFC 5280, 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host.
    Dns(String),
    /// A mailbox.
    Email(String),
    /// An URI.
    Uri(String),
    /// An IP address.
    Address(std::net::IpAddr),
}

impl Certificate {
    /// Reads it (DER).
    ///
    /// # Errors
    ///
    /// It is none, for people.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, found) =
            X509Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
        let names =
            found.subject_alternative_name().map_err(|error| format!("alternative names: {error}"))?;
        let names = names.iter().flat_map(|names| &names.value.general_names);
        Ok(Self {
            subject: found.subject().to_string(),
            issuer: found.issuer().to_string(),
            not_before: found.validity().not_before.timestamp(),
            not_after: found.validity().not_after.timestamp(),
            is_authority: found.is_ca(),
            common_names: found
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok().map(str::to_owned))
                .collect(),
            alternative_names: names.filter_map(alternative_name).collect(),
        })
    }
}

impl Certificate {
    /// The user name that it gives whoever shows it: 1 to 255 bytes, without control characters.
    pub fn name(&self, naming: Naming) -> Option<&str> {
        let mut others = self.alternative_names.iter();
        let name = match naming {
            Naming::CommonName => self.common_names.first().map(String::as_str),
            Naming::Dns => others.find_map(|name| match name {
                AlternativeName::Dns(name) => Some(name.as_str()),
                AlternativeName::Email(_) | AlternativeName::Uri(_) | AlternativeName::Address(_) => None,
            }),
            Naming::Email => others.find_map(|name| match name {
                AlternativeName::Email(name) => Some(name.as_str()),
                AlternativeName::Dns(_) | AlternativeName::Uri(_) | AlternativeName::Address(_) => None,
            }),
            Naming::Uri => others.find_map(|name| match name {
                AlternativeName::Uri(name) => Some(name.as_str()),
                AlternativeName::Dns(_) | AlternativeName::Email(_) | AlternativeName::Address(_) => None,
            }),
        };
        name.filter(|name| (1..=255).contains(&name.len()) && !name.contains(char::is_control))
    }
}

/// `None`: of a kind that means nothing here.
fn alternative_name(name: &GeneralName<'_>) -> Option<AlternativeName> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "not ours: all other kinds mean nothing here")]
    match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Dns((*name).to_owned())),
        GeneralName::RFC822Name(name) => Some(AlternativeName::Email((*name).to_owned())),
        GeneralName::URI(name) => Some(AlternativeName::Uri((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let sixteen = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            four.or(sixteen).ok().map(AlternativeName::Address)
        }
        _ => None,
    }
}
