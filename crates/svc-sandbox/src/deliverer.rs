//! Webhooks over HTTP: signed deliveries, and the verification of a callback.

use std::sync::Arc;
use std::time::Duration;

use lib_platform::{Lifecycle, outbound};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::Config;
use crate::engine::Engine;
use crate::payload::signature;
use crate::state::Account;
use crate::world::{Answer, Post, RawPost};

/// First and longest wait between two attempts to verify a callback, in real time: nothing of the
/// business's time passes while its system is starting.
const VERIFY_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Sends webhooks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Deliverer {
    client: reqwest::Client,
    engine: Engine,
    life: Lifecycle,
    permits: Arc<Semaphore>,
    verify_token: Arc<str>,
}

impl Deliverer {
    pub(crate) fn new(config: &Config, engine: Engine, life: Lifecycle) -> anyhow::Result<Self> {
        Ok(Self {
            client: outbound::client(config.delivery_timeout)?,
            engine,
            life,
            permits: Arc::new(Semaphore::new(config.concurrent_deliveries.max(1))),
            verify_token: config.verify_token.as_str().into(),
        })
    }

    /// Sends one delivery in the background and tells the engine what came of it. When the
    /// sandbox stops before the answer, the delivery stays open and is sent again.
    pub(crate) fn send(&self, post: Post) {
        let this = self.clone();
        let stopped = self.life.stopped();
        self.life.spawn("webhook", async move {
            let attempt = async {
                let _permit = this.permits.acquire().await;
                this.attempt(&post.url, &post.secret, post.body.as_bytes().to_vec())
                    .await
            };
            tokio::select! {
                () = stopped => {}
                status = attempt => {
                    let answer = Answer { sequence: post.sequence, status };
                    this.engine.post(move |world| world.answered(answer));
                }
            }
        });
    }

    /// Signs and sends a body as it is; returns the status, 0 when there was no answer.
    pub(crate) async fn send_raw(&self, to: &RawPost, body: Vec<u8>) -> u16 {
        self.attempt(&to.url, &to.secret, body).await
    }

    async fn attempt(&self, url: &str, secret: &str, body: Vec<u8>) -> u16 {
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("user-agent", "facebookexternalua")
            .header("x-hub-signature-256", signature(secret, &body))
            .body(body);
        match request.send().await {
            Ok(answer) => answer.status().as_u16(),
            Err(error) => {
                tracing::debug!(%error, "a webhook got no answer");
                0
            }
        }
    }

    /// Asks an account's callback to prove itself, again and again until it does.
    pub(crate) fn verify(&self, account: Account) {
        let this = self.clone();
        let stopped = self.life.stopped();
        self.life.spawn("verify-callback", async move {
            tokio::select! {
                () = stopped => {}
                () = this.verify_until_done(&account) => {
                    this.engine.post(move |world| {
                        world.callback_verified(&account.id, &account.callback_url);
                    });
                }
            }
        });
    }

    async fn verify_until_done(&self, account: &Account) {
        let digest = Sha256::digest(format!("{} {}", account.id, account.callback_url));
        let challenge = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let challenge = challenge.to_string();
        let (mut wait, longest) = VERIFY_BACKOFF;
        let mut attempts = 0_u32;
        loop {
            match self.challenge(&account.callback_url, &challenge).await {
                Ok(()) => {
                    tracing::info!(url = account.callback_url, "the callback is verified");
                    return;
                }
                // A system that is starting refuses once or twice.
                Err(problem) if attempts == 3 => {
                    let url = &account.callback_url;
                    tracing::warn!(url, problem, "the callback is not verified yet");
                }
                Err(problem) => tracing::debug!(problem, "the callback is not verified yet"),
            }
            attempts += 1;
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    async fn challenge(&self, url: &str, challenge: &str) -> Result<(), String> {
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.challenge", challenge),
            ("hub.verify_token", &self.verify_token),
        ];
        let answer = self.client.get(url).query(&query).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() != 200 {
            return Err(format!("it answered {}", answer.status()));
        }
        let body = answer.text().await.map_err(|error| error.to_string())?;
        if body == challenge {
            Ok(())
        } else {
            Err("it did not repeat the challenge".to_owned())
        }
    }
}
