//! API keys, and the console sessions that are opened with them.

use jiff::{SignedDuration, Timestamp};
use segue_core::ids::{KeyId, TenantId};
use uuid::Uuid;

use super::Database;
use super::world::{at, olga};
use crate::control::audit::{self, Action, Subject};
use crate::control::keys::{Key, Role, Roles, Verifier};
use crate::control::logins::{LOGINS_PER_KEY, Login};
use crate::control::{Conflict, ControlPlane, Error, Noun, Page};

/// A key that no other world knows.
fn new_key(name: &str, second: i64) -> Key {
    let id = Uuid::new_v4();
    Key {
        id: KeyId(id),
        prefix: id.simple().to_string(),
        name: name.to_owned(),
        roles: Roles::from([Role::Operator, Role::Platform]),
        tenant: None,
        verifier: Verifier("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        requests_per_second: None,
        created_at: at(second),
        created_by: "olga".to_owned(),
        expires_at: None,
        superseded_at: None,
        revoked_at: None,
        used_at: None,
    }
}

fn login(key: &Key, second: i64, ends: Timestamp) -> Login {
    let mut token_hash = [0; 32];
    token_hash[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    Login { token_hash, key: key.id, begun_at: at(second), expires_at: ends }
}

async fn created(control: &dyn ControlPlane, name: &str, second: i64) -> Key {
    let key = new_key(name, second);
    control.create_key(&key, &olga(second)).await.unwrap();
    key
}

async fn told_of(control: &dyn ControlPlane, key: KeyId) -> Vec<Action> {
    let filter = audit::Filter {
        subjects: vec![Subject::Key],
        subject_id: Some(key.to_string()),
        ..audit::Filter::default()
    };
    let lines = control.list_audit(audit::PLATFORM, &filter, Page::first(99)).await.unwrap();
    lines.items.into_iter().map(|line| line.action).rev().collect()
}

fn is_missing<T>(answer: Result<T, Error>, noun: Noun) -> bool {
    matches!(answer, Err(Error::NotFound(missing)) if missing == noun)
}

/// With every column, and as every process reads it.
pub async fn a_key_reads_back_by_its_id_and_its_prefix_and_never_shows_its_verifier(
    database: &dyn Database,
) {
    let control = database.open().await;
    let key = Key {
        tenant: Some(TenantId(Uuid::new_v4())),
        requests_per_second: Some(50),
        expires_at: Some(at(90)),
        superseded_at: Some(at(80)),
        roles: Roles::from([Role::App]),
        ..new_key("checkout – naïve", 1)
    };
    control.create_key(&key, &olga(1)).await.unwrap();
    let other = database.open().await;
    assert_eq!(other.key(key.id).await.unwrap(), key);
    assert_eq!(other.key_by_prefix(&key.prefix).await.unwrap(), key);
    assert!(is_missing(other.key(KeyId(Uuid::new_v4())).await, Noun::Key));
    assert!(is_missing(other.key_by_prefix("nobody").await, Noun::Key));
    assert!(!format!("{key:?}").contains("argon2id"));
}

/// Whoever has a secret finds one key.
pub async fn a_prefix_is_given_out_once(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "first", 1).await;
    let same = Key { prefix: key.prefix.clone(), ..new_key("second", 2) };
    let refused = control.create_key(&same, &olga(2)).await;
    assert!(matches!(refused, Err(Error::Exists(Noun::Key))), "{refused:?}");
    assert!(is_missing(control.key(same.id).await, Noun::Key));
}

/// So that its bearers may change over one after the other.
pub async fn a_rotated_key_goes_on_until_its_end_and_never_longer_than_it_would_have(
    database: &dyn Database,
) {
    let control = database.open().await;
    let key = created(&*control, "app", 1).await;
    let second = new_key("app", 2);
    control.rotate_key(key.id, at(60), &second, &olga(2)).await.unwrap();
    let old = control.key(key.id).await.unwrap();
    assert!(old.is_valid(at(59)) && !old.is_valid(at(60)));
    assert!(control.key(second.id).await.unwrap().is_valid(at(3_600)));

    control.rotate_key(key.id, at(600), &new_key("app", 3), &olga(3)).await.unwrap();
    let old = control.key(key.id).await.unwrap();
    assert_eq!(
        (old.superseded_at, old.expires_at),
        (Some(at(60)), None),
        "its own end stays its own"
    );
    let twice = control.rotate_key(key.id, at(600), &second, &olga(4)).await;
    assert!(matches!(twice, Err(Error::Exists(Noun::Key))), "{twice:?}");
    let late = new_key("app", 5);
    for over in [olga(60), olga(61)] {
        let refused = control.rotate_key(key.id, at(600), &late, &over).await;
        assert!(matches!(refused, Err(Error::Conflict(Conflict::KeyOver))), "{refused:?}");
    }
    assert!(is_missing(control.key(late.id).await, Noun::Key), "nothing revives a key");
    let stranger = KeyId(Uuid::new_v4());
    let lost = new_key("app", 4);
    assert!(is_missing(control.rotate_key(stranger, at(5), &lost, &olga(4)).await, Noun::Key));
    assert!(is_missing(control.key(lost.id).await, Noun::Key), "all of it or nothing");
}

/// Nobody is in any more by a key that is not valid.
pub async fn a_revoked_key_takes_its_console_sessions_along(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "olga", 1).await;
    let session = login(&key, 2, at(3_600));
    control.open_login(&session, &olga(2)).await.unwrap();
    let revoked = control.revoke_key(key.id, &olga(3)).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(at(3)));
    assert!(!revoked.is_valid(at(3)));
    assert!(is_missing(control.login(&session.token_hash).await, Noun::Login));
    let again = control.revoke_key(key.id, &olga(4)).await.unwrap();
    assert_eq!(again.revoked_at, Some(at(3)), "once more is the same");
}

