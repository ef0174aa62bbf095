//! Sends mails by a server, and says what a failure means for the next attempt.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::time::timeout;

use super::settings::{MailFrom, SmtpUrl};

/// How long a connection is waited for, and whether it is good.
const CONNECTING_WITHIN: Duration = Duration::from_secs(30);

/// How long a mail may take. The transport's own limit is for connecting alone, and a server may fall silent at any time.
const SENDING_WITHIN: Duration = Duration::from_secs(120);

/// A mail to one person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    pub(crate) html: String,
    /// What tells it from all others, before the `@`.
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    /// Where one click ends such mails.
    pub(crate) unsubscribe: String,
}

/// Why a mail was not sent, by what can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSent {
    /// The server does not have it. It may be sent again.
    #[error("the mail server could not take it: {reason}")]
    Failed { reason: String },
    /// The server does not want it. Sending it again will not help.
    #[error("the mail server refused it: {reason}")]
    Refused { reason: String },
    /// Nobody knows whether the server has it. It must not be sent again.
    #[error("the connection to the mail server broke: {reason}")]
    Unknown { reason: String },
}

/// A server that sends mails.
pub(crate) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// Fails with words for whoever configures it.
    pub(crate) fn new(url: &SmtpUrl, from: &MailFrom) -> Result<Self, String> {
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.as_str());
        let builder = builder.map_err(|error| format!("the mail server cannot be used: {}", words(&error)))?;
        Ok(Self { transport: builder.timeout(Some(CONNECTING_WITHIN)).build(), from: from.0.clone() })
    }

    /// Whether the server answers and lets this one in, in words if not. What fails here has cost no attempt.
    pub(crate) async fn reach(&self) -> Result<(), String> {
        match timeout(CONNECTING_WITHIN, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("it does not answer as a mail server does".to_owned()),
            Ok(Err(error)) => Err(words(&error)),
            Err(_) => Err(format!("it did not answer within {} s", CONNECTING_WITHIN.as_secs())),
        }
    }

    pub(crate) async fn send(&self, letter: &Letter) -> Result<(), NotSent> {
        let message = self.message(letter).map_err(|reason| NotSent::Refused { reason })?;
        match timeout(SENDING_WITHIN, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Err(_) => {
                Err(NotSent::Unknown { reason: format!("it did not answer within {} s", SENDING_WITHIN.as_secs()) })
            }
            Ok(Err(error)) => {
                let reason = words(&error);
                Err(match error {
                    // The server said so, whatever it was asked: then it has not taken the mail.
                    error if error.is_permanent() => NotSent::Refused { reason },
                    error if error.is_transient() || error.is_client() || error.is_tls() => NotSent::Failed { reason },
                    _ => NotSent::Unknown { reason },
                })
            }
        }
    }

    /// The mail as it goes out. Fails with words for whoever put its address down.
    fn message(&self, letter: &Letter) -> Result<Message, String> {
        let address: Address = letter.to.parse().map_err(|error| format!("{} is no address: {error}", letter.to))?;
        // Addresses in ASCII, which need no encoding and would be of no use in one.
        let header = |name: &'static str, value: String| {
            HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
        };
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(letter.subject.clone())
            .date(letter.at.into())
            .message_id(Some(format!("<{}@{}>", letter.id, self.from.email.domain())))
            // No vacation answers to this.
            .raw_header(header("Auto-Submitted", "auto-generated".to_owned()))
            // RFC 8058: a button of the mail program ends it.
            .raw_header(header("List-Unsubscribe", format!("<{}>", letter.unsubscribe)))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()))
            .multipart(MultiPart::alternative_plain_html(letter.text.clone(), letter.html.clone()));
        message.map_err(|error| error.to_string())
    }
}

/// An error with its causes, without what it says twice.
fn words(error: &smtp::Error) -> String {
    lake::whole_text(error)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// The clock is not real: it goes on as soon as nothing else does.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_keeps_nobody_waiting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}?tls=none", listener.local_addr().unwrap());
        let smtp = Smtp::new(&url.parse().unwrap(), &"reports@stats.example".parse().unwrap()).unwrap();
        assert_eq!(smtp.reach().await, Err("it did not answer within 30 s".to_owned()));
        let letter = Letter {
            to: "ada@example.com".into(),
            subject: "Last week".into(),
            text: "1".into(),
            html: "<p>1</p>".into(),
            id: "1".into(),
            at: DateTime::UNIX_EPOCH,
            unsubscribe: "https://stats.example/unsubscribe".into(),
        };
        assert!(matches!(smtp.send(&letter).await, Err(NotSent::Unknown { .. })));
    }
}
