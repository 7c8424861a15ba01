//! Where two stores and a control plane lie that several processes open.

use std::path::Path;
use std::sync::Arc;

use segue_core::ids::TenantId;
use segue_store::control::ControlPlane;
use segue_store::control::postgres::Control as PostgresControl;
use segue_store::control::sqlite::Control as SqliteControl;
use segue_store::events::EventStore;
use segue_store::events::postgres::PostgresEventStore;
use segue_store::events::sqlite::SqliteEventStore;
use segue_store::postgres::Settings;
use segue_testing::postgres::TestDatabase;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::effects::Watched;
use super::fate::Fate;
use crate::moves::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// How another process finds the databases.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    kind: Kind,
    /// A folder, or the URL of a database.
    at: String,
}

/// Fresh databases, gone with this value.
pub enum Databases {
    Folder(TempDir),
    Database(TestDatabase),
}

impl Databases {
    pub async fn fresh(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Folder(tempfile::tempdir().unwrap()),
            Kind::Postgres => Self::Database(TestDatabase::fresh().await),
        }
    }

    pub fn address(&self) -> Address {
        match self {
            Self::Folder(folder) => {
                Address { kind: Kind::Sqlite, at: folder.path().to_str().unwrap().to_owned() }
            }
            Self::Database(database) => {
                Address { kind: Kind::Postgres, at: database.url().to_owned() }
            }
        }
    }
}

type Stores = (Arc<dyn ControlPlane>, Arc<dyn EventStore>, Arc<dyn EventStore>);

impl Address {
    /// Opens the databases as one more process, which has this fate.
    pub async fn world(&self, tenant: TenantId, fate: &Arc<Fate>) -> World {
        let (control, shared, dedicated) = match self.kind {
            Kind::Sqlite => self.files(),
            Kind::Postgres => self.schemas().await,
        };
        let control = Watched::new(fate, "control", control);
        let shared = Watched::new(fate, "shared", shared);
        let dedicated = Watched::new(fate, "dedicated", dedicated);
        World::of(tenant, control, shared, dedicated, None)
    }

    fn files(&self) -> Stores {
        let folder = Path::new(&self.at);
        let store = |name| Arc::new(SqliteEventStore::open(folder.join(name)).unwrap());
        let control = SqliteControl::open(&folder.join("control.db")).unwrap();
        (Arc::new(control), store("shared.db"), store("dedicated.db"))
    }

    async fn schemas(&self) -> Stores {
        let settings = |schema| {
            let settings = Settings::new(&self.at).unwrap().with_pool_size(4).unwrap();
            settings.with_schema(schema).unwrap()
        };
        let control = PostgresControl::open(settings("control")).unwrap();
        control.ready().await.unwrap();
        let shared = PostgresEventStore::open(settings("shared")).unwrap();
        shared.ready().await.unwrap();
        let dedicated = PostgresEventStore::open(settings("dedicated")).unwrap();
        dedicated.ready().await.unwrap();
        (Arc::new(control), Arc::new(shared), Arc::new(dedicated))
    }
}
