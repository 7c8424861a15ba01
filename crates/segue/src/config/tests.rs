use std::io::Write;

use segue_core::tenancy::migration::{MigrationConfig, VerificationLevel};
use tempfile::NamedTempFile;

use super::*;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".toml").unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn read(text: &str) -> Result<Config, Error> {
    Config::read(&[file(text).path().to_owned()], None)
}

fn refused(text: &str) -> (usize, String) {
    let error = read(text).unwrap_err();
    match error.place {
        Some(Place::File(_, Some(line))) => (line, error.what),
        other => panic!("no line: {other:?}: {}", error.what),
    }
}

#[test]
fn without_any_file_there_is_one_sqlite_store_on_the_loopback() {
    let config = Config::read(&[], None).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
    let shared = Store::Sqlite { path: "./segue-data/shared.db".into() };
    assert_eq!(config.stores.by_id.values().collect::<Vec<_>>(), [&shared]);
}

#[test]
fn the_shipped_file_says_what_the_defaults_are() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/default.toml");
    assert_eq!(Config::read(&[shipped], None).unwrap(), Config::default());
}

#[test]
fn the_configuration_of_the_quickstart_is_understood() {
    let config = read(
        "[scenario_migration]\nenabled = true\n\
         [scenario_migration.gap_fill]\nextraction_confidence_threshold = 0.7\n\
         [scenario_migration.retention]\nplan_retention_days = 1\n",
    )
    .unwrap();
    assert_eq!(config.scenario_migration.gap_fill.extraction_confidence_threshold, 0.7);
    assert_eq!(config.scenario_migration.retention.plan_retention_days, 1);
}

#[test]
fn a_later_file_wins_and_a_configured_store_replaces_the_default_one() {
    let first = file("[stores]\ndefault = \"a\"\n[stores.a]\nkind = \"memory\"\n");
    let second = file("[stores.a]\nkind = \"sqlite\"\npath = \"a.db\"\n");
    let config = Config::read(&[first.path().to_owned(), second.path().to_owned()], None).unwrap();
    let stores: Vec<_> = config.stores.by_id.into_iter().collect();
    let a = StoreIdText("a").into();
    assert_eq!(stores, [(a, Store::Sqlite { path: "a.db".into() })]);
}