/// Among those of all the other worlds.
pub async fn keys_list_newest_first_in_pages(database: &dyn Database) {
    let control = database.open().await;
    let far = 1_000_000_000 + SignedDuration::from_mins(1).as_secs();
    let mut wanted = Vec::new();
    for nth in 0..3 {
        wanted.insert(0, created(&*control, "listed", far + nth).await.id);
    }
    let first = control.list_keys(Page::first(2)).await.unwrap();
    let next = Page { limit: 1, after: first.next };
    let second = control.list_keys(next).await.unwrap();
    let listed = first.items.iter().chain(&second.items).map(|key| key.id);
    assert_eq!(listed.collect::<Vec<_>>(), wanted);
    assert!(first.total >= 3);
}

/// Servers report it late, and in any order.
pub async fn the_last_use_only_goes_forwards(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "app", 1).await;
    control.key_used(key.id, at(50)).await.unwrap();
    control.key_used(key.id, at(40)).await.unwrap();
    assert_eq!(control.key(key.id).await.unwrap().used_at, Some(at(50)));
}

/// By any process.
pub async fn a_console_session_is_found_by_its_hash_until_it_is_closed(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "olga", 1).await;
    let session = login(&key, 2, at(3_600));
    control.open_login(&session, &olga(2)).await.unwrap();
    let other = database.open().await;
    assert_eq!(other.login(&session.token_hash).await.unwrap(), session);
    assert!(is_missing(other.login(&[7; 32]).await, Noun::Login));
    other.close_login(&session.token_hash, &olga(3)).await.unwrap();
    assert!(is_missing(control.login(&session.token_hash).await, Noun::Login));
    control.close_login(&session.token_hash, &olga(4)).await.unwrap();

    let stranger = login(&new_key("nobody", 1), 5, at(3_600));
    assert!(is_missing(control.open_login(&stranger, &olga(5)).await, Noun::Key));
}

/// There is a limit to everything.
pub async fn sessions_that_have_expired_or_are_too_many_are_removed(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "olga", 0).await;
    let short = login(&key, 1, at(2));
    control.open_login(&short, &olga(1)).await.unwrap();
    let first = login(&key, 10, at(3_600));
    control.open_login(&first, &olga(10)).await.unwrap();
    assert!(is_missing(control.login(&short.token_hash).await, Noun::Login));
    let mut last = first.clone();
    for nth in 0..LOGINS_PER_KEY {
        last = login(&key, 11 + i64::try_from(nth).unwrap(), at(3_600));
        control.open_login(&last, &olga(11)).await.unwrap();
    }
    assert!(is_missing(control.login(&first.token_hash).await, Noun::Login));
    assert_eq!(control.login(&last.token_hash).await.unwrap(), last);
}

/// Who, when and which; never a secret.
pub async fn what_happens_to_keys_is_in_the_audit_of_the_platform(database: &dyn Database) {
    let control = database.open().await;
    let key = created(&*control, "olga", 1).await;
    let session = login(&key, 2, at(3_600));
    control.open_login(&session, &olga(2)).await.unwrap();
    control.close_login(&session.token_hash, &olga(3)).await.unwrap();
    control.rotate_key(key.id, at(60), &new_key("olga", 4), &olga(4)).await.unwrap();
    control.revoke_key(key.id, &olga(5)).await.unwrap();
    let told = [
        Action::KeyCreated,
        Action::ConsoleEntered,
        Action::ConsoleLeft,
        Action::KeyRotated,
        Action::KeyRevoked,
    ];
    assert_eq!(told_of(&*control, key.id).await, told);
}
