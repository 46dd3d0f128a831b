#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]
#[path = "../support/mod.rs"]
mod support;

mod smoke {
    use crate::support::*;
    use serde_json::json;

    #[tokio::test]
    async fn echo() {
        let server = Server::new().await;
        server.io.on::<u32>("double", async |_, n| n * 2);
        let mut client = server.client().await;
        assert_eq!(client.request("double", json!(21)).await, Ok(json!(42)));
        client.expect_nothing().await;
        client.close().await;
        until("nobody is left", || server.io.stats().sockets == 0).await;
    }
}