struct StoreIdText(&'static str);
impl From<StoreIdText> for segue_core::ids::StoreId {
    fn from(text: StoreIdText) -> Self {
        text.0.parse().unwrap()
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_allowed_keys() {
    let (line, what) = refused("[server]\nlisten = \"127.0.0.1:1\"\nlisen = \"127.0.0.1:2\"\n");
    assert_eq!(line, 3);
    assert!(what.starts_with("unknown key `server.lisen`; allowed here: listen, "), "{what}");

    let (line, what) = refused("\n[stores.shared]\nkind = \"sqlite\"\npath = \"x\"\npth = \"y\"\n");
    assert_eq!(
        (line, what.as_str()),
        (
            5,
            "unknown key `stores.shared.pth`; allowed here: kind, path, url, schema, \
             pool_size, connect_timeout_ms, statement_timeout_ms, lock_timeout_ms, tls_ca, password_env"
        )
    );

    let (line, what) = refused("[sever]\n");
    assert_eq!(line, 1);
    assert!(what.contains("unknown key `sever`") && what.contains("server"), "{what}");
}

#[test]
fn a_wrong_type_or_word_is_named_with_its_line_and_what_is_allowed() {
    let (line, what) = refused("[scenario_migration]\nenabled = \"maybe\"\n");
    assert_eq!(
        (line, what.as_str()),
        (2, "scenario_migration.enabled must be a boolean, found string \"maybe\"")
    );

    let (line, what) = refused("[stores.shared]\nkind = \"mysql\"\n");
    assert_eq!(
        (line, what.as_str()),
        (2, "stores.shared.kind = \"mysql\" is not allowed; allowed: sqlite, memory, postgres")
    );

    let (line, what) = refused("[server]\n\nlisten = \"here\"\n");
    assert_eq!(line, 3);
    assert!(what.contains("ADDRESS:PORT"), "{what}");
}

#[test]
fn a_value_out_of_range_is_named_with_its_line_and_the_range() {
    let (line, what) =
        refused("[scenario_migration.gap_fill]\nextraction_confidence_threshold = 1.5\n");
    assert_eq!(line, 2);
    assert!(what.ends_with("1.5 is not allowed; allowed are 0 to 1"), "{what}");

    let (line, _) = refused("[tenant_migration]\nbatch_size = 0\n");
    assert_eq!(line, 2);

    for (setting, allowed) in [
        ("batch_size = 20000", "a number from 1 to 10,000"),
        ("sample_percentage = 0.0", "a percentage over 0, up to 100"),
        ("cutover_timeout_seconds = 90.0", "from 0.05 to 60"),
        ("max_bulk_copy_rate = 0.5", "1 or more"),
        ("verification_level = \"MD5\"", "allowed: COUNT, HASH, FULL"),
        ("max_concurrent_copies = 0", "allowed are 1 to 1000"),
        ("cutover_lease_seconds = 9.0", "allowed are 0.1 to 5"),
    ] {
        let (line, what) = refused(&format!("[tenant_migration]\n\n{setting}\n"));
        assert_eq!(line, 3);
        assert!(what.starts_with("tenant_migration.") && what.contains(allowed), "{what}");
    }

    for (setting, allowed) in [
        ("refresh_seconds = 0.0", "allowed are 0.1 to 300"),
        ("sample_ratio = 1.5", "allowed are 0 to 1"),
        ("otlp_timeout_seconds = 100.0", "allowed are 0.1 to 60"),
        ("otlp_endpoint = \"collector:4318\"", "http://127.0.0.1:4318"),
        ("otlp_headers_env = \"SEGUE_TEST_NO_SUCH\"", "SEGUE_TEST_NO_SUCH is not set"),
    ] {
        let (line, what) = refused(&format!("[telemetry]\n\n{setting}\n"));
        assert_eq!(line, 3);
        assert!(what.starts_with("telemetry.") && what.contains(allowed), "{what}");
    }

    let (line, what) = refused("[stores]\ndefault = \"b\"\n[stores.a]\nkind = \"memory\"\n");
    assert_eq!(
        (line, what.as_str()),
        (2, "stores.default: no [stores.b] is configured; the stores are: a")
    );
}

#[test]
fn what_is_set_about_moves_reaches_a_move_and_the_process() {
    let config = read(
        "[tenant_migration]\nbatch_size = 7\nverification_level = \"FULL\"\nauto_cutover = true\n\
         keep_way_back = false\nsource_retention_seconds = 60\nmax_concurrent_copies = 2\n\
         coordinator_lease_seconds = 2.5\ncutover_lease_seconds = 0.5\n",
    )
    .unwrap();
    let process = config.tenant_migration.of_this_process();
    let expected = MigrationConfig {
        batch_size: 7,
        verification_level: VerificationLevel::Full,
        auto_cutover: true,
        keep_way_back: false,
        source_retention_seconds: 60,
        ..MigrationConfig::default()
    };
    assert_eq!(process.config, expected);
    assert_eq!((process.copies_at_once, process.lease.as_millis()), (2, 2_500));
    assert_eq!(process.cutover_lease.as_millis(), 500);
}

#[test]
fn text_that_is_not_toml_is_named_with_its_line() {
    let (line, what) = refused("[server]\nlisten = \n");
    assert_eq!(line, 2);
    assert!(what.starts_with("not TOML: "), "{what}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::read(&["/no/such/file.toml".into()], None).unwrap_err();
    assert!(error.to_string().contains("/no/such/file.toml: cannot be read"), "{error}");
}

#[test]
fn a_language_model_is_checked_key_by_key() {
    let section = "[extraction]\nbase_url = \"https://models.example/v1\"\nmodel = \"m\"\n";
    let extraction = read(section).unwrap().extraction.unwrap();
    assert_eq!((extraction.model.as_str(), extraction.max_retries), ("m", 2));
    let (line, what) = refused("[extraction]\nmodel = \"m\"\n");
    assert_eq!(line, 1);
    assert!(what.starts_with("extraction.base_url: say where the model is"), "{what}");
    for (setting, expected) in [
        ("max_concurrent = 0", "allowed are 1 to 1000"),
        ("output_limit_name = \"tokens\"", "allowed: max_tokens, max_completion_tokens"),
        ("api_key_env = \"SEGUE_TEST_NO_SUCH_KEY\"", "SEGUE_TEST_NO_SUCH_KEY is not set"),
        ("api_key = \"s3cr3t\"", "unknown key `extraction.api_key`"),
        ("turn_timeout_seconds = 30.0", "allowed is less than 30"),
    ] {
        let (line, what) = refused(&format!("{section}{setting}\n"));
        assert_eq!(line, 4, "{what}");
        assert!(what.contains(expected) && !what.contains("s3cr3t"), "{what}");
    }
    let (_, what) = refused(&format!(
        "[scenario_migration.gap_fill]\nextraction_confidence_threshold = 0.92\n{section}"
    ));
    assert!(what.contains("lets nothing through that [extraction] finds"), "{what}");
}

#[test]
fn a_postgres_database_is_checked_key_by_key() {
    let store = "[stores.shared]\nkind = \"postgres\"\nurl = \"postgres://u:s3cr3t@h/d\"\n";
    let config = read(store).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"), "{config:?}");
    assert!(!serde_json::to_string(&config).unwrap().contains("s3cr3t"));

    for (key, value, allowed) in [
        ("schema", "\"Big\"", "a-z, 0-9 and _"),
        ("pool_size", "0", "1 to 1000"),
        ("lock_timeout_ms", "0", "1 to 3600000"),
        ("password_env", "\"SEGUE_TEST_NO_SUCH\"", "SEGUE_TEST_NO_SUCH is not set"),
    ] {
        let (line, what) = refused(&format!("{store}{key} = {value}\n"));
        assert_eq!(line, 4);
        assert!(what.contains(&format!("stores.shared.{key}")) && what.contains(allowed), "{what}");
    }

    let (line, what) = refused("[control]\nurl = \"postgres://u:s3cr3t@h\"\n");
    assert_eq!(line, 2);
    assert!(what.contains("names no database") && !what.contains("s3cr3t"), "{what}");
    let (_, what) = refused("[control]\nurl = \"mysql://u:s3cr3t@h/d\"\n");
    assert!(what.contains("is not a database") && !what.contains("s3cr3t"), "{what}");
    let (_, what) = refused("[control]\nurl = \"memory:\"\npool_size = 3\n");
    assert!(what.contains("only a control plane in PostgreSQL"), "{what}");
}

#[test]
fn two_stores_in_one_schema_are_refused_by_name() {
    let store = |name: &str, more: &str| {
        format!("[stores.{name}]\nkind = \"postgres\"\nurl = \"postgres://u@h/d\"\n{more}")
    };
    let both = format!("[stores]\ndefault = \"a\"\n{}{}", store("a", ""), store("b", ""));
    let (line, what) = refused(&both);
    assert_eq!(line, 8);
    assert!(what.contains("stores.b.url: [stores.a] is in schema segue_events"), "{what}");

    let apart = format!(
        "[stores]\ndefault = \"a\"\n[control]\nurl = \"postgres://u@h/d\"\n{}{}",
        store("a", ""),
        store("b", "schema = \"segue_events_b\"\n")
    );
    read(&apart).unwrap();
    let with_control = apart.replace("segue_events_b", "segue_control");
    let (_, what) = refused(&with_control);
    assert!(what.contains("[control] is in schema segue_control"), "{what}");
}

#[test]
fn an_address_that_others_can_reach_needs_an_explicit_word() {
    let (line, what) = refused("[server]\nlisten = \"0.0.0.0:8000\"\n");
    assert_eq!(line, 2);
    assert!(what.contains("allow_remote_without_authentication = true"), "{what}");
    assert!(what.contains("segue key create"), "{what}");
    assert!(read("[server]\nlisten = \"0.0.0.0:8000\"\n[access]\nmode = \"api_keys\"\n").is_ok());
    assert!(
        read("[server]\nlisten = \"0.0.0.0:8000\"\nallow_remote_without_authentication = true\n")
            .is_ok()
    );
}

#[test]
fn the_address_of_the_command_line_wins_and_is_checked_too() {
    let config = Config::read(&[], Some("127.0.0.1:0".parse().unwrap())).unwrap();
    assert_eq!(config.server.listen.port(), 0);
    let error = Config::read(&[], Some("0.0.0.0:0".parse().unwrap())).unwrap_err();
    assert!(error.to_string().contains("can be reached from other machines"), "{error}");
}

#[test]
fn four_eyes_need_keys_to_tell_people_apart() {
    let (line, what) = refused("[scenario_migration.deployment]\nfour_eyes = true\n");
    assert_eq!(line, 2);
    assert!(what.contains("access.mode"), "{what}");
}

#[test]
fn a_public_url_has_no_path() {
    let (line, what) = refused("[access]\npublic_url = \"https://segue.example.com/console\"\n");
    assert_eq!(line, 2);
    assert!(what.contains("scheme and host"), "{what}");
}
