//! Where a database is, without its password ever being shown.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio_postgres::config::SslMode;
use url::{Position, Url};

use super::tls::TlsOptions;

/// A connection URL that both drivers understand.
#[derive(Clone)]
pub struct DatabaseUrl {
    url: Url,
    options: PgConnectOptions,
}

/// The text is no `postgres://` URL. It may hold a password, so it is not in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a URL of a PostgreSQL database")]
pub struct DatabaseUrlError;

impl DatabaseUrl {
    /// The URL with the password.
    pub fn expose(&self) -> &str {
        self.url.as_str()
    }

    /// For sqlx; connections say who they are in `pg_stat_activity`.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone().application_name("curia-realtime")
    }

    /// `database "forum" on db.internal:5432`, for messages.
    pub fn place(&self) -> String {
        let options = &self.options;
        let database = options.get_database().unwrap_or(options.get_username());
        match options.get_socket() {
            Some(socket) => format!("database {database:?} on the socket in {}", socket.display()),
            None => format!("database {database:?} on {}:{}", options.get_host(), options.get_port()),
        }
    }

    /// For tokio-postgres, without what concerns TLS or the other driver alone.
    pub fn listen_config(&self) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
        const SHARED: &[&str] = &["user", "password", "dbname", "host", "hostaddr", "port", "options"];
        let mut url = self.url.clone();
        let shared: Vec<_> = self.url.query_pairs().filter(|(name, _)| SHARED.contains(&name.as_ref())).collect();
        url.query_pairs_mut().clear().extend_pairs(shared);
        let mut config: tokio_postgres::Config = url.as_str().parse()?;
        config.ssl_mode(match self.options.get_ssl_mode() {
            PgSslMode::Disable | PgSslMode::Allow => SslMode::Disable,
            PgSslMode::Prefer => SslMode::Prefer,
            PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => SslMode::Require,
        });
        Ok(config)
    }

    /// What it says of TLS, in the spellings that the pool's driver takes.
    pub fn tls(&self) -> TlsOptions {
        let file = |names: &[&str]| {
            let mut pairs = self.url.query_pairs();
            pairs.find(|(name, _)| names.contains(&name.as_ref())).map(|(_, path)| PathBuf::from(path.into_owned()))
        };
        TlsOptions {
            mode: self.options.get_ssl_mode(),
            root: file(&["sslrootcert", "ssl-root-cert", "ssl-ca"]),
            certificate: file(&["sslcert", "ssl-cert"]),
            key: file(&["sslkey", "ssl-key"]),
        }
    }

    /// The role it logs in as.
    pub fn user(&self) -> &str {
        self.options.get_username()
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, DatabaseUrlError> {
        let url = Url::parse(text).map_err(|_| DatabaseUrlError)?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(DatabaseUrlError);
        }
        let options = PgConnectOptions::from_str(text).map_err(|_| DatabaseUrlError)?;
        // Neither the pool nor its TLS could tell several apart; it would look up the whole list as one name, in vain.
        if options.get_host().contains(',') {
            return Err(DatabaseUrlError);
        }
        Ok(Self { url, options })
    }
}

/// The URL with `[secret]` in the password's place.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.url))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Any URL with `[secret]` where a password stands, also among the parameters.
pub fn without_password(url: &Url) -> String {
    let mut shown = match url.password() {
        Some(_) => {
            format!("{}:[secret]@{}", &url[..Position::AfterUsername], &url[Position::BeforeHost..Position::AfterPath])
        }
        None => url[..Position::AfterPath].to_owned(),
    };
    for (place, parameter) in url.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        shown.push(if place == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => {
                shown.push_str(name);
                shown.push_str("=[secret]");
            }
            _ => shown.push_str(parameter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        for (text, shown) in [
            ("postgres://u:pw@h:1/d", "postgres://u:[secret]@h:1/d"),
            ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
            (
                "postgres://h/d?user=u&password=pw&sslmode=disable",
                "postgres://h/d?user=u&password=[secret]&sslmode=disable",
            ),
            ("postgres://:pw@h", "postgres://:[secret]@h"),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), shown);
            assert_eq!(url.expose(), text);
        }
    }

    #[test]
    fn the_place_names_host_and_database() {
        let place = |text: &str| text.parse::<DatabaseUrl>().unwrap().place();
        assert_eq!(place("postgres://u:pw@db.internal/forum"), "database \"forum\" on db.internal:5432");
        assert_eq!(place("postgres://u:pw@%2Frun%2Fpg/forum"), "database \"forum\" on the socket in /run/pg");
    }

    #[test]
    fn other_texts_are_refused() {
        let malformed = ["", "forum", "mysql://u:pw@h/d", "postgres://u:pw@h:port/d", "postgres://h/d?sslmode=maybe"];
        let several = ["postgres://u@h1,h2/d", "postgres://u@h1:5432,h2:5432/d", "postgres://u@/d?host=h1,h2"];
        for text in malformed.into_iter().chain(several) {
            assert!(text.parse::<DatabaseUrl>().is_err(), "{text}");
        }
    }
}
