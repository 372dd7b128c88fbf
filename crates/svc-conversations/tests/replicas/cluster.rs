//! Talking to one replica of a world, and to its database.

use lib_platform::AuthorizedChannel;
use lib_proto::conversations as pb;
use lib_testkit::SERVICE;
use pb::conversation_log_service_client::ConversationLogServiceClient;
use pb::conversation_service_client::ConversationServiceClient;
use sqlx::Connection as _;

use crate::world::World;

impl World {
    /// The first column of an answer of PostgreSQL.
    pub(crate) async fn rows(&self, text: &str) -> Vec<String> {
        let servers = self.storage.servers().unwrap();
        let url = &servers.postgres.as_ref().unwrap().url;
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(text.to_owned()));
        query.fetch_all(&mut connection).await.unwrap()
    }

    /// Has PostgreSQL do something.
    pub(crate) async fn command(&self, text: &str) {
        let servers = self.storage.servers().unwrap();
        let url = &servers.postgres.as_ref().unwrap().url;
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let command = sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_owned()));
        command.execute(&mut connection).await.unwrap();
    }

    /// The people's side of one replica.
    pub(crate) fn people_at(
        &self,
        replica: usize,
        token: &str,
    ) -> ConversationServiceClient<AuthorizedChannel> {
        let running = self.replicas[replica].as_ref().unwrap();
        ConversationServiceClient::new(running.channel(token))
    }

    /// The log's side of one replica.
    pub(crate) fn log_at(&self, replica: usize) -> ConversationLogServiceClient<AuthorizedChannel> {
        let running = self.replicas[replica].as_ref().unwrap();
        ConversationLogServiceClient::new(running.channel(SERVICE))
    }

    /// Whether an attempt is granted by now.
    pub(crate) async fn grant_now(&self, message: &str, attempt: u32) -> Option<()> {
        let request = pb::StartAttemptsRequest {
            attempts: vec![pb::AttemptKey {
                message_id: message.to_owned(),
                attempt,
            }],
            sender: "test".to_owned(),
        };
        let answer = self.log().start_attempts(request).await.ok()?;
        answer.into_inner().granted[0].then_some(())
    }
}
