//! What a gateway's handlers take beside the payload, in any order; and what is answered where it is missing.

use std::sync::{Arc, Mutex};

use eventwire::{
    Auth, DisconnectReason, Error, Ext, FromSocket, Handshake, Io, Principal, Refusal, Socket, SocketId, State, gateway,
};
use serde_json::{Value, json};

use crate::support::*;

struct Name(String);

struct Db {
    rows: usize,
}

struct Claims {
    user: String,
}

impl Principal for Claims {
    fn user(&self) -> &str {
        &self.user
    }
}

struct Language(String);

impl FromSocket for Language {
    fn from_socket(socket: &Socket) -> Result<Self, Error> {
        let asked = socket.handshake().query_param("lang");
        asked.map(Language).ok_or_else(|| Error::new("no_language", "connect with ?lang="))
    }
}

#[derive(Default)]
struct Desk {
    log: Mutex<Vec<String>>,
}

#[gateway]
impl Desk {
    #[on("name")]
    async fn name(name: String, socket: Socket) {
        socket.extensions().insert(Name(name));
    }

    /// The payload stands in the middle.
    #[allow(clippy::too_many_arguments)]
    #[on("all")]
    async fn all(
        &self,
        State(db): State<Db>,
        io: Io,
        text: String,
        Ext(name): Ext<Name>,
        id: SocketId,
        socket: Socket,
        auth: Auth<Claims>,
        handshake: Handshake,
        #[from_socket] Language(language): Language,
    ) -> Value {
        assert_eq!((id, io.sockets().len(), handshake.path()), (socket.id(), 1, "/ws"));
        json!([text, db.rows, name.0, auth.user, language])
    }

    #[on("ext")]
    async fn ext(&self, _name: Ext<Name>) {}

    #[on("state")]
    async fn state(&self, _state: State<Vec<Db>>) {}

    #[on("auth")]
    async fn auth(&self, auth: Auth<Claims>) -> String {
        auth.user.clone()
    }

    #[on("language")]
    async fn language(&self, #[from_socket] language: Language) -> String {
        language.0
    }

    #[on("perhaps")]
    async fn perhaps(&self, name: Option<Ext<Name>>, auth: Option<Auth<Claims>>, number: Option<u8>) -> Vec<bool> {
        vec![name.is_some(), auth.is_some(), number.is_some()]
    }

    /// A payload that is called like something else.
    #[on("payload")]
    async fn payload(&self, #[payload] id: SocketId) -> String {
        id.to_string()
    }

    #[on("nothing")]
    async fn nothing() -> &'static str {
        "here"
    }

    #[on("arc")]
    async fn arc(self: Arc<Self>) -> usize {
        tokio::spawn(async move { self.log.lock().unwrap().len() }).await.unwrap()
    }

    #[disconnect]
    async fn left(&self, why: DisconnectReason, Ext(name): Ext<Name>) {
        self.log.lock().unwrap().push(format!("{} left: {why:?}", name.0));
    }

    #[disconnect]
    async fn anybody_left(&self) {
        self.log.lock().unwrap().push("somebody left".into());
    }
}

async fn start() -> (Server, Arc<Desk>) {
    let io = Io::new();
    io.authenticate(|handshake: Handshake| async move {
        Ok::<_, Refusal>(handshake.query_param("user").map(|user| Claims { user }))
    });
    let desk = io.gateway(Desk::default()).unwrap();
    (Server::of(io).await, desk)
}

#[tokio::test]
async fn they_are_found_in_any_order() {
    let (server, _) = start().await;
    server.io.extensions().insert(Db { rows: 7 });
    let mut client = Client::connect(server.address, "/ws?user=ann&lang=de").await;
    client.request("name", json!("Ann")).await.unwrap();
    assert_eq!(client.request("all", json!("hello")).await, Ok(json!(["hello", 7, "Ann", "ann", "de"])));
    assert_eq!(client.request("perhaps", json!(1)).await, Ok(json!([true, true, true])));
    assert_eq!(client.request("payload", json!(client.id)).await, Ok(json!(client.id)));
    assert_eq!(client.request("nothing", Value::Null).await, Ok(json!("here")));
    assert_eq!(client.request("arc", Value::Null).await, Ok(json!(0)));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let (server, _) = start().await;
    let mut client = server.client().await;
    for (event, code, missing) in [
        ("ext", "not_found", "Ext<Name>"),
        ("state", "internal", "State<Vec<Db>>"),
        ("auth", "forbidden", "Auth<Claims>"),
    ] {
        let refused = client.request(event, Value::Null).await.unwrap_err();
        assert_eq!((&refused["code"], &refused["details"]["missing"]), (&json!(code), &json!(missing)));
        let inner = missing.split_once('<').unwrap().1.strip_suffix('>').unwrap();
        assert!(refused["message"].as_str().unwrap().contains(&format!("`{inner}`")), "{refused}");
    }
    // A user of another type is a mistake of the server's.
    server.io.authenticate(|_| async { Ok(String::from("ann")) });
    let mut ann = server.client().await;
    assert_eq!(ann.request("auth", Value::Null).await.unwrap_err()["code"], "internal");
    assert_eq!(client.request("language", Value::Null).await.unwrap_err()["code"], "no_language");
    assert_eq!(client.request("perhaps", Value::Null).await, Ok(json!([false, false, false])));
    // A payload that cannot be read is told before.
    assert_eq!(client.request("all", json!(1)).await.unwrap_err()["code"], "invalid_payload");
    assert_eq!(client.request("nothing", json!(1)).await.unwrap_err()["code"], "invalid_payload", "it takes none");
    // Without an id, the refusal names the event.
    client.send("ext", Value::Null).await;
    assert_eq!(client.expect("error").await["event"], "ext");
}

#[tokio::test]
async fn who_left_without_it_is_passed_over() {
    let (server, desk) = start().await;
    let (mut ann, ben) = (server.client().await, server.client().await);
    ann.request("name", json!("Ann")).await.unwrap();
    ben.close().await;
    until("ben's handlers ran", || desk.log.lock().unwrap().len() == 1).await;
    assert_eq!(*desk.log.lock().unwrap(), ["somebody left"]);
    ann.close().await;
    until("ann's handlers ran", || desk.log.lock().unwrap().len() == 3).await;
    let log = desk.log.lock().unwrap();
    assert_eq!(log[1..], [format!("Ann left: {:?}", DisconnectReason::Client(1005)), "somebody left".to_owned()]);
}
