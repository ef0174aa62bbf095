//! Posts the changes that reports mark, beside the job: a receiver that is slow or away keeps no report waiting.

use std::collections::HashSet;
use std::sync::Arc;

use lake::Lake;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::webhook::Webhook;
use super::{AlertPost, due_posts, mark_posted};
use crate::history;
use crate::report::Report;

/// Posts changes of alerts, each until it is received.
pub(crate) struct Poster {
    lake: Lake,
    webhook: Option<Webhook>,
    changes: Mutex<Changes>,
    tasks: TaskTracker,
}

/// Ids of changes.
#[derive(Default)]
struct Changes {
    /// Those in reports that this process made, until they are received: it posts them.
    made_here: HashSet<String>,
    /// Those being posted.
    posting: HashSet<String>,
}

impl Poster {
    pub(crate) fn new(lake: Lake, webhook: Option<Webhook>) -> Arc<Self> {
        Arc::new(Self { lake, webhook, changes: Mutex::default(), tasks: TaskTracker::new() })
    }

    /// Begins to post what is due after the reports of a run, which history has.
    pub(crate) fn post_due(self: &Arc<Self>, reports: &[Report]) {
        let Some(webhook) = &self.webhook else { return };
        for report in reports {
            let due = due_posts(report, |id| self.changes.lock().made_here.contains(id));
            for post in due {
                {
                    let mut changes = self.changes.lock();
                    changes.made_here.insert(post.id.clone());
                    if !changes.posting.insert(post.id.clone()) {
                        continue;
                    }
                }
                let (this, webhook) = (self.clone(), webhook.clone());
                self.tasks.spawn(async move { this.post(&webhook, post).await });
            }
        }
    }

    async fn post(&self, webhook: &Webhook, post: AlertPost) {
        let received = webhook.post(&post).await;
        if received {
            let mark = |report: &mut Report| report.site == post.site && mark_posted(report, &post);
            if let Err(error) = history::amend_newest(&self.lake, mark).await {
                // Then it is posted again, with the same id.
                tracing::warn!(metric = post.metric, %error, "could not note in history that an alert was posted");
            }
        }
        let mut changes = self.changes.lock();
        changes.posting.remove(&post.id);
        if received {
            changes.made_here.remove(&post.id);
        }
    }

    /// Waits until nothing is being posted.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }
}
