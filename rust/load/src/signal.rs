//! The director's requests and replies, and the messages of the signalling socket.

use serde_json::{Map, Value, json};

use crate::recording::Codec;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receive a stream.
    View {
        /// The account that owns it.
        account: String,
        /// Its name without the account.
        stream: String,
        /// Subscribe token, when the stream wants one.
        token: Option<String>,
    },
    /// Send one source of a stream.
    Publish {
        /// Its name without the account.
        stream: String,
        /// Publish token.
        token: String,
        /// `None` is the main source.
        source: Option<String>,
        /// Of the video.
        codec: Codec,
    },
}

impl Role {
    /// Path and body of the director's request.
    pub fn director(&self) -> (&'static str, String) {
        match self {
            Self::View { account, stream, .. } => (
                "/api/director/subscribe",
                json!({"streamAccountId": account, "streamName": stream}).to_string(),
            ),
            Self::Publish { stream, .. } => (
                "/api/director/publish",
                json!({"streamName": stream, "streamType": "WebRtc"}).to_string(),
            ),
        }
    }

    /// The bearer token, if any.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::View { token, .. } => token.as_deref(),
            Self::Publish { token, .. } => Some(token),
        }
    }

    /// The first command on the socket, which carries the offer.
    pub fn first_command(&self, offer: &str) -> String {
        match self {
            Self::View { stream, .. } => {
                let data = json!({"sdp": offer, "streamId": stream, "events": ["active", "inactive", "stopped"]});
                command(0, "view", &data)
            }
            Self::Publish {
                stream, source, codec, ..
            } => {
                let codec = codec.name().to_lowercase();
                let mut data = json!({"name": stream, "sdp": offer, "codec": codec});
                if let (Some(source), Value::Object(data)) = (source, &mut data) {
                    data.insert("sourceId".to_owned(), json!(source));
                }
                command(0, "publish", &data)
            }
        }
    }
}

fn command(number: u64, name: &str, data: &Value) -> String {
    json!({"type": "cmd", "transId": number, "name": name, "data": data}).to_string()
}

/// Show the video of `source` in the m-line `mid`.
pub fn project(number: u64, source: &str, mid: &str) -> String {
    let mapping = json!([{"media": "video", "mediaId": mid}]);
    command(number, "project", &json!({"sourceId": source, "mapping": mapping}))
}

/// Where to go on, from the director's reply: the URL of the socket with the token in it.
///
/// # Errors
/// The server's own words, or what is wrong with them.
pub fn socket_url(status: u16, body: &str) -> Result<String, String> {
    let reply: Value = serde_json::from_str(body).map_err(|_| format!("HTTP {status} without JSON"))?;
    let data = reply.get("data").and_then(Value::as_object);
    let text = |data: &Map<String, Value>, key: &str| data.get(key).and_then(Value::as_str).map(str::to_owned);
    if status != 200 || reply.get("status").and_then(Value::as_str) != Some("success") {
        let message = data.and_then(|data| text(data, "message")).unwrap_or_default();
        return Err(format!("HTTP {status}: {message}"));
    }
    let data = data.ok_or("a reply without data")?;
    let url = data.get("urls").and_then(|urls| urls.get(0)?.as_str());
    let token = text(data, "jwt").ok_or("a reply without jwt")?;
    Ok(format!("{}?token={token}", url.ok_or("a reply without urls")?))
}

/// `http://127.0.0.1:8080` or `ws://127.0.0.1:8080/ws/…` → `127.0.0.1:8080`; port 80 when there is none.
pub fn authority(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("ws://"))?;
    let host = rest.split(['/', '?']).next().filter(|host| !host.is_empty())?;
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if has_port {
        host.to_owned()
    } else {
        format!("{host}:80")
    })
}

/// What the server sends on the socket, as far as it concerns us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// The answer to the first command.
    Answer(String),
    /// A command was refused, in the server's words.
    Refused(String),
    /// A source is live; `None` is the main one.
    Active(Option<String>),
    /// Anything else.
    Other,
}

/// Read a message of the socket.
pub fn incoming(text: &str) -> Incoming {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return Incoming::Other;
    };
    let data = message.get("data").unwrap_or(&Value::Null);
    let string = |key| data.get(key).and_then(Value::as_str).map(str::to_owned);
    match message.get("type").and_then(Value::as_str) {
        Some("response") => string("sdp").map_or(Incoming::Other, Incoming::Answer),
        Some("error") => Incoming::Refused(data.as_str().map_or_else(|| data.to_string(), str::to_owned)),
        Some("event") if message.get("name").and_then(Value::as_str) == Some("active") => {
            Incoming::Active(string("sourceId"))
        }
        _ => Incoming::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_director_names_the_socket() {
        let body = r#"{"status":"success","data":{"urls":["ws://127.0.0.1:1/ws/v2/sub/ab"],"jwt":"x.y.z"}}"#;
        assert_eq!(
            socket_url(200, body).unwrap(),
            "ws://127.0.0.1:1/ws/v2/sub/ab?token=x.y.z"
        );
    }

    #[test]
    fn a_refusal_keeps_the_servers_words() {
        let body = r#"{"status":"fail","data":{"message":"stream not being published"}}"#;
        assert_eq!(
            socket_url(400, body).unwrap_err(),
            "HTTP 400: stream not being published"
        );
        assert!(socket_url(200, r#"{"status":"error"}"#).is_err());
        assert!(socket_url(500, "oops").is_err());
    }

    #[test]
    fn the_port_is_80_unless_the_url_says_otherwise() {
        assert_eq!(authority("http://127.0.0.1").as_deref(), Some("127.0.0.1:80"));
        assert_eq!(authority("ws://[::1]:8080/ws?x").as_deref(), Some("[::1]:8080"));
        assert_eq!(authority("wss://127.0.0.1"), None);
    }

    #[test]
    fn messages_are_read_as_what_they_are() {
        let read = |text: &str| incoming(text);
        assert_eq!(
            read(r#"{"type":"response","transId":0,"data":{"sdp":"v=0"}}"#),
            Incoming::Answer("v=0".into())
        );
        assert_eq!(read(r#"{"type":"response","transId":1}"#), Incoming::Other);
        assert_eq!(
            read(r#"{"type":"error","transId":1,"data":"no"}"#),
            Incoming::Refused("no".into())
        );
        let active = |source| format!(r#"{{"type":"event","name":"active","data":{{"sourceId":{source}}}}}"#);
        assert_eq!(read(&active("null")), Incoming::Active(None));
        assert_eq!(read(&active("\"cam\"")), Incoming::Active(Some("cam".into())));
        assert_eq!(read("not json"), Incoming::Other);
    }

    #[test]
    fn the_main_source_is_published_without_a_name() {
        let role = |source: Option<&str>| Role::Publish {
            stream: "demo".into(),
            token: "t".into(),
            source: source.map(str::to_owned),
            codec: Codec::Vp9,
        };
        assert!(role(None).first_command("v=0").contains(r#""codec":"vp9""#));
        assert!(!role(None).first_command("v=0").contains("sourceId"));
        assert!(role(Some("cam")).first_command("v=0").contains(r#""sourceId":"cam""#));
    }
}
