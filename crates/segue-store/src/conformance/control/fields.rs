//! Field definitions.

use segue_core::fields::{Definition, ValueType};
use segue_core::ids::FieldName;

use super::Database;
use super::world::{World, olga};
use crate::control::{Error, Generation, Noun};

/// A definition of a field.
fn definition(name: &str, value_type: ValueType) -> Definition {
    Definition {
        name: FieldName::new(name).unwrap(),
        value_type,
        display_name: Some("Âge".to_owned()),
        pattern: None,
        values: vec!["a".to_owned(), "b".to_owned()],
        extraction_hint: None,
        collection_prompt: Some("How old are you?".to_owned()),
        expires_after_days: Some(30),
    }
}

/// By name and in the list of all.
pub async fn a_definition_reads_back_and_is_replaced_by_the_next(database: &dyn Database) {
    let world = World::empty(database).await;
    let (age, mail) = (definition("age", ValueType::Integer), definition("mail", ValueType::Email));
    for field in [&mail, &age] {
        world.control.put_field(world.tenant, field, &olga(1)).await.unwrap();
    }
    let read = world.control.field(world.tenant, &age.name).await.unwrap();
    assert_eq!(read, age);
    let number = definition("age", ValueType::Number);
    world.control.put_field(world.tenant, &number, &olga(2)).await.unwrap();
    let all = world.control.fields(world.tenant).await.unwrap().definitions;
    assert_eq!(all.into_values().collect::<Vec<_>>(), [number, mail]);

    let unknown = FieldName::new("shoe_size").unwrap();
    let missing = world.control.field(world.tenant, &unknown).await;
    assert!(matches!(missing, Err(Error::NotFound(Noun::Field))));
}

/// The list, the answer and the standing agree on it.
pub async fn the_generation_changes_with_each_new_definition_only(database: &dyn Database) {
    let world = World::empty(database).await;
    let standing =
        async || world.control.standing(world.tenant, world.scenario).await.unwrap().fields;
    assert_eq!(standing().await, Generation(0));
    let age = definition("age", ValueType::Integer);
    let first = world.control.put_field(world.tenant, &age, &olga(1)).await.unwrap();
    assert_ne!(first, Generation(0));
    assert_eq!(world.control.put_field(world.tenant, &age, &olga(2)).await.unwrap(), first);
    let number = definition("age", ValueType::Number);
    let second = world.control.put_field(world.tenant, &number, &olga(3)).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(standing().await, second);
    assert_eq!(world.control.fields(world.tenant).await.unwrap().generation, second);
}
