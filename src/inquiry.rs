//! Answers operators who ask why somebody was told something, or was not.
//!
//! One task, ended by `shutdown` or by the loss of whoever hands over questions. A question that can't be read is passed over: whoever
//! may speak to the database may send any. No more questions wait than their channel holds; the others go unanswered, and
//! who asked is told which nodes were silent.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::Request,
    ports::Answers,
    why::{Node, Part, Question},
};

/// See the module.
pub struct Inquiry<A> {
    pub node: Node,
    /// To the dispatcher.
    pub requests: mpsc::Sender<Request>,
    pub answers: A,
}

impl<A: Answers> Inquiry<A> {
    /// Serves one question after the other.
    pub async fn run(self, mut questions: mpsc::Receiver<String>, shutdown: CancellationToken) {
        tracing::info!(node = %self.node, "named so to operators who ask why");
        let serving = async {
            while let Some(text) = questions.recv().await {
                match serde_json::from_str::<Question>(&text) {
                    Ok(question) => self.answer(question).await,
                    Err(error) => tracing::debug!(%error, "a question could not be read"),
                }
            }
        };
        shutdown.run_until_cancelled(serving).await;
        // Whoever hands over questions may end first, on his way out.
        shutdown.cancelled().await;
    }

    async fn answer(&self, question: Question) {
        let id = question.id.clone();
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::Explain { question: Box::new(question), reply }).await.is_err() {
            return;
        }
        let Ok(report) = answer.await else { return };
        let parts: Vec<Part> = report.parts(&self.node);
        if let Err(error) = self.answers.answer(&id, &parts).await {
            tracing::warn!(%error, "an operator's question could not be answered");
        }
    }
}
