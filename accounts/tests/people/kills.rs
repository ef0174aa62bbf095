//! A process that dies at its n-th operation on the store, for every n: nothing is lost, and nothing is half done.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use lake::{Accounts, Role};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::SeedableRng;

use super::*;

/// A store that answers so many operations and no more.
#[derive(Debug)]
struct Dying {
    inner: Arc<InMemory>,
    left: AtomicUsize,
    /// Whether a put that is the last operation lands, though nobody hears of it.
    lands: bool,
}

impl Dying {
    /// Whether the process is alive, and whether this was its last operation.
    fn step(&self) -> (bool, bool) {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        (left.is_ok_and(|left| left > 1), left == Ok(1))
    }
}

fn dead() -> Error {
    Error::Generic { store: "Dying", source: "the process is dead".into() }
}

impl fmt::Display for Dying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dying")
    }
}

#[async_trait]
impl ObjectStore for Dying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.step() {
            (true, _) => self.inner.put_opts(location, payload, opts).await,
            (false, true) if self.lands => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(dead())
            }
            _ => Err(dead()),
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.step() {
            (true, _) => self.inner.get_opts(location, options).await,
            _ => Err(dead()),
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.step() {
            (true, _) => self.inner.list(prefix),
            _ => stream::once(async { Err(dead()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn lake_on(store: Arc<dyn ObjectStore>, seed: u64) -> Lake {
    Lake::with_store(store, &"memory:///".parse().unwrap(), rand::rngs::StdRng::seed_from_u64(seed)).unwrap()
}

/// What one does who dies on the way.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Register,
    Invite,
    Accept,
    Remove,
    ChangePassword,
}

async fn attempt(service: &Service, deed: Deed, token: &str) -> Result<(), AccountsError> {
    let accounts = service.accounts_now().await?;
    let Some(ada) = accounts.user_of_email("ada@example.com") else {
        return service.register_first(person("ada@example.com"), Some("Shop"), &client(), at(0)).await.map(drop);
    };
    let (ada, shop, client) = (actor(ada), accounts.organisations[0].id.clone(), client());
    match deed {
        Deed::Register => service.register_invited(person("bob@example.com"), token, &client, at(1)).await.map(drop),
        Deed::Invite => service.invite(&ada, &shop, offer(lake::Role::Editor), &client, at(1)).await.map(drop),
        Deed::Accept => {
            let cy = actor(accounts.user_of_email("cy@example.com").unwrap());
            service.accept_invitation(&cy, token, &client, at(1)).await
        }
        Deed::Remove => {
            let cy = accounts.user_of_email("cy@example.com").unwrap().id.clone();
            service.remove_member(&ada, &shop, &cy, &client, at(1)).await
        }
        Deed::ChangePassword => {
            let new = "another horse battery";
            service.change_password(&ada, Some(PASSWORD), new, &client, at(1)).await.map(drop)
        }
    }
}

/// What a document says, for comparison: all but what is random.
fn shape(accounts: &Accounts) -> String {
    let users: Vec<_> =
        accounts.users.iter().map(|user| (&user.email, user.sign_in_epoch, user.password.is_some())).collect();
    let organisations: Vec<_> = accounts
        .organisations
        .iter()
        .map(|one| (&one.name, one.members.iter().map(|member| member.role).collect::<Vec<_>>(), one.invitations.len()))
        .collect();
    format!("{users:?} {organisations:?}")
}

#[tokio::test]
async fn a_process_that_dies_at_any_operation_leaves_what_was_or_what_is_to_be() {
    let begun = Arc::new(InMemory::new());
    let service = Service::new(lake_on(begun.clone(), 1));
    let (owner, shop) = ada(&service).await;
    service.add_person(person("cy@example.com"), Some((&shop, Role::Viewer)), at(0)).await.unwrap();
    let issued = service.invite(&actor(&owner.user), &shop, offer(lake::Role::Editor), &client(), at(0)).await;
    let token = issued.unwrap().token;
    let before = shape(&service.lake().accounts().await.unwrap());
    for deed in [Deed::Register, Deed::Invite, Deed::Accept, Deed::Remove, Deed::ChangePassword] {
        for lands in [false, true] {
            let (mut before_seen, mut after_seen) = (0, 0);
            for operations in 1.. {
                let store = Arc::new(begun.fork());
                let dying = Dying { inner: store.clone(), left: AtomicUsize::new(operations), lands };
                let died = attempt(&Service::new(lake_on(Arc::new(dying), 2)), deed, &token).await;

                let next = Service::new(lake_on(store, 3));
                let left = shape(&next.lake().accounts().await.unwrap());
                if left == before {
                    before_seen += 1;
                    assert!(died.is_err(), "{deed:?}, {operations}: it said it was done");
                    let again = attempt(&next, deed, &token).await;
                    assert_eq!(outcome(&again), "done", "{deed:?}, {operations}");
                    assert_ne!(shape(&next.lake().accounts().await.unwrap()), before, "{deed:?}, {operations}");
                } else {
                    after_seen += 1;
                    // Everything that was there is there, and the rest as a whole.
                    assert!(left.contains("ada@example.com") && left.contains("cy@example.com"), "{left}");
                }
                if died.is_ok() {
                    break;
                }
                assert!(operations < 60, "{deed:?} takes no more operations than that");
            }
            assert!(before_seen > 2 && after_seen > 0, "{deed:?}: {before_seen} before, {after_seen} after");
        }
    }
}
